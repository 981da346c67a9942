/** What a sensitivity analysis found: plain data, written as JSON, drawn by report/. */
import type { InputCode, Slice } from '@cbnn/runtime';

/** Which slices were replaced by random bits together. */
export type NoiseScope =
  /** one slice of one channel (the paper's Fig 7) */
  | 'channel-slice'
  /** one slice of every channel (Fig 4) */
  | 'slice'
  /** slices 1..N, counted from the least significant, of every channel (Figs 4 and 8) */
  | 'lowest'
  /** slices 1..N of one channel (Fig 8, per channel) */
  | 'channel-lowest';

export interface SensitivityPoint {
  readonly scope: NoiseScope;
  /** input channel; null where the scope is every channel */
  readonly channel: number | null;
  /** bit index (0 = least significant); for the two `lowest` scopes the highest bit that was randomized (N - 1) */
  readonly bit: number;
  /** the slices that were randomized (only kept slices can be) */
  readonly slices: readonly Slice[];
  /** error rate in percent, mean over the noise seeds */
  readonly error: number;
  /** error - clean error, in percentage points */
  readonly increase: number;
  /** 95 % interval of `increase`, in percentage points (paired by image, over images and seeds) */
  readonly interval: readonly [number, number];
  /** error rate in percent of each noise seed */
  readonly errorBySeed: readonly number[];
}

export interface SensitivityResult {
  readonly dataset: string;
  /** which images: never the test images */
  readonly split: 'validation';
  readonly images: number;
  readonly noiseSeeds: readonly number[];
  readonly channels: number;
  readonly channelNames: readonly string[];
  /** that the slices are bits of; absent: plain binary */
  readonly code?: InputCode;
  readonly keptSlices: readonly Slice[];
  /** error rate in percent without noise */
  readonly cleanError: number;
  readonly points: readonly SensitivityPoint[];
}
