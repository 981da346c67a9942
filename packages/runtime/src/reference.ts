/**
 * The reference engine: what docs/model-format.md says, in plain loops over +-1 values, with nothing packed and
 * nothing clever. It is slow and meant to be obviously right: it is the oracle every other engine is tested
 * against, bit for bit, layer by layer.
 *
 * Layout: maps are `[height][width][channels]`, weights `[outputs][kernel y][kernel x][inputs]`, so the inner loop
 * runs along the channels of both. All arithmetic is on integers below 2^31 (validateModel sees to that).
 */

import { unpackRows } from './bits.js';
import { modelShapes } from './bounds.js';
import { MOST_BYTES } from './limits.js';
import type { InputSpec, PackedModel, Weights } from './model.js';
import { prepareImage } from './prepare.js';
import { type KernelShape, productsOf, valuesOf } from './shapes.js';
import { checkPixels } from './slices.js';

/** What one kernel layer computed. */
export interface LayerTrace {
  /** after pooling, before threshold or scale: `[height][width][channels]` */
  readonly sums: Int32Array;
  /** 0 or 1, `[height][width][channels]`; empty for the last layer */
  readonly bits: Uint8Array;
}

export interface ReferenceResult {
  /** one per class */
  readonly scores: Int32Array;
  /** one per kernel layer */
  readonly trace: readonly LayerTrace[];
}

export interface ReferenceOptions {
  /** the pixels have already been through the model's stretch and code; default false */
  readonly prepared?: boolean;
}

/** Products of an image at most, where nobody asked for plain loops: half a minute. */
const MOST_PRODUCTS = 2 ** 34;

/** Why `model` should not run here; null where it can. `products`: whether its length counts, too. */
export function referenceRefusal(model: PackedModel, { products }: { products: boolean }): string | null {
  const shapes = modelShapes(model);
  const total = (of: (shape: KernelShape) => number) => shapes.reduce((sum, shape) => sum + of(shape), 0);
  // Sums before and after pooling, bits, and +-1 of each.
  const bytes = total(
    ({ output, pooled, pool }) => (pool > 1 ? 4 * valuesOf(output) : 0) + 6 * valuesOf(pooled),
  );
  if (bytes > MOST_BYTES) return `it needs ${bytes} bytes of memory for an image, more than ${MOST_BYTES}`;
  const all = productsOf(shapes);
  return products && all > MOST_PRODUCTS ? `plain loops would take minutes for its ${all} products` : null;
}

/**
 * Runs a valid model on one image, uint8 `[height][width][channels]`. Throws a data error when the image has
 * another size.
 */
export function runReference(
  model: PackedModel,
  pixels: Uint8Array,
  options: ReferenceOptions = {},
): ReferenceResult {
  checkPixels(pixels, model.input);
  const image = options.prepared ? pixels : prepareImage(pixels, model.input);
  const shapes = modelShapes(model);
  const trace: LayerTrace[] = [];
  let values: Int32Array | Int8Array = inputValues(image, model.input);
  let scores = new Int32Array(0);
  for (const [k, kernel] of model.kernels.entries()) {
    const shape = shapes[k]!;
    const weights = weightValues(kernel.weights, shape);
    const sums = maxPool(
      shape.kind === 'conv' ? convolve(values, weights, shape) : dense(values, weights, shape),
      shape,
    );
    if (kernel.output === 'scores') {
      scores = sums.map((sum, c) => sum * kernel.scale[c]! + kernel.bias[c]!);
      trace.push({ sums, bits: new Uint8Array(0) });
    } else {
      const channels = shape.output.channels;
      const bits = Uint8Array.from(sums, (sum, i) => (sum >= kernel.thresholds[i % channels]! ? 1 : 0));
      values = Int8Array.from(bits, (bit) => (bit === 1 ? 1 : -1));
      trace.push({ sums, bits });
    }
  }
  return { scores, trace };
}

/** What the first layer multiplies: `[height][width][channels or slices]`. */
function inputValues(image: Uint8Array, input: InputSpec): Int32Array {
  if (input.encoding === '8-bit') return Int32Array.from(image, (x) => 2 * x - 255);
  const area = input.height * input.width;
  const count = input.slices.length;
  const values = new Int32Array(area * count);
  for (let p = 0; p < area; p++)
    for (let i = 0; i < count; i++) {
      const { channel, bit } = input.slices[i]!;
      const one = (image[p * input.channels + channel]! >> bit) & 1;
      values[p * count + i] = (one === 1 ? 1 : -1) * 2 ** input.shifts[i]!;
    }
  return values;
}

const weightValues = (weights: Weights, shape: KernelShape): Int8Array =>
  weights.type === 'integer' ? weights.values : unpackRows(weights.bits, shape.output.channels, shape.fanIn);

/** Taps outside the image contribute nothing. */
function convolve(values: Int32Array | Int8Array, weights: Int8Array, shape: KernelShape): Int32Array {
  const { input, output, kernel, stride, padStart } = shape;
  const sums = new Int32Array(valuesOf(output));
  for (let oy = 0; oy < output.height; oy++)
    for (let ox = 0; ox < output.width; ox++)
      for (let o = 0; o < output.channels; o++) {
        let sum = 0;
        for (let ky = 0; ky < kernel; ky++) {
          const y = oy * stride + ky - padStart;
          if (y < 0 || y >= input.height) continue;
          for (let kx = 0; kx < kernel; kx++) {
            const x = ox * stride + kx - padStart;
            if (x < 0 || x >= input.width) continue;
            const v = (y * input.width + x) * input.channels;
            const w = ((o * kernel + ky) * kernel + kx) * input.channels;
            for (let c = 0; c < input.channels; c++) sum += values[v + c]! * weights[w + c]!;
          }
        }
        sums[(oy * output.width + ox) * output.channels + o] = sum;
      }
  return sums;
}

/** Inputs are flattened as they lie in memory: `[y][x][channel]`. */
function dense(values: Int32Array | Int8Array, weights: Int8Array, shape: KernelShape): Int32Array {
  const sums = new Int32Array(shape.output.channels);
  for (let o = 0; o < sums.length; o++) {
    let sum = 0;
    for (let i = 0; i < shape.fanIn; i++) sum += values[i]! * weights[o * shape.fanIn + i]!;
    sums[o] = sum;
  }
  return sums;
}

/** The largest sum of each window; rows and columns that do not fill a window are dropped. */
function maxPool(sums: Int32Array, { output, pool, pooled }: KernelShape): Int32Array {
  if (pool === 1) return sums;
  const channels = output.channels;
  const result = new Int32Array(pooled.height * pooled.width * channels).fill(-(2 ** 31));
  for (let y = 0; y < pooled.height * pool; y++)
    for (let x = 0; x < pooled.width * pool; x++)
      for (let c = 0; c < channels; c++) {
        const to = (Math.floor(y / pool) * pooled.width + Math.floor(x / pool)) * channels + c;
        result[to] = Math.max(result[to]!, sums[(y * output.width + x) * channels + c]!);
      }
  return result;
}
