/**
 * Batch normalization, from elementary operators so that it runs on every execution provider.
 *
 *   y = gamma * (p - mean) / sqrt(variance + epsilon) + beta        (Ioffe & Szegedy 2015; biased variance)
 *
 * p is centred before it is scaled: a fused form (p * a + b) rounds differently right at the threshold and flips signs
 * chaotically. Gradients, per channel, M values each:  dbeta = S(dy),  dgamma = inv * (S(dy * p) - mean * S(dy)),
 *   dp = A * dy + K * p + C0,  A = gamma * inv,  K = -A * inv * dgamma / M,  C0 = -A * dbeta / M - mean * K.
 *
 * `normalizeAndSign` is batch norm followed by the binary activation in one: sign(y) is computed as
 * clip(1e20 * y + 1, -1, 1), which saves two passes over the map and gives sign(0) = +1.
 */
import type { Graph, Value } from '../graph.js';
import type { Estimator } from './estimators.js';
import { powersOfTwo } from './powers-of-two.js';
import { drawSigns, relu } from './quantizers.js';

/** Variance floor of the paper's code. */
export const BATCH_NORM_EPSILON = 1e-4;
/** Large enough to saturate any |y| > 1e-20, small enough that its products stay finite. */
const SIGN_GAIN = 1e20;

/** How a layer is normalized: from its own batch, or by given numbers. */
export type Normalization =
  | {
      readonly mode: 'batch';
      /**
       * factors as powers of two: deviation and gamma, and one of the factors of the variance (shift-based batch norm: Hubara, Courbariaux et
       * al. 2016, algorithm 2). The gradient is that of batch norm with these factors
       */
      readonly shifts?: boolean;
    }
  /** y = (p - mean) * scale + beta, with scale = gamma / sqrt(variance + epsilon) computed beforehand */
  | { readonly mode: 'given'; readonly mean: Value; readonly scale: Value };

export interface Normalized {
  readonly output: Value;
  /** per channel; of the batch in `batch` mode */
  readonly mean: Value;
  /** biased; null in `given` mode */
  readonly variance: Value | null;
}

/** y = BN(p); p `[N][C][H][W]` or `[N][C]`. */
export function batchNorm(
  g: Graph,
  p: Value,
  gamma: Value,
  beta: Value,
  normalization: Normalization,
): Normalized {
  const parts = normalize(g, p, gamma, normalization);
  const output = g.add(g.mul(parts.centred, perChannel(g, parts.scale, p)), perChannel(g, beta, p));
  if (parts.variance)
    g.differentiable([p, gamma, beta], output, (dy) => normalizationGradients(g, dy, p, parts));
  return { output, mean: parts.mean, variance: parts.variance };
}

/** max(BN(p), 0): the activation of every technique that keeps activations real. */
export function normalizeAndRelu(
  g: Graph,
  p: Value,
  gamma: Value,
  beta: Value,
  normalization: Normalization,
): Normalized {
  const normalized = batchNorm(g, p, gamma, beta, normalization);
  return { ...normalized, output: relu(g, normalized.output) };
}

export interface SignOptions {
  /** what stands for the derivative of sign; straight-through, where |BN(p)| <= 1, by default (Courbariaux et al. 2016) */
  readonly estimator?: Estimator;
  /** +1 with probability clip((y + 1) / 2, 0, 1) instead (Hubara, Courbariaux et al. 2016, equation 2) */
  readonly atRandom?: boolean;
}

/** sign(BN(p)) with sign(0) = +1. */
export function normalizeAndSign(
  g: Graph,
  p: Value,
  gamma: Value,
  beta: Value,
  normalization: Normalization,
  { estimator, atRandom = false }: SignOptions = {},
): Normalized {
  const parts = normalize(g, p, gamma, normalization);
  const gain = g.scale(parts.scale, SIGN_GAIN);
  const offset = g.add(g.scale(beta, SIGN_GAIN), g.scalar(1));
  const amplified = g.add(g.mul(parts.centred, perChannel(g, gain, p)), perChannel(g, offset, p));
  // What 1 is added to, to make sign(0) = +1, is lost beside 1e20 * y.
  const y = () => g.scale(amplified, 1 / SIGN_GAIN);
  const output = atRandom
    ? drawSigns(g, y())
    : g.node('Clip', [amplified, g.scalar(-1), g.scalar(1)], p.shape);
  if (parts.variance)
    g.differentiable([p, gamma, beta], output, (d) => {
      const magnitude = g.node('Abs', [amplified], p.shape);
      const factor = estimator
        ? estimator(g, y())
        : g.toFloat(g.node('LessOrEqual', [magnitude, g.scalar(SIGN_GAIN)], p.shape, {}, 'bool'));
      return normalizationGradients(g, g.mul(d, factor), p, parts);
    });
  return { output, mean: parts.mean, variance: parts.variance };
}

interface Parts {
  readonly centred: Value;
  readonly mean: Value;
  readonly variance: Value | null;
  /** 1 / sqrt(variance + epsilon); only in `batch` mode */
  readonly inverse: Value | null;
  /** gamma * inverse */
  readonly scale: Value;
}

function normalize(g: Graph, p: Value, gamma: Value, normalization: Normalization): Parts {
  if (normalization.mode === 'given') {
    const { mean, scale } = normalization;
    return { centred: g.sub(p, perChannel(g, mean, p)), mean, variance: null, inverse: null, scale };
  }
  const share = 1 / samples(p);
  const mean = g.scale(sumPerChannel(g, p), share);
  const centred = g.sub(p, perChannel(g, mean, p));
  const rounded = (x: Value): Value => (normalization.shifts ? powersOfTwo(g, x) : x);
  const variance = g.scale(sumPerChannel(g, g.mul(centred, rounded(centred))), share);
  const deviation = g.node('Sqrt', [g.add(variance, g.scalar(BATCH_NORM_EPSILON))], variance.shape);
  const inverse = rounded(g.div(g.scalar(1), deviation));
  return { centred, mean, variance, inverse, scale: g.mul(rounded(gamma), inverse) };
}

function normalizationGradients(g: Graph, dy: Value, p: Value, parts: Parts): [Value, Value, Value] {
  const { mean, scale } = parts;
  const inverse = parts.inverse!;
  const share = -1 / samples(p);
  const dbeta = sumPerChannel(g, dy);
  const dgamma = g.mul(inverse, g.sub(sumPerChannel(g, g.mul(dy, p)), g.mul(mean, dbeta)));
  const slope = g.mul(g.mul(scale, inverse), g.scale(dgamma, share));
  const constant = g.sub(g.mul(scale, g.scale(dbeta, share)), g.mul(mean, slope));
  const dp = g.add(
    g.add(g.mul(dy, perChannel(g, scale, p)), perChannel(g, constant, p)),
    g.mul(p, perChannel(g, slope, p)),
  );
  return [dp, dgamma, dbeta];
}

const samples = (p: Value): number => p.shape.reduce((product, size) => product * size, 1) / p.shape[1]!;

/** Sums over positions first: both reductions are then over a contiguous or an outermost axis, ORT's fast cases. */
function sumPerChannel(g: Graph, p: Value): Value {
  if (p.shape.length === 2) return g.sum(p, [0]);
  const [n, c, h, w] = p.shape as [number, number, number, number];
  return g.sum(g.sum(g.reshape(p, [n, c, h * w]), [2]), [0]);
}

const perChannel = (g: Graph, vector: Value, p: Value): Value =>
  p.shape.length === 2 ? vector : g.reshape(vector, [1, p.shape[1]!, 1, 1]);
