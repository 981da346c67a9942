/**
 * The native training step of binary networks: integers forward and backward, floats only where they are few. Its results do
 * not depend on the instruction set or on the number of threads: docs/training-step.md.
 */
import { totalmem } from 'node:os';
import { configError, type InputSpec, type KernelShape } from '@cbnn/runtime';
import { addon, CONVOLUTIONS, type TrainerHandle, type TrainingAddon, wayNumber } from './addon.js';
import { describeShapes } from './describe.js';

/** Instruction sets that training has here, fastest first: `avx512-vnni`, `avx-vnni`, `avx2`, `neon-dotprod`, `neon`, `portable`. */
export const trainingKernels = (): string[] => (typeof addon === 'string' ? [] : addon.trainingKernels());

/** A trained tensor with Adam's moments, each divided by 1 - beta. The step writes into these arrays. */
export interface TrainedTensor {
  readonly value: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/**
 * Products a second that this processor reaches in registers with an instruction set of `trainingKernels()`: what no such step can
 * go beyond. Measured now, for about a hundredth of a second.
 */
export function productLimit(kernels: string): number {
  if (typeof addon === 'string') throw configError(`native training: ${addon}`);
  addon.dotLimit(kernels, 20_000);
  const begun = performance.now();
  let done = 0;
  while (performance.now() - begun < 10) done += addon.dotLimit(kernels, 20_000);
  return done / ((performance.now() - begun) / 1000);
}

/** What a layer trains; weights are `[output][ky][kx][channel]`. */
export interface TrainedLayer {
  readonly weights: TrainedTensor;
  readonly gamma: TrainedTensor;
  readonly beta: TrainedTensor;
  /** factor of the learning rate of latent weights */
  readonly rateScale: number;
}

export interface NativeTrainerOptions {
  readonly input: InputSpec;
  readonly shapes: readonly KernelShape[];
  readonly layers: readonly TrainedLayer[];
  /** first-layer weights: rounded to -127..127, or one bit each */
  readonly firstLayer: 'integer' | 'binary';
  /** what the first layer's weights are multiplied with, per input channel */
  readonly place: Float32Array;
  /** largest |sum| of the first layer */
  readonly firstBound: number;
  readonly loss: 'cross-entropy' | 'squared-hinge';
  readonly batch: number;
  readonly threads: number;
  /** an instruction set of `trainingKernels()`; the fastest by default */
  readonly kernels?: string;
  /** how convolutions of bits are computed where both can be (not on `avx512`, which counts): the faster by default. Results are the same */
  readonly convolutions?: 'looked-up' | 'counted';
}

/** How well 8 bits held a layer's gradient. */
export interface GradientReport {
  /** shares of all values */
  readonly clipped: number;
  readonly zero: number;
  /** largest value divided by the root of the mean square */
  readonly peak: number;
}

/** Seconds that the parts of a step took. */
export interface StepTimes {
  readonly prepare: number;
  readonly forward: number;
  readonly denseBackward: number;
  readonly convolutionBackward: number;
  readonly update: number;
  /** Of the convolutions' backward pass, all threads together: */
  readonly roundGradients: number;
  readonly weightProducts: number;
  readonly inputGradients: number;
}

const TIMES = [
  'prepare',
  'forward',
  'denseBackward',
  'convolutionBackward',
  'update',
  'roundGradients',
  'weightProducts',
  'inputGradients',
] as const satisfies readonly (keyof StepTimes)[];

export interface NativeStepResult {
  readonly loss: number;
  readonly correct: number;
  /** per layer */
  readonly gradients: readonly GradientReport[];
  readonly seconds: StepTimes;
}

/** Of the batch, per layer and channel; biased variance. */
export interface BatchStatistics {
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

/** Largest |r| of a gradient rounded to 8 bits, and of what it is multiplied with: bits, and halves of an 8-bit value. */
const MOST_GRADIENT = 127;
const MOST_BIT = 2;
const MOST_HALF = 15;
export const MOST_THREADS = 256;

/** Why this step cannot train a network: sums over a batch that could leave their integers. Null where it can. */
export function trainingRefusal({
  input,
  shapes,
  firstBound,
  batch,
}: Pick<NativeTrainerOptions, 'input' | 'shapes' | 'firstBound' | 'batch'>): string | null {
  for (const { index, fanIn, output, input: map } of shapes) {
    const samples = batch * output.height * output.width;
    const bound = index === 0 ? firstBound : fanIn;
    const taps = fanIn / map.channels;
    const factor = index === 0 && input.encoding === '8-bit' ? MOST_HALF : MOST_BIT;
    if (
      Math.max(samples * factor, taps * output.channels * MOST_BIT) * MOST_GRADIENT > 2 ** 31 - 1 ||
      samples * bound ** 2 > 9e18
    )
      return `sums over a batch of ${batch} images could be too large in layer ${index + 1} (${output.height}x${output.width}x${output.channels}); use a smaller batch`;
  }
  return null;
}

/** A trainer that needs more than this machine, or its container, has is refused. */
export const mostBytes = (): number => {
  const allowed = process.constrainedMemory?.() ?? 0;
  return allowed > 0 && allowed < totalmem() ? allowed : totalmem();
};

/** Room for the statistics of all layers, as the addon writes them, and each layer's. */
export function statisticsOf(shapes: readonly KernelShape[]): {
  readonly all: Float32Array;
  readonly layers: BatchStatistics[];
} {
  const channels = shapes.map(({ output }) => output.channels);
  const all = new Float32Array(channels.reduce((sum, count) => sum + 2 * count, 0));
  let at = 0;
  const layers = channels.map((count) => {
    const mean = all.subarray(at, at + count);
    const variance = all.subarray(at + count, at + 2 * count);
    at += 2 * count;
    return { mean, variance };
  });
  return { all, layers };
}

export class NativeTrainer {
  readonly statistics: readonly BatchStatistics[];
  private readonly results: Float64Array;
  private readonly all: Float32Array;

  private constructor(
    private readonly addon: TrainingAddon,
    private readonly handle: TrainerHandle,
    private readonly options: NativeTrainerOptions,
    /** the instruction set that it runs on */
    readonly kernels: string,
  ) {
    this.results = new Float64Array(2 + TIMES.length + 3 * options.shapes.length);
    ({ all: this.all, layers: this.statistics } = statisticsOf(options.shapes));
  }

  /** Throws a config error where there is no addon, or the network is too large for it. */
  static create(options: NativeTrainerOptions): NativeTrainer {
    if (typeof addon === 'string') throw configError(`native training: ${addon}`);
    const refusal = trainingRefusal(options);
    if (refusal !== null) throw configError(`native training: ${refusal}`);
    if (!Number.isInteger(options.threads) || options.threads < 1 || options.threads > MOST_THREADS)
      throw configError(
        `native training: expected threads as an integer of 1..${MOST_THREADS}, got ${options.threads}`,
      );
    const { input, shapes, layers, firstLayer, place, firstBound, loss, batch, threads } = options;
    const kernels = options.kernels ?? addon.trainingKernels()[0]!;
    const numbers = describeShapes(
      input,
      shapes,
      shapes.map(({ index, fanIn }) => ({
        hasIntegers: index === 0 && firstLayer === 'integer',
        bound: index === 0 ? firstBound : fanIn,
      })),
    );
    const tensors = layers.flatMap(({ weights, gamma, beta }) => [weights, gamma, beta]);
    try {
      const handle = addon.createTrainer(
        numbers,
        Int32Array.of(
          batch,
          threads,
          loss === 'squared-hinge' ? 1 : 0,
          firstLayer === 'integer' ? 1 : 0,
          wayNumber(CONVOLUTIONS, options.convolutions),
        ),
        place,
        Float32Array.from(layers, ({ rateScale }) => rateScale),
        tensors.flatMap(({ value, first, second }) => [value, first, second]),
        kernels,
        mostBytes(),
      );
      return new NativeTrainer(addon, handle, options, kernels);
    } catch (error) {
      throw configError(`native training: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /**
   * One step on `batch` images `[height][width][channel]`, already prepared, in the background; `rates` are Adam's, bias
   * correction included; `number` is the step's, from 1, which its rounding depends on. Cross-entropy may have
   * `targets`, probabilities of classes `[batch][classes]`, to learn in place of the labels. `statistics` are then those of the batch. One call at a time, and nobody may touch pixels, labels and
   * the layers' tensors meanwhile.
   */
  async step(
    pixels: Uint8Array,
    labels: Uint16Array,
    rates: { readonly latent: number; readonly float: number },
    number: number,
    targets?: Float32Array,
  ): Promise<NativeStepResult> {
    await this.run(pixels, labels, Float32Array.of(rates.latent, rates.float), number, targets);
    const [loss, correct] = this.results;
    const seconds = Object.fromEntries(TIMES.map((name, i) => [name, this.results[2 + i]!])) as Record<
      keyof StepTimes,
      number
    >;
    const rest = this.results.subarray(2 + TIMES.length);
    const gradients = this.options.shapes.map((_, k) => {
      const [clipped, zero, peak] = rest.subarray(3 * k, 3 * k + 3) as unknown as [number, number, number];
      return { clipped, zero, peak };
    });
    return { loss: loss!, correct: correct!, gradients, seconds };
  }

  /** The forward pass of a step alone: `statistics` of these images, and nothing learned. */
  async forward(pixels: Uint8Array): Promise<void> {
    await this.run(pixels, new Uint16Array(this.options.batch), new Float32Array(2), 0);
  }

  private run(
    pixels: Uint8Array,
    labels: Uint16Array,
    rates: Float32Array,
    number: number,
    targets?: Float32Array,
  ): Promise<void> {
    return this.addon.step(this.handle, pixels, labels, rates, number, this.results, this.all, targets);
  }

  /** What 1 of each layer's int8 gradient stands for in the next step; 0 = measured there. Part of the state. */
  get units(): Float32Array {
    const values = new Float32Array(this.options.shapes.length);
    this.addon.units(this.handle, values, false);
    return values;
  }

  set units(values: Float32Array) {
    this.addon.units(this.handle, values, true);
  }

  /** Memory of the step, beside the trained tensors and their moments. */
  get bytes(): number {
    return this.handle.bytes;
  }

  /** Scores of the last batch, in training mode, `[batch][classes]`. */
  scores(): Float32Array {
    const { batch, shapes } = this.options;
    const scores = new Float32Array(batch * shapes.at(-1)!.output.channels);
    this.addon.scores(this.handle, scores);
    return scores;
  }

  /** For tests: layer `k`'s sums after pooling, `[batch][pixel][output]`. */
  sums(k: number): Int32Array {
    const { pooled } = this.options.shapes[k]!;
    return this.inspect(k, 0, this.options.batch * pooled.height * pooled.width * pooled.channels);
  }

  /** For tests: layer `k`'s weight gradients as integers, `[output][ky][kx][channel]`. */
  products(k: number): Int32Array {
    const { fanIn, output } = this.options.shapes[k]!;
    return this.inspect(k, 1, output.channels * fanIn);
  }

  private inspect(k: number, what: number, length: number): Int32Array {
    const out = new Int32Array(length);
    this.addon.inspect(this.handle, k, what, out);
    return out;
  }
}
