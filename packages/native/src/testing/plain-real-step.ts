/**
 * The step of docs/training-step.md 8 in plain loops, every operation rounded as it says there: what the native one has to equal in
 * every bit. Written to be read beside the specification, not to be fast.
 */
import type { KernelShape } from '@cbnn/runtime';
import type { RealTrainerOptions } from '../real-trainer.js';
import { lossOf } from './plain-step.js';

const SMALLEST = 2 ** -126;
const EPSILON = Math.fround(1e-4);
const GAIN = Math.fround(1e20);
/** Outputs whose magnitudes are added up beside each other. */
const BLOCK = 32;

/** Single precision, numbers too small for its normal form being 0. */
function f(value: number): number {
  const single = Math.fround(value);
  return Math.abs(single) < SMALLEST ? single * 0 : single;
}

const bits = new Uint32Array(1);
const single = new Float32Array(bits.buffer);

/** To the nearest, halves to even. */
function bfloat16(value: number): number {
  single[0] = value;
  bits[0] = ((bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) >>> 16) << 16;
  return f(single[0]);
}

/** A layer as a convolution: a dense one is of 1x1, on one map whose pixels are the images and whose channels all that they have. */
interface Layer {
  readonly images: number;
  readonly input: { readonly height: number; readonly width: number; readonly channels: number };
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly pad: number;
  readonly pool: number;
  /** of the sums that are pooled, and after that */
  readonly height: number;
  readonly width: number;
  readonly pooled: { readonly height: number; readonly width: number };
}

interface Trace {
  readonly layer: Layer;
  /** `[image][y][x][channel]`, as all maps */
  readonly x: Float64Array;
  readonly q: Float64Array;
  readonly p: Float64Array;
  readonly winner: Int32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  readonly inverse: number[];
  /** gamma, or its power of two */
  readonly factor: number[];
  readonly gain: number[];
  readonly offset: number[];
  /** of the sums before pooling, `[image][y][x]`; null where they are not scaled */
  readonly k: Float64Array | null;
}

export interface PlainRealResult {
  readonly loss: number;
  readonly correct: number;
  readonly scores: Float32Array;
  readonly statistics: { readonly mean: Float32Array; readonly variance: Float32Array }[];
}

/** Forward, loss and backward; writes the gradients of `options.layers`. */
export function plainRealStep(
  options: RealTrainerOptions,
  pixels: Uint8Array,
  labels: ArrayLike<number>,
  { targets, sharpness = 1 }: { readonly targets?: Float32Array; readonly sharpness?: number } = {},
): PlainRealResult {
  const { shapes, layers } = options;
  const traces: Trace[] = [];
  let x: Float64Array = readImages(options, pixels);
  let magnitudes: Float64Array | null = null;
  for (const shape of shapes) {
    const trace: Trace = forward(options, shape, x, magnitudes);
    traces.push(trace);
    magnitudes = layers[shape.index]!.activation === 'scaled-sign' ? meanMagnitudes(trace) : null;
    x = trace.p.map((p, i) => activation(options, shape, i, valueAt(trace, i, p)));
  }
  const last = traces.at(-1)!;
  const scores = Float32Array.from(last.p, (p, i) => valueAt(last, i, p));
  const { loss, correct, gradient } = lossOf(options, scores, labels, last.layer.outputs, targets);
  let dy: Float64Array = Float64Array.from(gradient, f);
  let dmagnitude: Float64Array | null = null;
  for (let k = shapes.length - 1; k >= 0; k--) {
    const trace = traces[k]!;
    const ofScaled = sumGradient(options, k, trace, dy, dmagnitude, f(sharpness));
    const dz = ofScaled.map((d, i) =>
      bfloat16(trace.k ? f(d * trace.k[Math.floor(i / trace.layer.outputs)]!) : d),
    );
    dmagnitude = trace.k && magnitudeGradient(trace, ofScaled, traces[k - 1]!);
    layers[k]!.gradients.weights.set(weightGradient(trace, dz));
    if (k > 0) dy = inputGradient(trace, dz);
  }
  return { loss, correct, scores, statistics: traces.map(({ mean, variance }) => ({ mean, variance })) };
}

/** Of the sums before pooling, after scaling, from that of the activations and of their magnitudes; and of gamma and beta. */
function sumGradient(
  options: RealTrainerOptions,
  k: number,
  trace: Trace,
  handed: Float64Array,
  dmagnitude: Float64Array | null,
  sharpness: number,
): Float64Array {
  const { layer, p, mean, inverse, factor } = trace;
  const { outputs, pooled, images } = layer;
  const area = pooled.height * pooled.width;
  const passed = handed.map((d, i) => {
    const y = valueAt(trace, i, p[i]!);
    const open = passedOn(options, k, y, d, sharpness);
    return dmagnitude ? f(open + (Math.sign(y) * dmagnitude[Math.floor(i / outputs)]! || 0)) : open;
  });
  const dz = new Float64Array(images * layer.height * layer.width * outputs);
  for (let c = 0; c < outputs; c++) {
    let [first, second] = [0, 0];
    for (let n = 0; n < images; n++) {
      let [sum, product] = [0, 0];
      for (let i = 0; i < area; i++) {
        const at = (n * area + i) * outputs + c;
        sum = f(sum + passed[at]!);
        product = f(product + f(passed[at]! * f(p[at]! - mean[c]!)));
      }
      first += sum;
      second += product;
    }
    const { gradients } = options.layers[k]!;
    gradients.beta[c] = f(first);
    gradients.gamma[c] = f(second * inverse[c]!);
    const scale = factor[c]! * inverse[c]!;
    const slope = f(scale);
    const curve = f((-scale * inverse[c]! * inverse[c]! * second) / (images * area));
    const constant = f((-scale * first) / (images * area));
    for (let i = 0; i < images * area; i++) {
      const at = i * outputs + c;
      const curved = f(f(p[at]! - mean[c]!) * curve);
      dz[placeOf(layer, i, trace.winner[at]!) * outputs + c] = f(
        f(f(passed[at]! * slope) + curved) + constant,
      );
    }
  }
  return dz;
}

function layerOf({ kind, input, output, pooled, ...shape }: KernelShape, batch: number): Layer {
  if (kind === 'dense')
    return {
      ...{ images: 1, kernel: 1, stride: 1, pad: 0, pool: 1, outputs: output.channels },
      input: { height: 1, width: batch, channels: shape.fanIn },
      ...{ height: 1, width: batch, pooled: { height: 1, width: batch } },
    };
  const { kernel, stride, padStart: pad, pool } = shape;
  const [height, width] = [pooled.height * pool, pooled.width * pool];
  return { images: batch, kernel, stride, pad, pool, outputs: output.channels, input, height, width, pooled };
}

function readImages({ input, batch }: RealTrainerOptions, pixels: Uint8Array): Float64Array {
  const values: number[] = [];
  for (let at = 0; at < batch * input.height * input.width * input.channels; at += input.channels) {
    const pixel = pixels.subarray(at, at + input.channels);
    if (input.encoding === '8-bit') for (const value of pixel) values.push(2 * value - 255);
    else for (const { channel, bit } of input.slices) values.push(((pixel[channel]! >> bit) & 1) * 2 - 1);
  }
  return Float64Array.from(values);
}

/** Where pixel (y, x) of an image begins in the layer's input; -1 outside. */
function inputAt({ input }: Layer, n: number, y: number, x: number): number {
  const isInside = y >= 0 && x >= 0 && y < input.height && x < input.width;
  return isInside ? ((n * input.height + y) * input.width + x) * input.channels : -1;
}

/** Index in the map before pooling of place `j` of the window of pixel `i` of all images. */
function placeOf({ pooled, pool, height, width }: Layer, i: number, j: number): number {
  const [row, column] = [Math.floor(i / pooled.width), i % pooled.width];
  const n = Math.floor(row / pooled.height);
  const y = (row % pooled.height) * pool + Math.floor(j / pool);
  return (n * height + y) * width + column * pool + (j % pool);
}

/** sum + second product + first product, each addition rounded. */
const addPair = (sum: number, first: number, second: number): number => f(f(sum + second) + first);

function forward(
  { layers, batch, hasShifts }: RealTrainerOptions,
  shape: KernelShape,
  x: Float64Array,
  magnitudes: Float64Array | null,
): Trace {
  const layer = layerOf(shape, batch);
  const { images, outputs, kernel, stride, pad, height, width, pool, pooled } = layer;
  const { weights, gamma, beta, activation } = layers[shape.index]!;
  const q = Float64Array.from(weights, bfloat16);
  const run = kernel * layer.input.channels;
  const z = new Float64Array(images * height * width * outputs);
  const k = magnitudes && scales(layer, magnitudes);
  for (let i = 0; i < images * height * width; i++) {
    const [n, y, left] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let ky = 0; ky < kernel; ky++) {
        const product = (j: number): number => {
          const kx = Math.floor(j / layer.input.channels);
          const at = inputAt(layer, n, y * stride + ky - pad, left * stride + kx - pad);
          return j < run && at >= 0
            ? x[at + (j % layer.input.channels)]! * q[(o * kernel + ky) * run + j]!
            : 0;
        };
        for (let j = 0; j < run; j += 2) sum = addPair(sum, product(j), product(j + 1));
      }
      z[i * outputs + o] = k ? f(sum * k[i]!) : sum;
    }
  }
  const area = pooled.height * pooled.width;
  const p = new Float64Array(images * area * outputs);
  const winner = new Int32Array(p.length);
  for (let at = 0; at < p.length; at++)
    for (let j = 0; j < pool * pool; j++) {
      const sum = z[placeOf(layer, Math.floor(at / outputs), j) * outputs + (at % outputs)]!;
      if (j === 0 || sum > p[at]!) [p[at], winner[at]] = [sum, j];
    }
  const mean = new Float32Array(outputs);
  const variance = new Float32Array(outputs);
  const share = f(1 / area);
  for (let c = 0; c < outputs; c++) {
    const sums: number[] = [];
    const squares: number[] = [];
    for (let n = 0; n < images; n++) {
      const own = Array.from({ length: area }, (_, i) => p[(n * area + i) * outputs + c]!);
      const sum = own.reduce((total, value) => f(total + value), 0);
      sums.push(sum);
      squares.push(
        own.reduce((total, value) => f(total + f(f(value - f(sum * share)) * f(value - f(sum * share)))), 0),
      );
    }
    const centre = sums.reduce((total, sum) => total + sum, 0) / (images * area);
    let square = 0;
    for (const [n, sum] of sums.entries()) {
      const apart = f(sum * share) - centre;
      square += squares[n]! + apart * apart * area;
    }
    mean[c] = f(centre);
    variance[c] = f(square / (images * area));
    if (hasShifts) variance[c] = f(shiftedSquare(p, outputs, c, mean[c]!, area) / (images * area));
  }
  const rounded = (value: number) => (hasShifts ? powerOfTwo(value) : value);
  const inverse = Array.from(variance, (value) => rounded(f(1 / f(Math.sqrt(f(value + EPSILON))))));
  const factor = Array.from(gamma, rounded);
  const scale = inverse.map((value, c) => f(factor[c]! * value));
  const isSign = activation === 'sign';
  return {
    ...{ layer, x, q, p, winner, mean, variance, inverse, factor, k },
    gain: isSign ? scale.map((value) => f(value * GAIN)) : scale,
    offset: Array.from(beta, (value) => (isSign ? f(f(value * GAIN) + 1) : value)),
  };
}

/** Batch norm's value; in 1e20ths and shifted by one, where a sign follows. */
function valueAt({ layer, mean, gain, offset }: Trace, i: number, p: number): number {
  const c = i % layer.outputs;
  return f(f(f(p - mean[c]!) * gain[c]!) + offset[c]!);
}

/** Of the value at `i` in `[image][y][x][output]`. */
function activation({ layers }: RealTrainerOptions, shape: KernelShape, i: number, value: number): number {
  const { activation, noise } = layers[shape.index]!;
  if (activation.startsWith('random-')) {
    const [outputs, area] = [shape.output.channels, shape.pooled.height * shape.pooled.width];
    const [pixel, c] = [Math.floor(i / outputs), i % outputs];
    const [n, at] = [Math.floor(pixel / area), pixel % area];
    return noise![(n * outputs + c) * area + at]! < f(f(value + 1) * 0.5) ? 1 : -1;
  }
  return activation.endsWith('sign') ? (value >= 0 ? 1 : -1) : bfloat16(Math.max(value, 0));
}

/** What the activation passes on of the gradient d. */
function passedOn(
  { layers }: RealTrainerOptions,
  k: number,
  value: number,
  d: number,
  sharpness: number,
): number {
  const { activation } = layers[k]!;
  if (activation.endsWith('decaying-sign')) return f(d * decayingSlope(value, sharpness));
  if (activation.endsWith('approximate-sign')) return f(d * Math.max(0, f(f(1 - Math.abs(value)) * 2)));
  if (activation === 'none') return d;
  const isOpen = activation === 'relu' ? value > 0 : Math.abs(value) <= (activation === 'sign' ? GAIN : 1);
  return isOpen ? d : 0;
}

/** Of 2^part, |part| <= 1/2, from the sixth power down to the first: (log 2)^n / n!. */
const POLYNOMIAL = [1.540353e-4, 1.3333558e-3, 9.6181291e-3, 5.5504109e-2, 2.4022651e-1, 6.9314718e-1];

/** max(t, 1) (1 - tanh(t y)^2) = max(t, 1) * 4 e / (1 + e)^2, with e = exp(-2 |t y|). */
function decayingSlope(y: number, sharpness: number): number {
  const power = Math.max(-125, f(f(Math.abs(y) * sharpness) * Math.fround(-2.8853901)));
  const whole = f(f(power + 12582912) - 12582912);
  const part = f(power - whole);
  const series = POLYNOMIAL.reduce((sum, factor) => f(f(sum + Math.fround(factor)) * part), 0);
  const e = f(f(series + 1) * 2 ** whole);
  return f(f(e * f(4 * Math.max(sharpness, 1))) / f(f(e + 1) * f(e + 1)));
}

/** The nearest by the logarithm: bits of a float to bits of one; sqrt(2) lies between 0x3fb504f3 and the next. 0 stays. */
function powerOfTwo(value: number): number {
  single[0] = Math.abs(value);
  bits[0] = (bits[0]! + 0x3f800000 - 0x3f3504f4) & 0x7f800000;
  return value < 0 || Object.is(value, -0) ? -single[0] : single[0];
}

/** Of channel c: sum of d times its power of two, d = p - mean; images in f32, then in double precision. */
function shiftedSquare(p: Float64Array, outputs: number, c: number, mean: number, area: number): number {
  let total = 0;
  for (let first = c; first < p.length; first += area * outputs) {
    let square = 0;
    for (let at = first; at < first + area * outputs; at += outputs) {
      const d = f(p[at]! - mean);
      square = f(square + f(d * powerOfTwo(d)));
    }
    total += square;
  }
  return total;
}

/** Values added up in the lanes of blocks, in order of blocks; lanes by halves. */
function inLanes(values: number[]): number {
  const lanes = new Float64Array(BLOCK);
  for (const [i, value] of values.entries()) lanes[i % BLOCK] = f(lanes[i % BLOCK]! + value);
  for (let half = BLOCK / 2; half >= 1; half /= 2)
    for (let i = 0; i < half; i++) lanes[i] = f(lanes[i]! + lanes[i + half]!);
  return lanes[0]!;
}

/** Mean |y| over channels, `[image][y][x]`. */
function meanMagnitudes(trace: Trace): Float64Array {
  const { p, layer } = trace;
  const size = layer.outputs;
  return Float64Array.from({ length: p.length / size }, (_, pixel) => {
    const own = Array.from({ length: size }, (_, c) => pixel * size + c);
    return f(inLanes(own.map((i) => Math.abs(valueAt(trace, i, p[i]!)))) * f(1 / size));
  });
}

/** The magnitudes that the scale at `place` is the mean of, by rows of its window, and of how many: those outside are 0. */
function windowOf(layer: Layer, count: number, place: number): { rows: number[][]; size: number } {
  const { input, kernel, stride, pad, height, width, images } = layer;
  const area = input.height * input.width;
  // A dense layer behind a map: a position is an image, which has as many magnitudes as the map pixels.
  const pixels = count / (images * area);
  if (pixels > 1)
    return { rows: [Array.from({ length: pixels }, (_, i) => place * pixels + i)], size: pixels };
  const [n, y, x] = [Math.floor(place / (height * width)), Math.floor(place / width) % height, place % width];
  const offsets = Array.from({ length: kernel }, (_, i) => i - pad);
  const rows = offsets.map((ky) =>
    offsets
      .map((kx) => [y * stride + ky, x * stride + kx] as const)
      .filter(([row, column]) => row >= 0 && column >= 0 && row < input.height && column < input.width)
      .map(([row, column]) => n * area + row * input.width + column),
  );
  return { rows, size: kernel ** 2 };
}

const sumOf = (values: number[]): number => values.reduce((sum, value) => f(sum + value), 0);

/** K: `[image][y][x]` of the sums before pooling. */
function scales(layer: Layer, magnitudes: Float64Array): Float64Array {
  return Float64Array.from({ length: layer.images * layer.height * layer.width }, (_, place) => {
    const { rows, size } = windowOf(layer, magnitudes.length, place);
    return f(sumOf(rows.map((row) => sumOf(row.map((i) => magnitudes[i]!)))) * f(1 / size));
  });
}

/** Of the magnitudes that K is made of, from that of the scaled sums. */
function magnitudeGradient({ layer, p, k }: Trace, ofScaled: Float64Array, before: Trace): Float64Array {
  const { outputs, width, pool, pooled } = layer;
  const channels = before.layer.outputs;
  const gradient = new Float64Array(before.p.length / channels);
  for (const [place, scale] of k!.entries()) {
    const row = Math.floor(Math.floor(place / width) / pool);
    const pixel = row * pooled.width + Math.floor((place % width) / pool);
    const products = Array.from({ length: outputs }, (_, c) =>
      f(ofScaled[place * outputs + c]! * p[pixel * outputs + c]!),
    );
    const blocks = Array.from({ length: Math.ceil(outputs / BLOCK) }, (_, i) =>
      inLanes(products.slice(i * BLOCK, (i + 1) * BLOCK)),
    );
    const { rows, size } = windowOf(layer, gradient.length, place);
    const ofScale = scale > 0 ? f(sumOf(blocks) / scale) : 0;
    const own = f(f(ofScale * f(1 / size)) * f(1 / channels));
    for (const i of rows.flat()) gradient[i] = f(gradient[i]! + own);
  }
  return gradient;
}

function weightGradient({ layer, x, q }: Trace, dz: Float64Array): Float64Array {
  const { images, outputs, kernel, stride, pad, height, width, input } = layer;
  return Float64Array.from(q, (_, w) => {
    const c = w % input.channels;
    const tap = Math.floor(w / input.channels) % kernel ** 2;
    const o = Math.floor(w / (input.channels * kernel ** 2));
    const product = (n: number, y: number, left: number): number => {
      const row = y * stride + Math.floor(tap / kernel) - pad;
      const at = inputAt(layer, n, row, left * stride + (tap % kernel) - pad);
      return left < width && at >= 0 ? dz[((n * height + y) * width + left) * outputs + o]! * x[at + c]! : 0;
    };
    let sum = 0;
    for (let n = 0; n < images; n++)
      for (let y = 0; y < height; y++)
        for (let left = 0; left < width; left += 2)
          sum = addPair(sum, product(n, y, left), product(n, y, left + 1));
    return sum;
  });
}

function inputGradient({ layer, q }: Trace, dz: Float64Array): Float64Array {
  const { images, outputs, kernel, stride, pad, height, width, input } = layer;
  const dx = new Float64Array(images * input.height * input.width * input.channels);
  return dx.map((_, at) => {
    const c = at % input.channels;
    const pixel = Math.floor(at / input.channels);
    const [n, row, column] = [
      Math.floor(pixel / (input.height * input.width)),
      Math.floor(pixel / input.width) % input.height,
      pixel % input.width,
    ];
    let sum = 0;
    for (let tap = 0; tap < kernel ** 2; tap++) {
      const [y, left] = [row + pad - Math.floor(tap / kernel), column + pad - (tap % kernel)];
      if (y % stride || left % stride) continue;
      const [from, to] = [y / stride, left / stride];
      if (from < 0 || to < 0 || from >= height || to >= width) continue;
      const product = (o: number): number =>
        o < outputs
          ? dz[((n * height + from) * width + to) * outputs + o]! *
            q[(o * kernel ** 2 + tap) * input.channels + c]!
          : 0;
      for (let o = 0; o < outputs; o += 2) sum = addPair(sum, product(o), product(o + 1));
    }
    return sum;
  });
}
