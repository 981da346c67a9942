/** Batch-norm statistics of evaluation mode: averages over steps, or estimated afresh from some batches. */
import { internalError, type KernelShape } from '@cbnn/runtime';
import { names } from '../graph/names.js';
import { BATCH_NORM_EPSILON } from '../graph/operations/batch-norm.js';
import type { TrainingState } from '../nn/state.js';
import type { ImageBatch } from './trainer.js';

/** Of one batch, one per channel; biased variance. */
export interface BatchStatistics {
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

/** Weight of a step's batch statistics in the running averages (Lasagne's alpha in the paper's code). */
const MOMENTUM = 0.1;

const inverseOf = (variance: number): number => 1 / Math.sqrt(variance + BATCH_NORM_EPSILON);

export class RunningStatistics {
  /** mean and 1 / sqrt(variance + epsilon) of each layer, averaged as in the paper's code */
  private readonly layers: readonly { readonly mean: Float32Array; readonly inverse: Float32Array }[];

  constructor(shapes: readonly KernelShape[]) {
    this.layers = shapes.map(({ output: { channels } }) => ({
      mean: new Float32Array(channels),
      inverse: new Float32Array(channels).fill(1),
    }));
  }

  /** Takes in the statistics of a step's batch, one per layer. */
  average(batch: readonly BatchStatistics[]): void {
    for (const [layer, { mean, inverse }] of this.layers.entries())
      for (let c = 0; c < mean.length; c++) {
        const now = inverseOf(batch[layer]!.variance[c]!);
        mean[c] = mean[c]! * (1 - MOMENTUM) + batch[layer]!.mean[c]! * MOMENTUM;
        inverse[c] = inverse[c]! * (1 - MOMENTUM) + now * MOMENTUM;
      }
  }

  /** Replaces all by the mean over batches: `forward` computes one's statistics in `batch`. */
  async estimate(
    batches: Iterable<ImageBatch>,
    batch: readonly BatchStatistics[],
    forward: (images: ImageBatch) => Promise<void>,
  ): Promise<void> {
    const sums = this.layers.map(({ mean }) => ({
      mean: new Float64Array(mean.length),
      variance: new Float64Array(mean.length),
    }));
    let count = 0;
    for (const images of batches) {
      await forward(images);
      for (const [layer, { mean, variance }] of sums.entries())
        for (let c = 0; c < mean.length; c++) {
          mean[c]! += batch[layer]!.mean[c]!;
          variance[c]! += batch[layer]!.variance[c]!;
        }
      count++;
    }
    if (count === 0) throw internalError('calibrate: no batches');
    for (const [layer, { mean, inverse }] of this.layers.entries())
      for (let c = 0; c < mean.length; c++) {
        mean[c] = sums[layer]!.mean[c]! / count;
        inverse[c] = inverseOf(sums[layer]!.variance[c]! / count);
      }
  }

  /** As they stand in a state; the arrays are these. */
  tensors(): TrainingState {
    return new Map(
      this.layers.flatMap(({ mean, inverse }, layer) => [
        [names.mean(layer), { shape: [mean.length], data: mean }] as const,
        [names.inverse(layer), { shape: [mean.length], data: inverse }] as const,
      ]),
    );
  }
}

/** Copies `saved` into the arrays of `state`. Throws an internal error where a tensor is missing or of another size. */
export function restoreInto(state: TrainingState, saved: TrainingState): void {
  for (const [name, tensor] of state) {
    const given = saved.get(name);
    // A state kept for its weights has nothing to continue with; training does not.
    if (!given && names.isTraining(name)) continue;
    if (!given || given.data.length !== tensor.data.length)
      throw internalError(
        `checkpoint: tensor ${name}: expected ${tensor.data.length} values, got ${given?.data.length ?? 'none'}`,
      );
    tensor.data.set(given.data);
  }
}
