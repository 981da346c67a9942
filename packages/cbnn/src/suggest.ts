/** Suggestions for mistyped names. */
import { closest, distance } from 'fastest-levenshtein';

/** The candidate most like `name`, or null when none is near enough to be meant (more than a third of it differs). */
export function nearest(name: string, candidates: readonly string[]): string | null {
  if (candidates.length === 0) return null;
  const wanted = name.toLowerCase();
  const lower = candidates.map((candidate) => candidate.toLowerCase());
  const best = closest(wanted, lower);
  const limit = Math.max(1, Math.ceil(Math.max(wanted.length, best.length) / 3));
  return distance(wanted, best) <= limit ? candidates[lower.indexOf(best)]! : null;
}
