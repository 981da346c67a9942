/**
 * What trains a network: plan in; steps, evaluation and checkpoints out. Nothing above this interface knows whether
 * an ONNX graph or another engine runs.
 */
import type { StepRates } from '../nn/recipes.js';
import type { TrainingState } from '../nn/state.js';

/** Images as they enter a network: already prepared (stretched, coded) and augmented. */
export interface ImageBatch {
  readonly count: number;
  /** `[count][height][width][channels]` */
  readonly pixels: Uint8Array;
  readonly labels: Uint16Array;
  /** probabilities to learn instead of the labels, `[count][classes]` */
  readonly targets?: Float32Array;
}

export interface StepResult {
  readonly loss: number;
  /** images of the batch that the network, before this step, classified correctly */
  readonly correct: number;
  /** of each kernel layer, where gradients are rounded to 8 bits */
  readonly gradients?: readonly GradientReport[];
}

/** How well 8 bits held a layer's gradient in one step. */
export interface GradientReport {
  /** shares of all values */
  readonly clipped: number;
  readonly zero: number;
  /** largest value divided by the root of the mean square */
  readonly peak: number;
}

export interface Trainer {
  /** what runs, in one line */
  readonly description: string;
  /** images per step */
  readonly batch: number;
  /** One step of training on exactly `batch` images; `step` counts from 1. */
  step(images: ImageBatch, rates: StepRates, step: number): Promise<StepResult>;
  /**
   * Estimates batch-norm statistics afresh as the mean over these batches (of `batch` images each). Those there were stay where
   * the batches end in an exception.
   */
  calibrate(batches: Iterable<ImageBatch>): Promise<void>;
  /** The class of each image, in evaluation mode. Throws the signal's reason soon after it is aborted. */
  classify(images: ImageBatch, signal?: AbortSignal): Promise<Uint16Array>;
  /** The state now; the arrays are the trainer's own and change with the next step. */
  state(): TrainingState;
  /** Continues from a state of the same plan. */
  restore(state: TrainingState): void;
  close(): Promise<void>;
}
