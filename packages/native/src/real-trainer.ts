/**
 * The native training step of networks whose operands are real: products of bfloat16, sums in single precision in a stated order. Its
 * results do not depend on the instruction set or on the number of threads: docs/training-step.md 8.
 *
 * It trains the weights that are multiplied with; what those have to do with trained ones is a technique's, and the caller's.
 */
import { configError, type InputSpec, type KernelShape } from '@cbnn/runtime';
import { addon, type RealTrainerHandle, type RealTrainingAddon } from './addon.js';
import { describeShapes } from './describe.js';
import {
  type BatchStatistics,
  MOST_THREADS,
  mostBytes,
  statisticsOf,
  type TrainedTensor,
} from './trainer.js';

/** Instruction sets that it has here, fastest first: `avx512-bf16`, `avx2`, `neon`, `portable`. */
export const realTrainingKernels = (): string[] =>
  typeof addon === 'string' ? [] : addon.realTrainingKernels();

export type RealActivation =
  | (typeof ACTIVATIONS)[number]
  | 'random-sign'
  | `random-${'approximate' | 'decaying'}-sign`;

/** Arrays of a layer that a step reads, and gradients that it writes; weights are `[output][ky][kx][channel]`. */
export interface RealTrainingLayer {
  /** that are multiplied with, after they are rounded to bfloat16 */
  readonly weights: Float32Array;
  readonly gamma: Float32Array;
  readonly beta: Float32Array;
  readonly gradients: {
    readonly weights: Float32Array;
    readonly gamma: Float32Array;
    readonly beta: Float32Array;
  };
  /**
   * what follows batch norm; `scaled-sign`: the next layer's sums are scaled by the mean magnitude of what was binarized (XNOR-Net's
   * K); `approximate-sign`: gradients pass times max(0, 2 - 2 |y|) (Bi-Real Net); `decaying-sign`: times max(t, 1) (1 - tanh(t y)^2), with
   * t a step's sharpness (IR-Net); `random-...`: +1 where a number of `noise` is below (y + 1) / 2, in steps that learn
   */
  readonly activation: RealActivation;
  /** of `random-...`: uniform in [0, 1), `[image][output][y][x]`, to be drawn anew before each step */
  readonly noise?: Float32Array;
}

/** What Adam trains. */
export interface RealTensor extends TrainedTensor {
  readonly gradient: Float32Array;
  /** latent: its rate is multiplied with `rateScale`, its values are clipped to [-1, 1] */
  readonly isLatent: boolean;
  readonly rateScale: number;
}

export interface RealTrainerOptions {
  readonly input: InputSpec;
  readonly shapes: readonly KernelShape[];
  readonly layers: readonly RealTrainingLayer[];
  readonly tensors: readonly RealTensor[];
  readonly loss: 'cross-entropy' | 'squared-hinge';
  /** batch norm with powers of two for factors (Hubara, Courbariaux et al. 2016, algorithm 2) */
  readonly hasShifts?: boolean;
  readonly batch: number;
  readonly threads: number;
  /** an instruction set of `realTrainingKernels()`; the fastest by default */
  readonly kernels?: string;
}

/** Seconds that the parts of a step took. */
export interface RealStepTimes {
  readonly prepare: number;
  readonly forward: number;
  readonly inputGradients: number;
  readonly weightGradients: number;
}

export interface RealStepResult {
  readonly loss: number;
  readonly correct: number;
  readonly seconds: RealStepTimes;
}

const ACTIVATIONS = ['none', 'relu', 'sign', 'scaled-sign', 'approximate-sign', 'decaying-sign'] as const;
/** Numbers that the addon writes: loss, right answers, seconds. */
const RESULTS = 6;

export class RealTrainer {
  readonly statistics: readonly BatchStatistics[];
  private readonly all: Float32Array;
  private readonly results = new Float64Array(RESULTS);

  private constructor(
    private readonly addon: RealTrainingAddon,
    private readonly handle: RealTrainerHandle,
    private readonly options: RealTrainerOptions,
    /** the instruction set that it runs on */
    readonly kernels: string,
  ) {
    ({ all: this.all, layers: this.statistics } = statisticsOf(options.shapes));
  }

  /** Throws a config error where there is no addon, or the network is too large for this machine. */
  static create(options: RealTrainerOptions): RealTrainer {
    if (typeof addon === 'string') throw configError(`native training: ${addon}`);
    const { input, shapes, layers, tensors, loss, hasShifts, batch, threads } = options;
    if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS)
      throw configError(
        `native training: expected threads as an integer of 1..${MOST_THREADS}, got ${threads}`,
      );
    const kernels = options.kernels ?? addon.realTrainingKernels()[0]!;
    const activations = layers.map(({ activation }) =>
      (ACTIVATIONS as readonly string[]).indexOf(activation.replace('random-', '')),
    );
    const drawnBy = layers.map(({ activation, noise }) => {
      if (!activation.startsWith('random-')) return new Float32Array();
      if (!noise) throw configError(`native training: ${activation} without noise`);
      return noise;
    });
    try {
      const handle = addon.createRealTrainer(
        describeShapes(
          input,
          shapes,
          shapes.map(() => ({ hasIntegers: false, bound: 0 })),
        ),
        Int32Array.of(batch, threads, loss === 'squared-hinge' ? 1 : 0, hasShifts ? 1 : 0, ...activations),
        layers.flatMap(({ weights, gamma, beta, gradients: { weights: dw, gamma: dgamma, beta: dbeta } }) => [
          ...[weights, gamma, beta],
          ...[dw, dgamma, dbeta],
        ]),
        tensors.flatMap(({ value, first, second, gradient }) => [value, first, second, gradient]),
        drawnBy,
        Float32Array.from(tensors.flatMap(({ rateScale, isLatent }) => [rateScale, isLatent ? 1 : 0])),
        kernels,
        mostBytes(),
      );
      return new RealTrainer(addon, handle, options, kernels);
    } catch (error) {
      throw configError(`native training: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /**
   * Forward, loss and backward on `batch` images `[height][width][channel]`, already prepared, in the background: the layers'
   * gradients and `statistics` are then those of the batch. Cross-entropy may have `targets`, probabilities of classes
   * `[batch][classes]`, to learn in place of the labels; `sharpness` is that of signs whose slope decays. One call at a time, and nobody may
   * touch the arrays meanwhile.
   */
  async step(
    pixels: Uint8Array,
    labels: Uint16Array,
    {
      targets,
      sharpness = 1,
    }: { readonly targets?: Float32Array | undefined; readonly sharpness?: number } = {},
  ): Promise<RealStepResult> {
    await this.addon.realStep(this.handle, pixels, labels, true, this.results, this.all, targets, sharpness);
    const [loss, correct, prepare, forward, inputGradients, weightGradients] = this.results;
    return {
      loss: loss!,
      correct: correct!,
      seconds: {
        prepare: prepare!,
        forward: forward!,
        inputGradients: inputGradients!,
        weightGradients: weightGradients!,
      },
    };
  }

  /** The forward pass of a step alone: `statistics` of these images. */
  async forward(pixels: Uint8Array): Promise<void> {
    const labels = new Uint16Array(this.options.batch);
    await this.addon.realStep(this.handle, pixels, labels, false, this.results, this.all, undefined, 1);
  }

  /** Adam on every tensor with its gradient; `rates` are Adam's, bias correction included. */
  async update(rates: { readonly latent: number; readonly float: number }): Promise<void> {
    await this.addon.realUpdate(this.handle, Float32Array.of(rates.latent, rates.float));
  }

  /** Scores of the last batch, in training mode, `[batch][classes]`. */
  scores(): Float32Array {
    const { batch, shapes } = this.options;
    const scores = new Float32Array(batch * shapes.at(-1)!.output.channels);
    this.addon.realScores(this.handle, scores);
    return scores;
  }
}
