/** Weight quantizers and activations. Each names its forward form and its straight-through gradient. */
import type { Graph, Value } from '../graph.js';
import { type Estimator, straightThrough } from './estimators.js';

/**
 * sign(w), sign(0) = +1. Straight-through: dL/dw = dL/dq (latent weights are clipped to [-1, 1] by the optimizer), or times what
 * the estimator says.
 */
export function binarize(g: Graph, w: Value, estimator?: Estimator): Value {
  const positive = g.node('GreaterOrEqual', [w, g.scalar(0)], w.shape, {}, 'bool');
  const q = g.node('Where', [positive, g.scalar(1), g.scalar(-1)], w.shape);
  return g.differentiable([w], q, (d) => [estimator ? g.mul(d, estimator(g, w)) : d]);
}

/** Largest magnitude of an integer weight. */
export const INTEGER_WEIGHT_LIMIT = 127;

/**
 * Rounds weights to integers -127..127, one scale per output: q = round(w / s), s = max|w| / 127 (half to even).
 * Straight-through: dL/dw = dL/dq / s, with s held constant. Batch norm absorbs s, so it is never stored.
 * w `[outputs][...]`.
 */
export function roundToIntegers(g: Graph, w: Value): Value {
  const perOutput = [w.shape[0]!, ...w.shape.slice(1).map(() => 1)];
  const axes = w.shape.slice(1).map((_, axis) => axis + 1);
  const largest = g.node('ReduceMax', [g.node('Abs', [w], w.shape)], perOutput, { axes, keepdims: 1 });
  // An output whose weights are all zero keeps them: 0 / tiny = 0.
  const floor = g.node('Max', [largest, g.scalar(1e-20)], perOutput);
  const scale = g.scale(floor, 1 / INTEGER_WEIGHT_LIMIT);
  const q = g.node('Round', [g.div(w, scale)], w.shape);
  return g.differentiable([w], q, (d) => [g.div(d, scale)]);
}

/** w * place, with one factor per input channel (the last axis of w). */
export function placeValues(g: Graph, w: Value, place: Float32Array): Value {
  const factors = g.constant(place, [place.length]);
  const q = g.mul(w, factors);
  return g.differentiable([w], q, (d) => [g.mul(d, factors)]);
}

/** sign(y), sign(0) = +1; straight-through where |y| <= 1 (Courbariaux et al. 2016). Where y is needed itself: see batch-norm.ts. */
export function signThrough(g: Graph, y: Value): Value {
  const positive = g.node('GreaterOrEqual', [y, g.scalar(0)], y.shape, {}, 'bool');
  const sign = g.node('Where', [positive, g.scalar(1), g.scalar(-1)], y.shape);
  return g.differentiable([y], sign, (d) => [g.mul(d, straightThrough(g, y))]);
}

/** max(x, 0) */
export function relu(g: Graph, x: Value): Value {
  const y = g.node('Relu', [x], x.shape);
  return g.differentiable([x], y, (d) => {
    const positive = g.node('Greater', [x, g.scalar(0)], x.shape, {}, 'bool');
    return [g.mul(d, g.toFloat(positive))];
  });
}

/** w where the mask is 1, else 0; so is the gradient. */
export function masked(g: Graph, w: Value, mask: Value): Value {
  const q = g.mul(w, mask);
  return g.differentiable([w], q, (d) => [g.mul(d, mask)]);
}

/** Axes of a weight tensor that belong to one output, and its shape with those of size 1. */
function perOutput(w: Value): { axes: number[]; shape: number[]; count: number } {
  const rest = w.shape.slice(1);
  return {
    axes: rest.map((_, axis) => axis + 1),
    shape: [w.shape[0]!, ...rest.map(() => 1)],
    count: rest.reduce((product, size) => product * size, 1),
  };
}

/** Mean over all weights of an output, `[outputs][1]...`. */
export const meanPerOutput = (g: Graph, w: Value): Value => {
  const { axes, shape, count } = perOutput(w);
  return g.reshape(g.scale(g.sum(w, axes), 1 / count), shape);
};

/** The least magnitude of an output's weights, `[outputs]`; at least 1e-20. No gradient. */
export const smallestPerOutput = (g: Graph, w: Value): Value => {
  const { axes } = perOutput(w);
  const outputs = [w.shape[0]!];
  const least = g.node('ReduceMin', [g.node('Abs', [w], w.shape)], outputs, { axes, keepdims: 0 });
  return g.node('Max', [least, g.scalar(1e-20)], outputs);
};

/** +1 with probability clip((x + 1) / 2, 0, 1), else -1; other numbers in every step. No gradient: what uses it names one. */
export function drawSigns(g: Graph, x: Value): Value {
  const chance = g.scale(g.add(x, g.scalar(1)), 0.5);
  const positive = g.node('Less', [g.noise(x.shape), chance], x.shape, {}, 'bool');
  return g.node('Where', [positive, g.scalar(1), g.scalar(-1)], x.shape);
}

/** Signs drawn at random (BinaryConnect: Courbariaux et al. 2015, section 2.3). Straight-through. */
export const binarizeAtRandom = (g: Graph, w: Value): Value =>
  g.differentiable([w], drawSigns(g, w), (d) => [d]);

/**
 * alpha * sign(w), alpha = mean |w| of an output (Rastegari et al. 2016, equation 6). The gradient is that of both factors,
 * sign(w) straight-through: dw = sign(w) * mean over the output of (d * sign(w)) + d * alpha. (The paper prints the first term
 * for one weight alone; latent weights never leave [-1, 1], so its window is always open.)
 */
export function binarizeScaled(g: Graph, w: Value, estimator?: Estimator): Value {
  const alpha = meanPerOutput(g, g.node('Abs', [w], w.shape));
  const positive = g.node('GreaterOrEqual', [w, g.scalar(0)], w.shape, {}, 'bool');
  const sign = g.node('Where', [positive, g.scalar(1), g.scalar(-1)], w.shape);
  const q = g.mul(sign, alpha);
  return g.differentiable([w], q, (d) => {
    const throughAlpha = g.mul(sign, meanPerOutput(g, g.mul(d, sign)));
    const throughSign = g.mul(d, alpha);
    return [g.add(throughAlpha, estimator ? g.mul(throughSign, estimator(g, w)) : throughSign)];
  });
}

/** 1 where `a` is greater than `b`. */
const isGreater = (g: Graph, a: Value, b: Value, shape: readonly number[]): Value =>
  g.toFloat(g.node('Greater', [a, b], shape, {}, 'bool'));

/**
 * alpha * {-1, 0, +1} per output: 0 where |w| <= 0.7 * mean |w|, alpha = mean |w| of the others (ternary weight networks: Li,
 * Zhang & Liu 2016). Straight-through: dw = d.
 */
export function ternarize(g: Graph, w: Value): Value {
  const size = g.node('Abs', [w], w.shape);
  const threshold = g.scale(meanPerOutput(g, size), 0.7);
  const kept = isGreater(g, size, threshold, w.shape);
  const { axes, shape } = perOutput(w);
  const count = g.reshape(g.sum(kept, axes), shape);
  const total = g.reshape(g.sum(g.mul(kept, size), axes), shape);
  // An output whose weights are all 0 keeps none.
  const alpha = g.div(total, g.node('Max', [count, g.scalar(1)], shape));
  const q = g.mul(g.mul(kept, g.node('Sign', [w], w.shape)), alpha);
  return g.differentiable([w], q, (d) => [d]);
}

/** The value that the share `share` of all entries does not exceed; at least one entry does. */
function quantile(g: Graph, x: Value, share: number, shape: readonly number[]): Value {
  const count = x.shape.reduce((product, size) => product * size, 1);
  const above = Math.max(1, count - Math.round(share * count));
  // The largest that is not among them.
  const upper = g.largest(g.reshape(x, [count]), Math.min(count, above + 1));
  return g.reshape(g.node('ReduceMin', [upper], [1], { axes: [0], keepdims: 1 }), shape);
}

/** Share of the largest |w| that trained ternary weights are 0 below (Zhu et al. 2016, section 4.1). */
const TERNARY_THRESHOLD = 0.05;

/**
 * Trained ternary weights (Zhu et al. 2016, equations 6 to 8): `positive` where w > t, -`negative` where w < -t, else 0. t is
 * 0.05 * max |w| of the layer, or leaves the share `sparsity` of its weights 0 (section 4.1 has both). Gradients: of a scale the sum of d over its weights (with their sign); of w, d times the
 * scale it became, or d where it is 0.
 */
export function ternarizeTrained(
  g: Graph,
  w: Value,
  positive: Value,
  negative: Value,
  sparsity?: number,
): Value {
  const axes = w.shape.map((_, axis) => axis);
  const one = w.shape.map(() => 1);
  const size = g.node('Abs', [w], w.shape);
  const threshold =
    sparsity === undefined
      ? g.scale(g.node('ReduceMax', [size], one, { axes, keepdims: 1 }), TERNARY_THRESHOLD)
      : quantile(g, size, sparsity, one);
  const above = isGreater(g, w, threshold, w.shape);
  const below = isGreater(g, g.node('Neg', [w], w.shape), threshold, w.shape);
  const p = g.reshape(positive, one);
  const n = g.reshape(negative, one);
  const q = g.sub(g.mul(above, p), g.mul(below, n));
  return g.differentiable([w, positive, negative], q, (d) => {
    const inside = g.sub(g.sub(g.scalar(1), above), below);
    const slope = g.add(g.add(g.mul(above, p), g.mul(below, n)), inside);
    const total = (mask: Value) => g.reshape(g.sum(g.mul(d, mask), axes), [1]);
    return [g.mul(d, slope), total(above), g.scale(total(below), -1)];
  });
}
