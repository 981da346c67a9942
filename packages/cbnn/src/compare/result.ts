/** What a comparison of techniques found, as compare.json holds it. */

import type { TechniqueName } from '../nn/plan.js';
import type { RunConfig } from '../train/config.js';

export interface CompareResult {
  readonly formatVersion: 2;
  readonly dataset: string;
  readonly classes: number;
  readonly images: { readonly train: number; readonly validation: number; readonly test: number };
  readonly architecture: string;
  readonly recipe: RunConfig['recipe'];
  /** of one training: some techniques begin with a trained network */
  readonly epochs: number;
  readonly batch: number;
  readonly seed: number;
  /** the contrast stretch, of all */
  readonly stretch: boolean;
  /** whether two short trainings of bnn, with it and without, chose it; false where it was given, by option or recipe */
  readonly stretchTried: boolean;
  /** with family and model, where the machine tells */
  readonly cpu: string;
  /** of training, and of batches where they are timed on all */
  readonly threads: { readonly training: number; readonly timing: number };
  readonly versions: Readonly<Record<string, string>>;
  /** that makes it again, for a shell: what was left to defaults and trials is spelled out */
  readonly command: string;
  readonly techniques: readonly ComparedTechnique[];
}

export interface ComparedTechnique {
  /** the technique and what is set otherwise: contenders.ts */
  readonly name: string;
  readonly technique: TechniqueName;
  readonly title: string;
  readonly source: string;
  /** folder of its run, beside compare.json */
  readonly run: string;
  /** that make its network again, after those of what it begins with */
  readonly commands: readonly string[];
  /** what trained it, e.g. `cpu: ONNX Runtime 1.30.0 native, 2 threads` */
  readonly engine: string;
  /** peak learning rates, of latent weights where it has some, and of all others; null: it was not trained */
  readonly rates: { readonly latent: number | null; readonly real: number } | null;
  /** of all epochs, those before it that it began with included */
  readonly epochs: number;
  readonly bestEpoch: number;
  /** percent, of the best epoch */
  readonly validationError: number;
  readonly test: ErrorOf;
  /** of weights between the first and the output layer */
  readonly weightBits: number;
  readonly activationBits: number;
  /** of the file */
  readonly bytes: number;
  readonly weights: number;
  /** of those, the ones that are not 0 */
  readonly nonzeroWeights: number;
  /** of dense layers: weights that are 0 count as well */
  readonly macs: number;
  readonly bitOperations: number;
  /** of single images and of batches on one thread, then of batches on all where there are more */
  readonly times: readonly TechniqueTime[];
}

/** What a technique's epochs are a multiple of those of one training, as ` (2x epochs)`; nothing where they are the same. */
export const epochsMark = (
  { epochs }: Pick<ComparedTechnique, 'epochs'>,
  one: Pick<CompareResult, 'epochs'>,
): string => (epochs === one.epochs ? '' : ` (${Number((epochs / one.epochs).toFixed(1))}x epochs)`);

/** Percent, with its 95 % interval. */
export interface ErrorOf {
  readonly error: number;
  readonly low: number;
  readonly high: number;
}

/** Milliseconds an image on the fastest executor: median, fastest and slowest tenth of calls. */
export interface TechniqueTime {
  readonly executor: string;
  readonly threads: number;
  /** images a call */
  readonly batch: number;
  readonly median: number;
  readonly fast: number;
  readonly slow: number;
  /** executors that were slower, in the same turns: their medians */
  readonly others: readonly {
    readonly executor: string;
    readonly threads: number;
    readonly median: number;
  }[];
}
