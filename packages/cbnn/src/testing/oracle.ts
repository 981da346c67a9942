/**
 * One training step of a binary neural network in float64 and plain loops: the oracle of the gradient tests.
 *
 * It shares no code with the training graph and is written to be read beside the formulas, not to be fast.
 *
 * Vocabulary. For each layer, from its input to its output:
 *
 *     x  input                          [N][C][H][W]
 *     q  effective weights              [output][ky][kx][C]
 *     z  correlation of x with q        [N][outputs][rows][columns], zeros outside the map; times K where inputs have scales
 *     p  max pooling of z, the "sums"   [N][outputs][rows / pool][columns / pool]; times alpha where weights are scaled
 *     u  (p - mean) / sqrt(variance + epsilon), biased variance, per output over N and positions
 *     y  gamma * u + beta
 *     a  activation(y), the next layer's x; of the last layer: the scores
 *
 * A dense layer is a convolution whose kernel is the whole map, which is also why its weights lie in the order
 * `[output][y][x][channel]`.
 *
 * Where a function has no useful derivative, the step uses the straight-through estimator of BinaryNet
 * (Courbariaux et al. 2016, arXiv:1602.02830): rounding and the sign of a weight pass the gradient on unchanged,
 * the sign of an activation passes it where |y| <= 1. A layer may name other estimators, draw its signs with given
 * noise, and normalize by powers of two.
 */
import { internalError } from '@cbnn/runtime';
import { lossOf, type OracleLoss } from './oracle-losses.js';

export { oracleAdam } from './oracle-adam.js';
export type { OracleLoss } from './oracle-losses.js';

/**
 * What stands for the derivative of sign(v): max(0, 2 - 2 |v|) of Bi-Real Net, or IR-Net's k t (1 - tanh(t v)^2) with
 * k = max(1 / t, 1) and this sharpness t.
 */
export type OracleEstimator = 'approx-sign' | { sharpness: number };

export interface OracleLayer {
  kind: 'conv' | 'dense';
  /** input map; a dense layer after a convolution sees it flattened in the order [y][x][channel] */
  input: { height: number; width: number; channels: number };
  /** channels or units */
  outputs: number;
  /** square; ignored by dense layers, like stride and padding */
  kernel: number;
  stride: number;
  /** zeros before the first row and column */
  padStart: number;
  /** zeros after the last row and column */
  padEnd: number;
  /** max pooling over pool x pool windows with stride pool (1 = none); leftover rows and columns are dropped */
  pool: number;
  /**
   * `scaled`: binary ones times alpha, the mean |w| of their output, through which the gradient goes as well. `ternary`: 0 where
   * |w| <= 0.7 mean |w| of the output, the others +-alpha, their mean |w|, taken for constant. `trained-ternary`: 0 where
   * |w| <= 0.05 max |w|, the others a trained +positive or -negative. `masked`: times 0 or 1.
   */
  weights: 'binary' | 'scaled' | 'integer' | 'real' | 'ternary' | 'trained-ternary' | 'masked';
  /** sums are multiplied by K, the mean of |y| of the layer before over channels and the window (zeros outside); XNOR-Net, equation 11 */
  inputScales?: boolean;
  /** multiplier of each input channel's weights (first layer only); null = all 1 */
  place: Float64Array | null;
  activation: 'sign' | 'relu' | 'hardtanh' | 'none';
  /** of binary weights; the gradient passes unchanged where there is none */
  weightEstimator?: OracleEstimator;
  /** of the sign of an activation; 1 where |y| <= 1 where there is none */
  estimator?: OracleEstimator;
  /** uniform in [0, 1), as many as p: a sign is then +1 where its number is less than (y + 1) / 2, else -1 */
  noise?: Float64Array;
  /**
   * shift-based batch norm: with AP2(v) = sign(v) 2^round(log2 |v|), the variance is the mean of c AP2(c), c = p - mean,
   * and y = AP2(gamma) c AP2(1 / sqrt(variance + epsilon)) + beta. Its gradient takes both powers for what they stand for.
   */
  shifts?: boolean;
}

/** What one layer trains, or the gradients of it. */
export interface OracleParameters {
  /** `[output][ky][kx][input channel]`; dense: `[output][y][x][channel]` */
  weights: Float64Array;
  /** one per output */
  gamma: Float64Array;
  /** one per output */
  beta: Float64Array;
  /** of trained ternary weights: one number each */
  positive?: Float64Array;
  negative?: Float64Array;
  /** of masked weights: 0 or 1 each */
  mask?: Float64Array;
}

export interface OracleForward {
  loss: number;
  /** `[N][classes]` */
  scores: Float64Array;
  /** per layer: mean and biased variance of each output's sums over the batch */
  statistics: { mean: Float64Array; variance: Float64Array }[];
  /** per layer: sums after pooling, `[N][C][H][W]` or `[N][C]` */
  sums: Float64Array[];
  /**
   * How far the nearest discrete decision is from falling the other way: the least distance of a y from a kink of
   * its activation, and of an integer weight from a half, in their own units; of what becomes a power of two, of its
   * logarithm from a half. A float32 step can only be held against this one where its rounding errors are far smaller.
   */
  margin: number;
}

export interface OracleStep extends OracleForward {
  /** of the loss, per layer */
  gradients: OracleParameters[];
}

/** Sizes of a layer; `rows` and `columns` before pooling. */
interface Geometry {
  kernelHeight: number;
  kernelWidth: number;
  stride: number;
  pad: number;
  rows: number;
  columns: number;
  pooledRows: number;
  pooledColumns: number;
}

/** What the forward pass leaves for the backward pass. */
interface LayerTrace {
  x: Float64Array;
  q: Float64Array;
  /** the estimator's dq/dw, per weight */
  slope: Float64Array;
  /** per output, what p is multiplied with; it comes after pooling, whose ties are then exact */
  alpha: Float64Array | null;
  /** per image and position of z, what z was multiplied with */
  scale: Float64Array | null;
  /** z before it was */
  unscaled: Float64Array;
  p: Float64Array;
  /** index into z of the sum that each pooling window passed on */
  winner: Int32Array;
  mean: Float64Array;
  variance: Float64Array;
  /** 1 / sqrt(variance + epsilon), or the power of two next to it */
  inverse: Float64Array;
  u: Float64Array;
  /** gamma, or the power of two next to it */
  factor: Float64Array;
  y: Float64Array;
  a: Float64Array;
  margin: number;
}

/**
 * Loss, statistics and gradients of one batch in training mode.
 * `images` is `[N][C][H][W]` in the first layer's own input values; `labels` are class numbers.
 * Throws an internal error where sizes do not fit together.
 */
export function oracleStep(
  layers: readonly OracleLayer[],
  loss: OracleLoss,
  batchNormEpsilon: number,
  images: Float64Array,
  labels: ArrayLike<number>,
  parameters: readonly OracleParameters[],
): OracleStep {
  const { traces, lossGradient, ...forward } = run(
    layers,
    loss,
    batchNormEpsilon,
    images,
    labels,
    parameters,
  );
  const gradients: OracleParameters[] = [];
  let da = lossGradient;
  let ofMagnitudes: Float64Array | null = null;
  for (let l = layers.length - 1; l >= 0; l--) {
    const { own, dx, dmagnitude } = backward(layers[l]!, traces[l]!, da, ofMagnitudes, labels.length);
    gradients.unshift(own);
    da = dx;
    ofMagnitudes = dmagnitude;
  }
  return { ...forward, gradients };
}

/** The same step without its gradients, for finite differences. */
export function oracleForward(
  layers: readonly OracleLayer[],
  loss: OracleLoss,
  batchNormEpsilon: number,
  images: Float64Array,
  labels: ArrayLike<number>,
  parameters: readonly OracleParameters[],
): OracleForward {
  const {
    traces: _,
    lossGradient: __,
    ...forward
  } = run(layers, loss, batchNormEpsilon, images, labels, parameters);
  return forward;
}

/** Number of weights of a layer. */
export function oracleWeightCount(layer: OracleLayer): number {
  const { kernelHeight, kernelWidth } = geometry(layer);
  return layer.outputs * kernelHeight * kernelWidth * layer.input.channels;
}

function run(
  layers: readonly OracleLayer[],
  loss: OracleLoss,
  epsilon: number,
  images: Float64Array,
  labels: ArrayLike<number>,
  parameters: readonly OracleParameters[],
): OracleForward & { traces: LayerTrace[]; lossGradient: Float64Array } {
  const count = labels.length;
  const traces: LayerTrace[] = [];
  let x = images;
  for (const [l, layer] of layers.entries()) {
    checkSizes(layer, l, x, count, parameters[l]);
    const trace = forwardLayer(layer, x, traces.at(-1)?.y ?? null, parameters[l]!, count, epsilon);
    traces.push(trace);
    x = trace.a;
  }
  const classes = layers.at(-1)?.outputs ?? 0;
  if (count === 0 || x.length !== count * classes)
    throw internalError(`oracle: expected ${count} x ${classes} scores, got ${x.length}; end on a 1x1 map`);
  const { value, gradient } = lossOf(loss, x, labels, classes);
  return {
    loss: value,
    scores: x,
    statistics: traces.map(({ mean, variance }) => ({ mean, variance })),
    sums: traces.map((trace) => trace.p),
    margin: Math.min(...traces.map((trace) => trace.margin)),
    traces,
    lossGradient: gradient,
  };
}

function forwardLayer(
  layer: OracleLayer,
  x: Float64Array,
  before: Float64Array | null,
  parameters: OracleParameters,
  count: number,
  epsilon: number,
): LayerTrace {
  const { gamma, beta } = parameters;
  const quantized = quantize(layer, parameters);
  const unscaled = correlate(layer, x, quantized.q, count);
  const scale = layer.inputScales ? inputScales(layer, before!, count) : null;
  const z = scale ? unscaled.map((sum, i) => sum * scale[scaleIndex(layer, i)]!) : unscaled;
  const { p, winner, margin: tie } = maxPool(layer, z, count);
  const { alpha } = quantized;
  const positions = p.length / (count * layer.outputs);
  if (alpha) for (let i = 0; i < p.length; i++) p[i]! *= alpha[Math.floor(i / positions) % layer.outputs]!;
  const normalized = normalize(layer, p, gamma, count, epsilon);
  const y = new Float64Array(p.length);
  const a = new Float64Array(p.length);
  // Sums of bits tie exactly; scaled by K, float32 may break a tie that is one, or make one.
  let margin = Math.min(quantized.margin, normalized.margin, scale ? tie : Number.POSITIVE_INFINITY);
  for (let i = 0; i < p.length; i++) {
    const o = Math.floor(i / positions) % layer.outputs;
    y[i] = normalized.factor[o]! * normalized.u[i]! + beta[o]!;
    a[i] = activate(layer, y[i]!, i);
    margin = Math.min(margin, kinkDistance(layer, y[i]!, i));
  }
  return { ...quantized, x, scale, unscaled, p, winner, ...normalized, y, a, margin };
}

/** Gradients of one layer's parameters, of its input and of the |y| that K is made of, from those of its own output and |y|. */
function backward(
  layer: OracleLayer,
  trace: LayerTrace,
  da: Float64Array,
  ofMagnitudes: Float64Array | null,
  count: number,
): { own: OracleParameters; dx: Float64Array; dmagnitude: Float64Array | null } {
  const { p, u, y, inverse, factor, winner } = trace;
  const outputs = layer.outputs;
  const positions = p.length / (count * outputs);
  const dgamma = new Float64Array(outputs);
  const dbeta = new Float64Array(outputs);
  const dz = new Float64Array(correlationLength(layer, count));
  const dyOf = (i: number) =>
    da[i]! * activationSlope(layer, y[i]!) + (ofMagnitudes ? Math.sign(y[i]!) * ofMagnitudes[i]! : 0);

  for (let o = 0; o < outputs; o++) {
    // y = factor u + beta
    for (let n = 0; n < count; n++)
      for (let s = 0; s < positions; s++) {
        const i = (n * outputs + o) * positions + s;
        const dy = dyOf(i);
        dgamma[o]! += dy * u[i]!;
        dbeta[o]! += dy;
      }
    // With du = factor dy and M values in the channel, u = (p - mean) inverse has
    //   dp = (du - mean(du) - u mean(du u)) inverse:
    // the middle term comes through the mean, the last one through the variance.
    const values = count * positions;
    const meanDu = (factor[o]! * dbeta[o]!) / values;
    const meanDuU = (factor[o]! * dgamma[o]!) / values;
    for (let n = 0; n < count; n++)
      for (let s = 0; s < positions; s++) {
        const i = (n * outputs + o) * positions + s;
        const du = factor[o]! * dyOf(i);
        // Windows do not overlap, so each z wins at most once.
        dz[winner[i]!] = (du - meanDu - u[i]! * meanDuU) * inverse[o]! * (trace.alpha?.[o] ?? 1);
      }
  }

  const dmagnitude = trace.scale ? scaleGradient(layer, trace, dz, count) : null;
  const dx = new Float64Array(trace.x.length);
  const dweights = new Float64Array(trace.q.length);
  forEachProduct(layer, count, (zIndex, xIndex, qIndex) => {
    dx[xIndex]! += dz[zIndex]! * trace.q[qIndex]!;
    dweights[qIndex]! += dz[zIndex]! * trace.x[xIndex]!;
  });
  const perOutput = dweights.length / outputs;
  for (let o = 0; o < outputs; o++) {
    const own = (value: Float64Array) => value.subarray(o * perOutput, (o + 1) * perOutput);
    const [dq, q, slope] = [own(dweights), own(trace.q), own(trace.slope)];
    // A sum is alpha times those of x q, and dz has alpha in it: without it, the gradient of alpha is the sum of dq q.
    const dalpha = trace.alpha ? dq.reduce((sum, d, i) => sum + d * q[i]!, 0) / trace.alpha[o]! : 0;
    if (layer.weights !== 'trained-ternary')
      for (let i = 0; i < perOutput; i++)
        dq[i] = dq[i]! * slope[i]! + (Math.sign(q[i]!) * dalpha) / perOutput;
  }
  const own: OracleParameters = { weights: dweights, gamma: dgamma, beta: dbeta };
  if (layer.weights === 'trained-ternary') {
    const total = (sign: number) =>
      dweights.reduce((sum, d, i) => sum + (Math.sign(trace.q[i]!) === sign ? d : 0), 0);
    own.positive = Float64Array.of(total(1));
    own.negative = Float64Array.of(-total(-1));
    own.weights = dweights.map((d, i) => d * trace.slope[i]!);
  }
  return { own, dx, dmagnitude };
}

/** Index of K for z's `i`: it is the same for all outputs. */
function scaleIndex(layer: OracleLayer, i: number): number {
  const { rows, columns } = geometry(layer);
  const area = rows * columns;
  return Math.floor(i / (area * layer.outputs)) * area + (i % area);
}

/** K, `[N][rows][columns]`, from the y of the layer before, `[N][C][H][W]`. */
function inputScales(layer: OracleLayer, y: Float64Array, count: number): Float64Array {
  const { rows, columns, kernelHeight, kernelWidth } = geometry(layer);
  const scale = new Float64Array(count * rows * columns);
  const share = 1 / (kernelHeight * kernelWidth * layer.input.channels);
  // Every output meets the same inputs: those of the first one count.
  forEachProduct({ ...layer, outputs: 1 }, count, (zIndex, xIndex) => {
    scale[zIndex]! += Math.abs(y[xIndex]!) * share;
  });
  return scale;
}

/** From the gradient of z, which becomes that of z before it was scaled, the gradient of every |y| in K. */
function scaleGradient(layer: OracleLayer, trace: LayerTrace, dz: Float64Array, count: number): Float64Array {
  const { kernelHeight, kernelWidth } = geometry(layer);
  const dscale = new Float64Array(trace.scale!.length);
  for (let i = 0; i < dz.length; i++) {
    const k = scaleIndex(layer, i);
    dscale[k]! += dz[i]! * trace.unscaled[i]!;
    dz[i]! *= trace.scale![k]!;
  }
  const share = 1 / (kernelHeight * kernelWidth * layer.input.channels);
  const dmagnitude = new Float64Array(trace.x.length);
  forEachProduct({ ...layer, outputs: 1 }, count, (zIndex, xIndex) => {
    dmagnitude[xIndex]! += dscale[zIndex]! * share;
  });
  return dmagnitude;
}

/** Effective weights, with the estimator's slope dq/dw of each. */
function quantize(
  layer: OracleLayer,
  parameters: OracleParameters,
): Pick<LayerTrace, 'q' | 'slope' | 'alpha' | 'margin'> {
  const { weights } = parameters;
  const channels = layer.input.channels;
  const perOutput = weights.length / layer.outputs;
  const q = new Float64Array(weights.length);
  const slope = new Float64Array(weights.length);
  const alpha = layer.weights === 'scaled' ? new Float64Array(layer.outputs) : null;
  let margin = Number.POSITIVE_INFINITY;
  for (let o = 0; o < layer.outputs; o++) {
    let largest = 0;
    for (let i = o * perOutput; i < (o + 1) * perOutput; i++)
      largest = Math.max(largest, Math.abs(weights[i]! * placeOf(layer, i % channels)));
    const scale = largest === 0 ? 1 : largest / 127;
    for (let i = o * perOutput; alpha && i < (o + 1) * perOutput; i++)
      alpha[o]! += Math.abs(weights[i]!) / perOutput;
    const ternary = ternaryOf(layer, parameters, o, perOutput);
    for (let i = o * perOutput; i < (o + 1) * perOutput; i++) {
      const w = weights[i]!;
      const place = placeOf(layer, i % channels);
      if (ternary) {
        const { threshold, above, below, isTrained } = ternary;
        q[i] = w > threshold ? above : w < -threshold ? -below : 0;
        slope[i] = isTrained && q[i] !== 0 ? Math.abs(q[i]!) : 1;
        margin = Math.min(margin, Math.abs(Math.abs(w) - threshold));
        continue;
      }
      if (layer.weights === 'binary' || layer.weights === 'scaled') {
        q[i] = w >= 0 ? place : -place;
        slope[i] = layer.weightEstimator ? place * estimate(layer.weightEstimator, w) : place;
      } else if (layer.weights === 'integer') {
        const quotient = (w * place) / scale;
        q[i] = roundHalfToEven(quotient);
        slope[i] = place / scale;
        margin = Math.min(margin, Math.abs(quotient - Math.floor(quotient) - 0.5));
      } else {
        q[i] = w * place * (parameters.mask?.[i] ?? 1);
        slope[i] = place * (parameters.mask?.[i] ?? 1);
      }
    }
  }
  return { q, slope, alpha, margin };
}

/** Where an output's ternary weights are 0, and what the others are; null where they are not ternary. */
function ternaryOf(
  { weights: kind }: OracleLayer,
  { weights, positive, negative }: OracleParameters,
  o: number,
  perOutput: number,
): { threshold: number; above: number; below: number; isTrained: boolean } | null {
  if (kind === 'trained-ternary') {
    const threshold = 0.05 * weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
    return { threshold, above: positive![0]!, below: negative![0]!, isTrained: true };
  }
  if (kind !== 'ternary') return null;
  const sizes = Array.from(weights.subarray(o * perOutput, (o + 1) * perOutput), Math.abs);
  const mean = (values: number[]) =>
    values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const threshold = 0.7 * mean(sizes);
  const alpha = mean(sizes.filter((size) => size > threshold));
  return { threshold, above: alpha, below: alpha, isTrained: false };
}

function placeOf(layer: OracleLayer, channel: number): number {
  return layer.place === null ? 1 : layer.place[channel]!;
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below % 2 === 0 ? below : below + 1;
  return rest < 0.5 ? below : below + 1;
}

function correlate(layer: OracleLayer, x: Float64Array, q: Float64Array, count: number): Float64Array {
  const z = new Float64Array(correlationLength(layer, count));
  forEachProduct(layer, count, (zIndex, xIndex, qIndex) => {
    z[zIndex]! += x[xIndex]! * q[qIndex]!;
  });
  return z;
}

/**
 * Visits every product x * q of the correlation whose tap lies inside the map (the others meet zeros), with the
 * indices of the sum it belongs to and of its two factors. Both directions of the correlation are one such walk.
 */
function forEachProduct(
  layer: OracleLayer,
  count: number,
  visit: (zIndex: number, xIndex: number, qIndex: number) => void,
): void {
  const { height, width, channels } = layer.input;
  const { kernelHeight, kernelWidth, stride, pad, rows, columns } = geometry(layer);
  for (let n = 0; n < count; n++)
    for (let o = 0; o < layer.outputs; o++)
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
          const zIndex = ((n * layer.outputs + o) * rows + row) * columns + column;
          for (let ky = 0; ky < kernelHeight; ky++)
            for (let kx = 0; kx < kernelWidth; kx++) {
              const iy = row * stride + ky - pad;
              const ix = column * stride + kx - pad;
              if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
              for (let c = 0; c < channels; c++)
                visit(
                  zIndex,
                  ((n * channels + c) * height + iy) * width + ix,
                  ((o * kernelHeight + ky) * kernelWidth + kx) * channels + c,
                );
            }
        }
}

/** Max pooling; among equal sums the first in row-major order wins and receives the whole gradient. `margin`: by how much, at least. */
function maxPool(
  layer: OracleLayer,
  z: Float64Array,
  count: number,
): { p: Float64Array; winner: Int32Array; margin: number } {
  const { rows, columns, pooledRows, pooledColumns } = geometry(layer);
  const maps = count * layer.outputs;
  const p = new Float64Array(maps * pooledRows * pooledColumns);
  const winner = new Int32Array(p.length);
  let margin = Number.POSITIVE_INFINITY;
  for (let map = 0; map < maps; map++)
    for (let row = 0; row < pooledRows; row++)
      for (let column = 0; column < pooledColumns; column++) {
        let best = -1;
        let second = Number.NEGATIVE_INFINITY;
        for (let dy = 0; dy < layer.pool; dy++)
          for (let dx = 0; dx < layer.pool; dx++) {
            const i = (map * rows + row * layer.pool + dy) * columns + column * layer.pool + dx;
            if (best < 0 || z[i]! > z[best]!) {
              second = best < 0 ? second : z[best]!;
              best = i;
            } else second = Math.max(second, z[i]!);
          }
        const i = (map * pooledRows + row) * pooledColumns + column;
        p[i] = z[best]!;
        winner[i] = best;
        margin = Math.min(margin, z[best]! - second);
      }
  return { p, winner, margin };
}

function normalize(
  { outputs, shifts = false }: OracleLayer,
  p: Float64Array,
  gamma: Float64Array,
  count: number,
  epsilon: number,
): Pick<LayerTrace, 'mean' | 'variance' | 'inverse' | 'u' | 'factor' | 'margin'> {
  const mean = new Float64Array(outputs);
  const variance = new Float64Array(outputs);
  const u = new Float64Array(p.length);
  const positions = p.length / (count * outputs);
  const values = count * positions;
  const outputOf = (i: number) => Math.floor(i / positions) % outputs;
  const shifted = (v: number) => (shifts ? nearestPower(v) : v);
  for (let i = 0; i < p.length; i++) mean[outputOf(i)]! += p[i]! / values;
  for (let i = 0; i < p.length; i++) {
    const centred = p[i]! - mean[outputOf(i)]!;
    variance[outputOf(i)]! += (centred * shifted(centred)) / values;
  }
  const exact = variance.map((own) => 1 / Math.sqrt(own + epsilon));
  const inverse = exact.map(shifted);
  const factor = gamma.map(shifted);
  let margin = Number.POSITIVE_INFINITY;
  for (let i = 0; i < p.length; i++) {
    const centred = p[i]! - mean[outputOf(i)]!;
    u[i] = centred * inverse[outputOf(i)]!;
    // What is far smaller than the deviation adds next to nothing to the variance, whatever it is rounded to.
    if (shifts && Math.abs(u[i]!) > 0.01) margin = Math.min(margin, powerDistance(centred));
  }
  if (shifts) for (const v of [...exact, ...gamma]) margin = Math.min(margin, powerDistance(v));
  return { mean, variance, inverse, u, factor, margin };
}

function nearestPower(v: number): number {
  if (v === 0) return 0;
  return (v < 0 ? -1 : 1) * 2 ** Math.round(Math.log2(Math.abs(v)));
}

/** Distance of log2 |v| from the next half, where the power of two jumps. */
function powerDistance(v: number): number {
  const exponent = Math.log2(Math.abs(v));
  return Math.abs(exponent - Math.floor(exponent) - 0.5);
}

/** `i`: the value's place among those of its layer, for its noise. */
function activate({ activation, noise }: OracleLayer, y: number, i: number): number {
  switch (activation) {
    case 'sign':
      if (noise) return noise[i]! < (y + 1) / 2 ? 1 : -1;
      return y >= 0 ? 1 : -1;
    case 'hardtanh':
      return Math.min(1, Math.max(-1, y));
    case 'relu':
      return Math.max(0, y);
    case 'none':
      return y;
  }
}

/** da/dy, or what the estimator takes for it. */
function activationSlope({ activation, estimator }: OracleLayer, y: number): number {
  switch (activation) {
    case 'sign':
      if (estimator) return estimate(estimator, y);
      return Math.abs(y) <= 1 ? 1 : 0;
    case 'hardtanh':
      return Math.abs(y) <= 1 ? 1 : 0;
    case 'relu':
      return y > 0 ? 1 : 0;
    case 'none':
      return 1;
  }
}

function estimate(estimator: OracleEstimator, v: number): number {
  if (estimator === 'approx-sign') return Math.max(0, 2 - 2 * Math.abs(v));
  const t = estimator.sharpness;
  return Math.max(1 / t, 1) * t * (1 - Math.tanh(t * v) ** 2);
}

/** Distance of y from the nearest value where the activation or its slope jumps. */
function kinkDistance({ activation, estimator, noise }: OracleLayer, y: number, i: number): number {
  const fromOne = Math.abs(Math.abs(y) - 1);
  switch (activation) {
    case 'sign': {
      const fromJump = noise ? Math.abs(2 * noise[i]! - 1 - y) : Math.abs(y);
      // The other estimators are continuous.
      return estimator ? fromJump : Math.min(fromJump, fromOne);
    }
    case 'hardtanh':
      return fromOne;
    case 'relu':
      return Math.abs(y);
    case 'none':
      return Number.POSITIVE_INFINITY;
  }
}

function geometry(layer: OracleLayer): Geometry {
  const { height, width } = layer.input;
  if (layer.kind === 'dense')
    return {
      kernelHeight: height,
      kernelWidth: width,
      stride: 1,
      pad: 0,
      rows: 1,
      columns: 1,
      pooledRows: 1,
      pooledColumns: 1,
    };
  const { kernel, stride, padStart, padEnd, pool } = layer;
  const rows = Math.floor((height + padStart + padEnd - kernel) / stride) + 1;
  const columns = Math.floor((width + padStart + padEnd - kernel) / stride) + 1;
  return {
    kernelHeight: kernel,
    kernelWidth: kernel,
    stride,
    pad: padStart,
    rows,
    columns,
    pooledRows: Math.floor(rows / pool),
    pooledColumns: Math.floor(columns / pool),
  };
}

function correlationLength(layer: OracleLayer, count: number): number {
  const { rows, columns } = geometry(layer);
  return count * layer.outputs * rows * columns;
}

function checkSizes(
  layer: OracleLayer,
  index: number,
  x: Float64Array,
  count: number,
  parameters: OracleParameters | undefined,
): void {
  const { height, width, channels } = layer.input;
  const { pooledRows, pooledColumns } = geometry(layer);
  const sums = count * layer.outputs * pooledRows * pooledColumns;
  const expected: [string, number, number | undefined][] = [
    ['input', count * channels * height * width, x.length],
    ['weights', oracleWeightCount(layer), parameters?.weights.length],
    ['gamma', layer.outputs, parameters?.gamma.length],
    ['beta', layer.outputs, parameters?.beta.length],
    ['place', channels, layer.place === null ? channels : layer.place.length],
    ['positive', layer.weights === 'trained-ternary' ? 1 : 0, parameters?.positive?.length ?? 0],
    ['negative', layer.weights === 'trained-ternary' ? 1 : 0, parameters?.negative?.length ?? 0],
    ['mask', layer.weights === 'masked' ? oracleWeightCount(layer) : 0, parameters?.mask?.length ?? 0],
    ['noise', sums, layer.noise?.length ?? sums],
    ['dense pool', 1, layer.kind === 'dense' ? layer.pool : 1],
  ];
  for (const [what, size, actual] of expected)
    if (actual !== size)
      throw internalError(
        `oracle: layer ${index}, ${what}: expected ${size} values, got ${actual}; check the layers' table`,
      );
}
