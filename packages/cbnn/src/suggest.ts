/** Suggestions for mistyped names. */
import { type CbnnError, configError } from '@cbnn/runtime';
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

/**
 * The config error for a `what` called `name` that is none of `candidates`, with the nearest of them.
 * `alternative`: what else would do, e.g. `a folder of images`.
 */
export function unknownName(
  what: string,
  name: string,
  candidates: readonly string[],
  alternative?: string,
): CbnnError {
  const expected = candidates.join(', ') + (alternative === undefined ? '' : `, or ${alternative}`);
  const suggestion = nearest(name, candidates);
  return configError(
    `${what}: expected one of ${expected}, got "${name}"${suggestion === null ? '' : `; did you mean ${suggestion}?`}`,
  );
}
