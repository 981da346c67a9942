/**
 * The native engine of networks whose sums are real numbers (csrc/real): XNOR-Net's with bits where it has bits, pruned ones with
 * the weights that are left. Its scores are those of `runRealReference` to the bit, on every instruction set and for any batch.
 */
import { configError } from '@cbnn/runtime';
import { type Addon, addon, type RealHandle } from './addon.js';
import { describeShapes } from './describe.js';
import { type RealNetwork, realForms } from './real-network.js';
import { nativeThreads } from './threads.js';

/** A network that needs more is refused. */
const MOST_BYTES = 2 ** 30;

export class RealEngine {
  private constructor(
    private readonly addon: Addon,
    private readonly handle: RealHandle,
    /** floats of an image, `[channel][y][x]` as the first layer sees it */
    private readonly imageSize: number,
    private readonly classes: number,
    /** the instruction set that it runs on */
    readonly kernels: string,
  ) {}

  /**
   * Lays `network` out. Throws a config error where there is no addon, the processor has not the instructions asked for, the
   * layers' forms do not go together, or it needs more than 1 GB.
   */
  static create(network: RealNetwork, options: { readonly kernels?: string } = {}): RealEngine {
    if (typeof addon === 'string') throw configError(`engine native: ${addon}`);
    const { input, shapes, layers, hasK } = network;
    const kernels = options.kernels ?? addon.kernels()[0]!;
    const numbers = describeShapes(
      input,
      shapes,
      layers.map(() => ({ hasIntegers: false, bound: 0 })),
    );
    let handle: RealHandle;
    try {
      handle = addon.createReal(
        numbers,
        Int32Array.from(layers, ({ form }) => realForms.indexOf(form)),
        hasK,
        layers.flatMap(({ weights, mean, scale, beta }) => [weights, mean, scale, beta]),
        kernels,
        MOST_BYTES,
      );
    } catch (error) {
      throw configError(`engine native: ${error instanceof Error ? error.message : String(error)}`);
    }
    const { height, width, channels } = shapes[0]!.input;
    return new RealEngine(addon, handle, height * width * channels, shapes.at(-1)!.output.channels, kernels);
  }

  /** Scores `[class]` of one image, `[channel][y][x]`, into `scores`. Throws an error for arrays of another length. */
  run(planes: Float32Array, scores: Float32Array): void {
    this.addon.runReal(this.handle, planes, 1, scores);
  }

  /**
   * Scores `[count][class]` of `count` images on `threads` threads of Node's pool. The planes may not be transferred, resized or
   * detached meanwhile. Throws a config error for another number of values or threads that are none.
   */
  async runBatch(
    planes: Float32Array,
    count: number,
    { threads = 1 }: { readonly threads?: number } = {},
  ): Promise<Float32Array> {
    const { imageSize, classes } = this;
    if (planes.length !== count * imageSize)
      throw configError(
        `engine native: expected ${count} images of ${imageSize} values, got ${planes.length} values`,
      );
    if (!Number.isInteger(threads) || threads < 1)
      throw configError(`engine native: expected threads as an integer from 1, got ${threads}`);
    const scores = new Float32Array(count * classes);
    const share = Math.max(1, Math.ceil(count / Math.min(threads, nativeThreads())));
    const parts: Promise<void>[] = [];
    for (let start = 0; start < count; start += share) {
      const end = Math.min(count, start + share);
      parts.push(
        this.addon.runRealLater(
          this.handle,
          planes.subarray(start * imageSize, end * imageSize),
          end - start,
          scores.subarray(start * classes, end * classes),
        ),
      );
    }
    await Promise.all(parts);
    return scores;
  }
}
