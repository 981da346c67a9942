/** Which slices a sensitivity analysis says can go. */
import type { Slice } from '@cbnn/runtime';
import type { SensitivityResult } from './result.js';

export interface Pruning {
  readonly keep: readonly Slice[];
  readonly drop: readonly Slice[];
  /** error increase, in percentage points, when all of `drop` is noise; 0 when nothing is dropped */
  readonly increase: number;
  /** the bit after which the error rises fastest (largest second difference of the cumulative curve) */
  readonly knee: number | null;
}

/**
 * Drops slices 1..N of every channel, for the largest N whose measured error increase is at most `tau` percentage points
 * (the paper's bound is 1), and so for every smaller N. At least one slice of every channel stays. `spare` keeps that
 * many more of the dropped slices per channel, the most significant of them.
 */
export function choosePruning(result: SensitivityResult, tau: number, spare = 0): Pruning {
  const cumulative = result.points
    .filter((point) => point.scope === 'lowest')
    .toSorted((a, b) => a.bit - b.bit);
  const within: typeof cumulative = [];
  for (const point of cumulative.slice(0, -1)) {
    if (point.increase > tau) break;
    within.push(point);
  }
  const last = within.at(within.length - 1 - spare);
  const highest = spare < within.length ? last!.bit : -1;
  const increase = spare < within.length ? Math.max(0, last!.increase) : 0;
  const kept = result.keptSlices;
  const top = new Map<number, number>();
  for (const { channel, bit } of kept) top.set(channel, Math.max(bit, top.get(channel) ?? 0));
  const goes = ({ channel, bit }: Slice) => bit <= highest && bit < top.get(channel)!;
  const curve = [0, ...cumulative.map((point) => point.increase)];
  let knee: number | null = null;
  let sharpest = 0;
  for (let i = 1; i + 1 < curve.length; i++) {
    const bend = curve[i + 1]! - 2 * curve[i]! + curve[i - 1]!;
    if (bend > sharpest) {
      sharpest = bend;
      knee = cumulative[i - 1]!.bit;
    }
  }
  return { keep: kept.filter((slice) => !goes(slice)), drop: kept.filter(goes), increase, knee };
}
