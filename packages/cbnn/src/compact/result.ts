/** What a compaction tried and chose: plain data, written as JSON after every try, drawn by report/. */
import type { Slice } from '@cbnn/runtime';

/** A candidate: which slices it keeps and how wide its layers are, relative to the baseline (1 = unchanged). */
export interface Candidate {
  readonly convWidth: number;
  readonly denseWidth: number;
  readonly architecture: string;
  readonly slices: readonly Slice[];
}

export interface NetworkMeasure {
  /** bytes of the packed model file */
  readonly bytes: number;
  /** multiply-accumulates per image */
  readonly macs: number;
  /** weights, all layers */
  readonly weights: number;
  /** percent */
  readonly validationError: number;
}

export interface CompactionTry extends Candidate, NetworkMeasure {
  readonly id: number;
  /** folder of the retrained run, relative to the compaction's folder */
  readonly run: string;
  /** validation error - baseline validation error, in percentage points */
  readonly drop: number;
  /** 95 % interval of `drop` (paired by image) */
  readonly interval: readonly [number, number];
  /** one-sided 95 % upper limit of `drop`: what `confident` holds against the bound */
  readonly limit: number;
  readonly accepted: boolean;
  /** why this candidate was tried, in a few words */
  readonly reason: string;
}

export interface CompactionResult {
  readonly dataset: string;
  /** percentage points */
  readonly maxDrop: number;
  readonly shrink: 'paper' | 'separate';
  readonly acceptance: 'confident' | 'estimate';
  /** of every candidate; `rateFactor`: peak learning rates relative to the baseline's */
  readonly retraining: { readonly epochs: number; readonly rateFactor: number };
  readonly validationImages: number;
  readonly baseline: Candidate & NetworkMeasure;
  readonly tries: readonly CompactionTry[];
  /** whether the search ended by itself; false where the number of tries cut it off */
  readonly finished: boolean;
  /** id of the smallest accepted try; null when none was within the bound */
  readonly chosen: number | null;
  /** measured once, after the search has ended; percent */
  readonly test: {
    readonly baselineError: number;
    readonly compactError: number;
    readonly interval: readonly [number, number];
    readonly images: number;
  } | null;
}
