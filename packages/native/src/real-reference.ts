/**
 * The oracle of networks of real sums, in plain loops, and what their engine has to compute to the bit. With `Math.fround` every
 * product and every sum below is rounded to float32, in the order of the loops; without, they are float64.
 *
 *     real      z = sum of x * w over ky, kx, channel (zeros outside left out, which changes nothing)
 *     sparse    the weights that are not 0 alone, of a convolution over channel, ky, kx; of a dense layer in the order of all, but
 *               four sums take turns, (0 + 1) + (2 + 3)
 *     binary    z = n * alpha * K with the integer n = sum of sign(x) * sign(w) over what is inside the map
 *     then      p = largest z of a pooling window,  y = (p - mean) * scale + beta
 *     next      sign(y), sign(0) = +1, before a binary layer; y where it is above 0 before others; y itself at the end
 *     K         A = mean of |y| over channels: 32 sums take turns, then their upper halves are added to their lower ones, times
 *               1 / channels. Of a convolution sums of A over kx, of those over ky, times 1 / (kernel * kernel); of a dense layer
 *               the sum over the map, times 1 / area (Rastegari et al. 2016, section 3.2)
 */
import type { KernelShape } from '@cbnn/runtime';
import type { RealLayer, RealNetwork } from './real-network.js';

/** Rounds every intermediate: `Math.fround`, or nothing for float64. */
export type Rounding = (value: number) => number;

export interface RealReference {
  /** `[class]` */
  readonly scores: Float64Array;
  /** the smallest |y| that was binarized, beside the root mean square of its layer: other sums may turn signs that are nearer to 0 */
  readonly margin: number;
}

const PARTIALS = 4;
const BLOCK = 32;

/** `planes` `[channel][y][x]`, as the first layer sees an image. */
export function runRealReference(
  { shapes, layers, hasK }: RealNetwork,
  planes: Float32Array,
  round: Rounding = Math.fround,
): RealReference {
  let x = toPixels(planes, shapes[0]!);
  let magnitude: Float64Array = new Float64Array(0);
  let margin = Number.POSITIVE_INFINITY;
  for (const shape of shapes) {
    const layer = layers[shape.index]!;
    const k = layer.form === 'binary' && hasK ? scalesOf(shape, magnitude, round) : null;
    const y = normalize(shape, layer, pool(shape, sums(shape, layer, x, k, round)), round);
    const next = layers[shape.index + 1]?.form;
    if (next === undefined) return { scores: y, margin };
    if (next === 'binary') {
      magnitude = means(y, shape.output.channels, round);
      const size = Math.sqrt(y.reduce((sum, value) => sum + value * value, 0) / y.length);
      for (const value of y) margin = Math.min(margin, Math.abs(value) / size);
      x = y.map((value) => (value >= 0 ? 1 : -1));
    } else x = y.map((value) => (value > 0 ? value : 0));
  }
  throw new Error('expected layers');
}

function toPixels(planes: Float32Array, { input: { height, width, channels } }: KernelShape): Float64Array {
  const area = height * width;
  return Float64Array.from(
    { length: planes.length },
    (_, i) => planes[(i % channels) * area + Math.floor(i / channels)]!,
  );
}

/** z of every place, `[y][x][output]`. */
function sums(
  shape: KernelShape,
  { form, weights }: RealLayer,
  x: Float64Array,
  k: Float64Array | null,
  round: Rounding,
): Float64Array {
  const { kind, input, output, fanIn } = shape;
  const { channels } = input;
  const places = output.height * output.width;
  const windows = Array.from({ length: places }, (_, place) => pixelsOf(shape, place));
  const z = new Float64Array(places * output.channels);
  const turns = form === 'sparse' && kind === 'dense' ? PARTIALS : 1;
  for (let o = 0; o < output.channels; o++) {
    const w = weights.subarray(o * fanIn, (o + 1) * fanIn);
    const order = orderOf(form, kind, w, channels);
    const tapOf = order.map((i) => Math.floor(i / channels));
    for (const [place, pixels] of windows.entries()) {
      const partials = new Float64Array(PARTIALS);
      let turn = 0;
      for (let j = 0; j < order.length; j++) {
        const pixel = pixels[tapOf[j]!]!;
        if (pixel < 0) continue;
        const i = order[j]!;
        const value = x[pixel * channels + (i - tapOf[j]! * channels)]!;
        if (form === 'binary') partials[0]! += w[i]! > 0 ? value : -value;
        else partials[turn] = round(partials[turn]! + round(value * w[i]!));
        if (++turn === turns) turn = 0;
      }
      let sum = partials[0]!;
      if (turns > 1) sum = round(round(sum + partials[1]!) + round(partials[2]! + partials[3]!));
      if (form === 'binary') sum = round(round(round(sum) * Math.abs(w[0]!)) * (k ? k[place]! : 1));
      z[place * output.channels + o] = sum;
    }
  }
  return z;
}

/** Which weights of an output are multiplied, one after the other. */
function orderOf(
  form: RealLayer['form'],
  kind: KernelShape['kind'],
  w: Float32Array,
  channels: number,
): Int32Array {
  const all = Int32Array.from(w, (_, i) => i);
  if (form !== 'sparse') return all;
  const taps = w.length / channels;
  const order = kind === 'conv' ? all.map((i) => (i % taps) * channels + Math.floor(i / taps)) : all;
  return order.filter((i) => w[i] !== 0);
}

/** The pixel that each tap of a place's window is on, -1 outside the map; of a dense layer all pixels. */
function pixelsOf({ kind, input, output, kernel, stride, padStart }: KernelShape, place: number): Int32Array {
  if (kind === 'dense') return Int32Array.from({ length: input.height * input.width }, (_, i) => i);
  return Int32Array.from({ length: kernel * kernel }, (_, tap) => {
    const y = Math.floor(place / output.width) * stride + Math.floor(tap / kernel) - padStart;
    const x = (place % output.width) * stride + (tap % kernel) - padStart;
    return y < 0 || x < 0 || y >= input.height || x >= input.width ? -1 : y * input.width + x;
  });
}

function pool({ output, pool: size, pooled }: KernelShape, z: Float64Array): Float64Array {
  if (size === 1) return z;
  const p = new Float64Array(pooled.height * pooled.width * output.channels).fill(Number.NEGATIVE_INFINITY);
  for (let y = 0; y < pooled.height * size; y++)
    for (let x = 0; x < pooled.width * size; x++)
      for (let o = 0; o < output.channels; o++) {
        const at = (Math.floor(y / size) * pooled.width + Math.floor(x / size)) * output.channels + o;
        p[at] = Math.max(p[at]!, z[(y * output.width + x) * output.channels + o]!);
      }
  return p;
}

const normalize = (
  { output: { channels } }: KernelShape,
  { mean, scale, beta }: RealLayer,
  p: Float64Array,
  round: Rounding,
): Float64Array =>
  p.map((value, i) => {
    const o = i % channels;
    return round(round(round(value - mean[o]!) * scale[o]!) + beta[o]!);
  });

/** A: `[y][x]`. */
function means(y: Float64Array, channels: number, round: Rounding): Float64Array {
  return Float64Array.from({ length: y.length / channels }, (_, place) => {
    const totals = new Float64Array(BLOCK);
    for (let c = 0; c < channels; c++)
      totals[c % BLOCK] = round(totals[c % BLOCK]! + Math.abs(y[place * channels + c]!));
    for (let half = BLOCK / 2; half >= 1; half /= 2)
      for (let i = 0; i < half; i++) totals[i] = round(totals[i]! + totals[i + half]!);
    return round(totals[0]! * round(1 / channels));
  });
}

/** K: `[y][x]` of the places. */
function scalesOf(shape: KernelShape, magnitude: Float64Array, round: Rounding): Float64Array {
  const { kind, input, output, kernel, stride, padStart } = shape;
  if (kind === 'dense')
    return Float64Array.of(
      round(magnitude.reduce((sum, value) => round(sum + value), 0) * round(1 / magnitude.length)),
    );
  const share = round(1 / kernel ** 2);
  return Float64Array.from({ length: output.height * output.width }, (_, place) => {
    let total = 0;
    for (let ky = 0; ky < kernel; ky++) {
      const y = Math.floor(place / output.width) * stride + ky - padStart;
      let row = 0;
      for (let kx = 0; kx < kernel; kx++) {
        const x = (place % output.width) * stride + kx - padStart;
        if (y >= 0 && x >= 0 && y < input.height && x < input.width)
          row = round(row + magnitude[y * input.width + x]!);
      }
      total = round(total + row);
    }
    return round(total * share);
  });
}
