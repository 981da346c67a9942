/**
 * What trains a network: plan in; steps, evaluation and checkpoints out. Nothing above this interface knows whether
 * an ONNX graph or another engine runs.
 */

/** Images as they enter a network: already stretched and augmented. */
export interface ImageBatch {
  readonly count: number;
  /** `[count][height][width][channels]` */
  readonly pixels: Uint8Array;
  readonly labels: Uint16Array;
}

/** Learning rates of one step, before Adam's bias correction. */
export interface Rates {
  /** of latent weights; each layer multiplies it by its Glorot factor */
  readonly binary: number;
  /** of batch norm and of a first layer with real or integer weights */
  readonly float: number;
}

export interface StepResult {
  readonly loss: number;
  /** images of the batch that the network, before this step, classified correctly */
  readonly correct: number;
}

/** Named tensors that make up the whole state of training, moments and statistics included. */
export type TrainingState = ReadonlyMap<
  string,
  { readonly shape: readonly number[]; readonly data: Float32Array }
>;

export interface Trainer {
  /** what runs, in one line */
  readonly description: string;
  /** images per step */
  readonly batch: number;
  /** One step of training on exactly `batch` images; `step` counts from 1. */
  step(images: ImageBatch, rates: Rates, step: number): Promise<StepResult>;
  /** Estimates batch-norm statistics afresh as the mean over these batches (of `batch` images each). */
  calibrate(batches: Iterable<ImageBatch>): Promise<void>;
  /** Scores in evaluation mode, `[count][classes]`. */
  scores(images: ImageBatch): Promise<Float32Array>;
  /** The state now; the arrays are the trainer's own and change with the next step. */
  state(): TrainingState;
  /** Continues from a state of the same plan. */
  restore(state: TrainingState): void;
  close(): Promise<void>;
}
