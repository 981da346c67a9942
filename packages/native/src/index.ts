/**
 * The native engine: bit-equal to the reference engine, on the widest instructions that this processor has.
 *
 * It is an addon in C (csrc/) with no dependencies; where the package has none for a platform, `nativeRefusal` says so and
 * whoever asked goes on with the WebAssembly engine.
 */
import {
  checkPixels,
  codeTable,
  configError,
  layerBound,
  modelShapes,
  type PackedModel,
  validateModel,
} from '@cbnn/runtime';
import { type Addon, addon, CONVOLUTIONS, type Handle, wayNumber } from './addon.js';
import { describeShapes } from './describe.js';
import { nativeThreads } from './threads.js';

export { RealEngine } from './real.js';
export type { RealLayer, RealNetwork } from './real-network.js';
export { type RealReference, type Rounding, runRealReference } from './real-reference.js';
export {
  type RealStepResult,
  type RealStepTimes,
  type RealTensor,
  RealTrainer,
  type RealTrainerOptions,
  type RealTrainingLayer,
  realTrainingKernels,
} from './real-trainer.js';
export {
  type GradientReport,
  type NativeStepResult,
  NativeTrainer,
  type NativeTrainerOptions,
  productLimit,
  type StepTimes,
  trainingKernels,
  trainingRefusal,
} from './trainer.js';
export { nativeThreads };

const FIRST_LAYERS = ['tables', 'permutations'] as const;

/** A model that needs more is refused. */
const MOST_BYTES = 2 ** 29;

/** Instruction sets that this processor and the addon have, fastest first: `avx512`, `avx2`, `neon`, `portable`. */
export const nativeKernels = (): string[] => (typeof addon === 'string' ? [] : addon.kernels());

/** Why there is no native engine on this machine; null where there is one. */
export const nativeRefusal = (): string | null => (typeof addon === 'string' ? addon : null);

export interface NativeOptions {
  /** an instruction set of `nativeKernels()`; the fastest by default */
  readonly kernels?: string;
  /**
   * how a first convolution is computed where both can do it (`avx512`, a stride of 1, sums of 16 bits, at most 32 kinds of borders), else by
   * tables: the faster by default, by a short measurement. Results are the same
   */
  readonly firstLayer?: 'tables' | 'permutations';
  /** how convolutions of bits are computed where both can be (not on `avx512`, which counts): the faster by default, too */
  readonly convolutions?: 'looked-up' | 'counted';
}

export interface NativeRunOptions {
  /** the pixels have already been through the model's stretch and code; default false */
  readonly prepared?: boolean;
}

export class NativeEngine {
  private constructor(
    private readonly addon: Addon,
    private readonly handle: Handle,
    private readonly model: PackedModel,
    /** the instruction set that it runs on */
    readonly kernels: string,
  ) {}

  /**
   * Lays `model` out. Throws a model error for an invalid model, and a config error where there is no addon, the processor
   * has not the instructions asked for, or the model needs more than 512 MB.
   */
  static create(model: PackedModel, options: NativeOptions = {}): NativeEngine {
    if (typeof addon === 'string') throw configError(`engine native: ${addon}`);
    validateModel(model);
    const kernels = options.kernels ?? addon.kernels()[0]!;
    const { numbers, arrays } = describe(model);
    let handle: Handle;
    try {
      const first = wayNumber(FIRST_LAYERS, options.firstLayer);
      const sums = wayNumber(CONVOLUTIONS, options.convolutions);
      handle = addon.create(numbers, arrays, kernels, MOST_BYTES, first, sums);
    } catch (error) {
      throw configError(`engine native: ${error instanceof Error ? error.message : String(error)}`);
    }
    return new NativeEngine(addon, handle, model, kernels);
  }

  /** Scores of one image, uint8 `[height][width][channel]`, into `scores`. Throws a data error for another size. */
  run(pixels: Uint8Array, scores: Int32Array, { prepared = false }: NativeRunOptions = {}): void {
    checkPixels(pixels, this.model.input);
    this.addon.run(this.handle, pixels, 1, prepared, scores);
  }

  /**
   * int32 scores `[count][classes]` of `count` images, one behind the other, computed on `threads` threads of Node's pool (of
   * which there are four, unless UV_THREADPOOL_SIZE says otherwise). The pixels may not be transferred, resized or detached
   * meanwhile. Throws a config error for another number of bytes or threads that are none.
   */
  async runBatch(
    pixels: Uint8Array,
    count: number,
    { prepared = false, threads = 1 }: NativeRunOptions & { readonly threads?: number } = {},
  ): Promise<Int32Array> {
    const { height, width, channels } = this.model.input;
    const size = height * width * channels;
    if (pixels.length !== count * size)
      throw configError(
        `engine native: expected ${count} images of ${size} bytes, got ${pixels.length} bytes`,
      );
    if (!Number.isInteger(threads) || threads < 1)
      throw configError(`engine native: expected threads as an integer from 1, got ${threads}`);
    const classes = this.model.classes.length;
    const scores = new Int32Array(count * classes);
    // Each part has a workspace of its own: more of them than threads would only wait.
    const share = Math.max(1, Math.ceil(count / Math.min(threads, nativeThreads())));
    const parts: Promise<void>[] = [];
    for (let start = 0; start < count; start += share) {
      const end = Math.min(count, start + share);
      parts.push(
        this.addon.runLater(
          this.handle,
          pixels.subarray(start * size, end * size),
          end - start,
          prepared,
          scores.subarray(start * classes, end * classes),
        ),
      );
    }
    await Promise.all(parts);
    return scores;
  }

  /**
   * Seconds of each layer by itself, on the image of the last `run` (medians of `rounds`), and the products a second that this
   * processor reaches with xor, popcount and addition in registers: what no such engine can go beyond.
   */
  measure(rounds = 25): { seconds: number[]; limit: number } {
    const out = new Float64Array(this.model.kernels.length + 1);
    this.addon.measure(this.handle, rounds, out);
    return { seconds: Array.from(out.subarray(0, -1), (one) => one / 1e9), limit: out.at(-1)! };
  }

  /** Bits of every hidden layer after the last `run`, `[y][x][channel]`: to compare with the reference. */
  hiddenBits(): Uint8Array[] {
    return modelShapes(this.model)
      .slice(0, -1)
      .map(({ pooled }, k) => {
        const bits = new Uint8Array(pooled.height * pooled.width * pooled.channels);
        this.addon.bits(this.handle, k, bits);
        return bits;
      });
  }
}

/** A model as the addon reads it: shapes, and `read_model` in csrc/addon.c takes these arrays in the same order. */
function describe(model: PackedModel): { numbers: Int32Array; arrays: unknown[] } {
  const { input, kernels } = model;
  const shapes = modelShapes(model);
  const numbers = describeShapes(
    input,
    shapes,
    kernels.map(({ weights }, k) => ({
      hasIntegers: weights.type === 'integer',
      bound: layerBound(input, shapes[k]!, weights),
    })),
  );
  const arrays: unknown[] = input.code ? [codeTable(input.code)] : [];
  for (const kernel of kernels) {
    const { weights } = kernel;
    arrays.push(weights.type === 'integer' ? weights.values : weights.bits);
    if (kernel.output === 'bits') arrays.push(kernel.thresholds);
    else arrays.push(kernel.scale, kernel.bias);
  }
  return { numbers, arrays };
}
