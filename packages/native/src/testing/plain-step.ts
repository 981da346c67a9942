/**
 * The training step of docs/training-step.md in plain loops, every float operation rounded as it says there: what the native
 * step has to equal in every bit. It shares no code with it, and is written to be read beside the specification, not to be fast.
 */
import type { KernelShape } from '@cbnn/runtime';
import type { NativeTrainerOptions, TrainedTensor } from '../trainer.js';

const f = Math.fround;
const EPSILON = f(1e-4);
const GAIN = f(1e20);
const LIMIT = 127;

interface Trace {
  /** input values of each image, `[y][x][channel]` */
  x: Float64Array[];
  /** quantized weights */
  q: Float64Array;
  /** the first layer's scale per output, 1 otherwise */
  scale: Float32Array;
  /** sums after pooling `[pixel][output]`, and which place of the window each came from */
  p: Float64Array[];
  winner: Int32Array[];
  mean: Float32Array;
  variance: Float32Array;
  inverse: Float32Array;
}

export interface PlainResult {
  loss: number;
  correct: number;
  scores: Float32Array;
  traces: Trace[];
  /** weight gradients in units of each layer's, `[output][ky][kx][channel]` */
  products: Float64Array[];
}

/** One step; changes the tensors of `options.layers`, and `units`. `rates` are float32. */
export function plainStep(
  options: NativeTrainerOptions,
  units: Float32Array,
  images: Uint8Array,
  labels: ArrayLike<number>,
  rates: { latent: number; float: number },
  number: number,
  targets?: Float32Array,
): PlainResult {
  const { shapes, layers, batch } = options;
  const traces: Trace[] = [];
  let x = readImages(options, images);
  for (const shape of shapes) {
    const trace = forward(options, shape, x);
    traces.push(trace);
    x = trace.p.map((p) => p.map((sum, i) => (valueAt(options, trace, shape, i, sum) >= 0 ? 1 : -1)));
  }
  const last = traces.at(-1)!;
  const classes = shapes.at(-1)!.output.channels;
  const { gamma, beta } = layers.at(-1)!;
  const scores = Float32Array.from({ length: batch * classes }, (_, i) => {
    const c = i % classes;
    const p = last.p[Math.floor(i / classes)]![c]!;
    return f(f(f(f(p) - last.mean[c]!) * f(gamma.value[c]! * last.inverse[c]!)) + beta.value[c]!);
  });

  const { loss, correct, gradient } = lossOf(options, scores, labels, classes, targets);
  const products: Float64Array[] = [];
  const gradients: { dgamma: Float32Array; dbeta: Float32Array }[] = [];
  // The last layer's batch norm from the gradient itself; the others' from what the layer behind handed on.
  let dbeta = new Float32Array(classes);
  let dgamma = new Float32Array(classes);
  for (let c = 0; c < classes; c++) {
    let first = 0;
    let second = 0;
    for (let n = 0; n < batch; n++) {
      const d = gradient[n * classes + c]!;
      first += d;
      second += d * f(f(last.p[n]![c]!) - last.mean[c]!);
    }
    dbeta[c] = f(first);
    dgamma[c] = f(second * last.inverse[c]!);
  }
  let dy: Float32Array[] = Array.from({ length: batch }, (_, n) =>
    Float32Array.from({ length: classes }, (_, c) => bfloat16(gradient[n * classes + c]!)),
  );
  let dyUnit = 1;
  for (let k = shapes.length - 1; k >= 0; k--) {
    gradients[k] = { dgamma, dbeta };
    const r = quantizeGradient(options, shapes[k]!, traces[k]!, dy, dyUnit, dgamma, dbeta, units, number);
    const dz = unpool(shapes[k]!, traces[k]!, r.rounded);
    products[k] = weightProducts(shapes[k]!, k > 0 ? traces[k]!.x : unshifted(options, traces[0]!.x), dz);
    if (k > 0) {
      const handed = inputGradient(options, shapes, traces, k, dz);
      dy = handed.dy;
      dyUnit = r.unit;
      const before = traces[k - 1]!;
      dgamma = Float32Array.from(handed.second, (sum, c) => f(sum * dyUnit * before.inverse[c]!));
      dbeta = Float32Array.from(handed.first, (sum) => f(sum * dyUnit));
    }
    const next = shapes[k]!.kind === 'conv' ? nextUnit(r) : r.unit;
    update(options, k, traces[k]!, products[k]!, r.unit, gradients[k]!, rates);
    units[k] = next;
  }
  return { loss, correct, scores, traces, products };
}

function readImages({ input, batch }: NativeTrainerOptions, images: Uint8Array): Float64Array[] {
  const area = input.height * input.width;
  return Array.from({ length: batch }, (_, n) => {
    const values: number[] = [];
    for (let i = 0; i < area; i++) {
      const pixel = images.subarray((n * area + i) * input.channels, (n * area + i + 1) * input.channels);
      if (input.encoding === '8-bit') for (const value of pixel) values.push(2 * value - 255);
      else
        for (const [k, { channel, bit }] of input.slices.entries())
          values.push((((pixel[channel]! >> bit) & 1) * 2 - 1) * 2 ** input.shifts[k]!);
    }
    return Float64Array.from(values);
  });
}

/** Slices as +-1: place values enter a gradient with its weight. */
const unshifted = ({ input }: NativeTrainerOptions, x: readonly Float64Array[]): Float64Array[] =>
  x.map((image) => (input.encoding === '8-bit' ? image : image.map(Math.sign)));

/** Kernel size and geometry; a dense layer's kernel is its whole input. */
function geometry(shape: KernelShape) {
  const dense = shape.kind === 'dense';
  return {
    kernelHeight: dense ? shape.input.height : shape.kernel,
    kernelWidth: dense ? shape.input.width : shape.kernel,
    stride: shape.stride,
    pad: shape.padStart,
    ...shape.output,
  };
}

/** Every product: output place, tap, input pixel. */
function eachMeeting(shape: KernelShape, visit: (place: number, tap: number, pixel: number) => void): void {
  const { kernelHeight, kernelWidth, stride, pad, height, width } = geometry(shape);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let ky = 0; ky < kernelHeight; ky++)
        for (let kx = 0; kx < kernelWidth; kx++) {
          const iy = y * stride + ky - pad;
          const ix = x * stride + kx - pad;
          if (iy < 0 || ix < 0 || iy >= shape.input.height || ix >= shape.input.width) continue;
          visit(y * width + x, ky * kernelWidth + kx, iy * shape.input.width + ix);
        }
}

function quantize(
  options: NativeTrainerOptions,
  shape: KernelShape,
): { q: Float64Array; scale: Float32Array } {
  const { value } = options.layers[shape.index]!.weights;
  const outputs = shape.output.channels;
  const scale = new Float32Array(outputs).fill(1);
  if (shape.index > 0 || options.firstLayer === 'binary')
    return { q: Float64Array.from(value, (w) => (w >= 0 ? 1 : -1)), scale };
  const channels = shape.input.channels;
  const placed = value.map((w, i) => f(w * options.place[i % channels]!));
  for (let o = 0; o < outputs; o++) {
    let largest = f(1e-20);
    for (let i = 0; i < shape.fanIn; i++) largest = Math.max(largest, Math.abs(placed[o * shape.fanIn + i]!));
    scale[o] = f(largest * f(1 / LIMIT));
  }
  return { q: Float64Array.from(placed, (w, i) => round(f(w / scale[Math.floor(i / shape.fanIn)]!))), scale };
}

function forward(options: NativeTrainerOptions, shape: KernelShape, x: Float64Array[]): Trace {
  const { q, scale } = quantize(options, shape);
  const outputs = shape.output.channels;
  const inputs = shape.input.channels;
  const taps = shape.fanIn / inputs;
  const p: Float64Array[] = [];
  const winner: Int32Array[] = [];
  for (const image of x) {
    const z = new Float64Array(shape.output.height * shape.output.width * outputs);
    eachMeeting(shape, (place, tap, pixel) => {
      for (let o = 0; o < outputs; o++) {
        let sum = 0;
        for (let c = 0; c < inputs; c++)
          sum += image[pixel * inputs + c]! * q[(o * taps + tap) * inputs + c]!;
        z[place * outputs + o]! += sum;
      }
    });
    const pooled = new Float64Array(shape.pooled.height * shape.pooled.width * outputs);
    const won = new Int32Array(pooled.length);
    for (let i = 0; i < pooled.length; i++) {
      const window = Math.floor(i / outputs);
      for (let j = shape.pool ** 2 - 1; j >= 0; j--) {
        const sum = z[placeOf(shape, window, j) * outputs + (i % outputs)]!;
        if (j === shape.pool ** 2 - 1 || sum >= pooled[i]!) [pooled[i], won[i]] = [sum, j];
      }
    }
    p.push(pooled);
    winner.push(won);
  }
  const samples = x.length * shape.pooled.height * shape.pooled.width;
  const mean = new Float32Array(outputs);
  const variance = new Float32Array(outputs);
  for (let c = 0; c < outputs; c++) {
    let sum = 0n;
    let square = 0n;
    for (const image of p)
      for (let i = c; i < image.length; i += outputs) {
        sum += BigInt(image[i]!);
        square += BigInt(image[i]! * image[i]!);
      }
    mean[c] = f(f(Number(sum)) * f(1 / samples));
    variance[c] = f(Number(BigInt(samples) * square - sum * sum) / (samples * samples));
  }
  const inverse = variance.map((value) => f(1 / f(Math.sqrt(f(value + EPSILON)))));
  return { x, q, scale, p, winner, mean, variance, inverse };
}

/** Index in the map before pooling of place `j` of a window. */
function placeOf(shape: KernelShape, window: number, j: number): number {
  const y = Math.floor(window / shape.pooled.width) * shape.pool + Math.floor(j / shape.pool);
  const x = (window % shape.pooled.width) * shape.pool + (j % shape.pool);
  return y * shape.output.width + x;
}

/** Batch norm's value in 1e20ths, shifted by one: its sign is the activation. `i` indexes `[pixel][output]`. */
function valueAt(
  options: NativeTrainerOptions,
  trace: Trace,
  shape: KernelShape,
  i: number,
  p: number,
): number {
  const c = i % shape.output.channels;
  const { gamma, beta } = options.layers[shape.index]!;
  const gain = f(f(gamma.value[c]! * trace.inverse[c]!) * GAIN);
  return f(f(f(f(p) - trace.mean[c]!) * gain) + f(f(beta.value[c]! * GAIN) + 1));
}

export function lossOf(
  { loss, batch }: Pick<NativeTrainerOptions, 'loss' | 'batch'>,
  scores: Float32Array,
  labels: ArrayLike<number>,
  classes: number,
  targets?: Float32Array,
): { loss: number; correct: number; gradient: Float32Array } {
  const gradient = new Float32Array(scores.length);
  let value = 0;
  let correct = 0;
  for (let n = 0; n < batch; n++) {
    const row = scores.subarray(n * classes, (n + 1) * classes);
    const label = labels[n]!;
    const best = row.indexOf(Math.max(...row));
    if (best === label) correct++;
    const largest = row[best]!;
    let total = 0;
    if (loss === 'cross-entropy') {
      for (const score of row) total += exponential(score - largest);
      const whole = logarithm(total) + largest;
      if (!targets) value += whole - row[label]!;
      else for (const [c, score] of row.entries()) value += targets[n * classes + c]! * (whole - score);
    }
    for (let c = 0; c < classes; c++) {
      if (loss === 'cross-entropy') {
        const share = exponential(row[c]! - largest) / total;
        gradient[n * classes + c] = (share - (targets?.[n * classes + c] ?? (c === label ? 1 : 0))) / batch;
        continue;
      }
      const sign = c === label ? 1 : -1;
      const margin = 1 - sign * row[c]!;
      if (margin > 0) {
        gradient[n * classes + c] = (-2 * sign * margin) / (batch * classes);
        value += (margin * margin) / classes;
      }
    }
  }
  return { loss: value / batch, correct, gradient };
}

function exponential(x: number): number {
  if (x < -700) return 0;
  const whole = Math.floor(x * Math.LOG2E + 0.5);
  const rest = x - whole * 0.6931471803691238 - whole * 1.9082149292705877e-10;
  let sum = 1;
  for (let i = 13; i > 0; i--) sum = 1 + (sum * rest) / i;
  return sum * 2 ** whole;
}

function logarithm(x: number): number {
  let power = 0;
  while (2 ** power <= x) power++;
  let y = (power - 1) * Math.LN2 + (2 * (x / 2 ** power) - 1);
  for (let i = 0; i < 5; i++) {
    const e = 1 / exponential(-y);
    y += (2 * (x - e)) / (x + e);
  }
  return y;
}

/** The gradient of the sums after pooling, rounded to integers of one unit. */
function quantizeGradient(
  { batch, layers }: NativeTrainerOptions,
  shape: KernelShape,
  trace: Trace,
  dy: readonly Float32Array[],
  dyUnit: number,
  dgamma: Float32Array,
  dbeta: Float32Array,
  units: Float32Array,
  number: number,
): { rounded: Int32Array[]; unit: number; largest: number } {
  const outputs = shape.output.channels;
  const samples = batch * shape.pooled.height * shape.pooled.width;
  const gamma = layers[shape.index]!.gamma.value;
  const inUnits = (unit: number): Float32Array[] => {
    const constants = Array.from({ length: outputs }, (_, c) => {
      const inverse = trace.inverse[c]!;
      const scale = gamma[c]! * inverse;
      const curve = (-scale * inverse * dgamma[c]!) / samples;
      return {
        slope: f((scale * dyUnit) / unit),
        curve: f(curve / unit),
        offset: f(((-scale * dbeta[c]!) / samples - trace.mean[c]! * curve) / unit),
      };
    });
    return trace.p.map((p, n) =>
      Float32Array.from(p, (sum, i) => {
        const { slope, curve, offset } = constants[i % outputs]!;
        return f(f(f(dy[n]![i]! * slope) + f(f(sum) * curve)) + offset);
      }),
    );
  };
  const largestOf = (values: readonly Float32Array[]) =>
    values.reduce((most, image) => image.reduce((a, b) => Math.max(a, Math.abs(b)), most), 0);
  let unit = units[shape.index]!;
  if (shape.kind === 'dense' || !(unit > 0)) {
    const largest = largestOf(inUnits(1));
    unit = largest > 0 ? f(largest / LIMIT) : 1;
  }
  const values = inUnits(unit);
  const { height, width } = shape.pooled;
  const rowLength = shape.kind === 'dense' ? 65_536 : width;
  const rows = shape.kind === 'dense' ? Math.ceil(batch / rowLength) : batch * height;
  const noise = noiseOf(mixed(Math.imul(number, layers.length) + shape.index), rows, rowLength);
  return {
    rounded: values.map((image, n) =>
      Int32Array.from(image, (d, i) => {
        const pixel = n * height * width + Math.floor(i / outputs);
        const added = ((noise[pixel]! + Math.imul(i % outputs, 0x9e3779b9)) >>> 0) >>> 16;
        return (Math.trunc(Math.min(LIMIT, Math.max(-LIMIT, d)) * 65536) + added) >> 16;
      }),
    ),
    unit,
    largest: largestOf(values),
  };
}

/** 32 random bits for each pixel of the batch, in order. */
function noiseOf(key: number, rows: number, rowLength: number): Uint32Array {
  const noise = new Uint32Array(rows * rowLength);
  for (let row = 0; row < rows; row++) {
    let word = mixed(key + row);
    for (let x = 0; x < rowLength; x++) {
      noise[row * rowLength + x] = word;
      word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    }
  }
  return noise;
}

function mixed(key: number): number {
  let x = key >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** A convolution's unit in the next step. */
function nextUnit({
  rounded,
  unit,
  largest,
}: {
  rounded: readonly Int32Array[];
  unit: number;
  largest: number;
}): number {
  let squares = 0;
  let values = 0;
  for (const image of rounded)
    for (const r of image) {
      squares += r * r;
      values++;
    }
  const most = f(32 * Math.sqrt(squares / values));
  const kept = most > 0 && most < largest ? most : largest;
  return kept > 0 ? f(f(unit * kept) / LIMIT) : unit;
}

/** Each gradient goes to the place that won its window. */
function unpool(shape: KernelShape, trace: Trace, rounded: readonly Int32Array[]): Float64Array[] {
  const outputs = shape.output.channels;
  return rounded.map((r, n) => {
    const dz = new Float64Array(shape.output.height * shape.output.width * outputs);
    for (let i = 0; i < r.length; i++)
      dz[placeOf(shape, Math.floor(i / outputs), trace.winner[n]![i]!) * outputs + (i % outputs)] = r[i]!;
    return dz;
  });
}

function weightProducts(
  shape: KernelShape,
  x: readonly Float64Array[],
  dz: readonly Float64Array[],
): Float64Array {
  const outputs = shape.output.channels;
  const inputs = shape.input.channels;
  const taps = shape.fanIn / inputs;
  const products = new Float64Array(outputs * shape.fanIn);
  for (const [n, image] of x.entries())
    eachMeeting(shape, (place, tap, pixel) => {
      for (let o = 0; o < outputs; o++) {
        const d = dz[n]![place * outputs + o]!;
        if (d !== 0)
          for (let c = 0; c < inputs; c++)
            products[(o * taps + tap) * inputs + c]! += d * image[pixel * inputs + c]!;
      }
    });
  return products;
}

/** What layer `k` hands to the one before: its dy in units of this layer's, and sums of it in the order of section 5. */
function inputGradient(
  options: NativeTrainerOptions,
  shapes: readonly KernelShape[],
  traces: readonly Trace[],
  k: number,
  dz: readonly Float64Array[],
): { dy: Float32Array[]; first: Float64Array; second: Float64Array } {
  const shape = shapes[k]!;
  const trace = traces[k]!;
  const before = traces[k - 1]!;
  const inputs = shape.input.channels;
  const outputs = shape.output.channels;
  const taps = shape.fanIn / inputs;
  const pixels = shape.input.height * shape.input.width;
  const whole = dz.map((map) => {
    const sums = new Float64Array(pixels * inputs);
    eachMeeting(shape, (place, tap, pixel) => {
      for (let o = 0; o < outputs; o++)
        for (let c = 0; c < inputs; c++)
          sums[pixel * inputs + c]! += map[place * outputs + o]! * trace.q[(o * taps + tap) * inputs + c]!;
    });
    return sums;
  });
  // The straight-through estimator: only where batch norm's value lies in [-1, 1].
  const passed = whole.map((sums, n) =>
    Float32Array.from(sums, (sum, i) =>
      Math.abs(valueAt(options, before, shapes[k - 1]!, i, before.p[n]![i]!)) <= GAIN ? sum : 0,
    ),
  );
  const partials: [Float32Array, Float32Array][] = [];
  const add = (partial: number, n: number, pixel: number) => {
    partials[partial] ??= [new Float32Array(inputs), new Float32Array(inputs)];
    const [first, second] = partials[partial]!;
    for (let c = 0; c < inputs; c++) {
      const i = pixel * inputs + c;
      first[c] = f(first[c]! + passed[n]![i]!);
      second[c] = f(second[c]! + f(passed[n]![i]! * f(f(before.p[n]![i]!) - before.mean[c]!)));
    }
  };
  if (shape.kind === 'dense') {
    for (let pixel = 0; pixel < pixels; pixel++) for (let n = 0; n < options.batch; n++) add(pixel, n, pixel);
  } else {
    const { stride } = shape;
    for (let n = 0; n < options.batch; n++)
      for (let fy = 0; fy < stride; fy++)
        for (let fx = 0; fx < stride; fx++)
          for (let y = fy; y < shape.input.height; y += stride)
            for (let x = fx; x < shape.input.width; x += stride) add(n, n, y * shape.input.width + x);
  }
  const first = new Float64Array(inputs);
  const second = new Float64Array(inputs);
  for (const [a, b] of partials)
    for (let c = 0; c < inputs; c++) {
      first[c]! += a[c]!;
      second[c]! += b[c]!;
    }
  return { dy: passed.map((image) => image.map(bfloat16)), first, second };
}

function update(
  options: NativeTrainerOptions,
  k: number,
  trace: Trace,
  products: Float64Array,
  unit: number,
  { dgamma, dbeta }: { dgamma: Float32Array; dbeta: Float32Array },
  rates: { latent: number; float: number },
): void {
  const { weights, gamma, beta, rateScale } = options.layers[k]!;
  const { fanIn, input } = options.shapes[k]!;
  const latent = k > 0 || options.firstLayer === 'binary';
  const gradient = Float32Array.from(products, (sum, i) => {
    const g = f(f(sum) * unit);
    if (k > 0) return g;
    const scaled = options.firstLayer === 'integer' ? f(g / trace.scale[Math.floor(i / fanIn)]!) : g;
    return f(scaled * options.place[i % input.channels]!);
  });
  adam(weights, gradient, latent ? f(f(rates.latent) * f(rateScale)) : f(rates.float), latent);
  adam(gamma, dgamma, f(rates.float), false);
  adam(beta, dbeta, f(rates.float), false);
}

function adam(tensor: TrainedTensor, gradient: Float32Array, rate: number, clips: boolean): void {
  const floor = f(1e-8 / Math.sqrt(0.001));
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]!;
    const m = f(f(tensor.first[i]! * f(0.9)) + g);
    const v = f(f(tensor.second[i]! * f(0.999)) + f(g * g));
    tensor.first[i] = m;
    tensor.second[i] = v;
    const next = f(tensor.value[i]! - f(f(m / f(f(Math.sqrt(v)) + floor)) * rate));
    tensor.value[i] = clips ? Math.min(1, Math.max(-1, next)) : next;
  }
}

/** To the nearest integer, halves to even. */
function round(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

const scratch = new DataView(new ArrayBuffer(4));
/** To the nearest of 8 significant bits, halves to even. */
function bfloat16(x: number): number {
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0);
  scratch.setUint32(0, ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0);
  return scratch.getFloat32(0);
}
