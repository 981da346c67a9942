/** Weight quantizers and activations. Each names its forward form and its straight-through gradient. */
import type { Graph, Value } from '../graph.js';

/** sign(w), sign(0) = +1. Straight-through: dL/dw = dL/dq (latent weights are clipped to [-1, 1] by the optimizer). */
export function binarize(g: Graph, w: Value): Value {
  const positive = g.node('GreaterOrEqual', [w, g.scalar(0)], w.shape, {}, 'bool');
  const q = g.node('Where', [positive, g.scalar(1), g.scalar(-1)], w.shape);
  return g.differentiable([w], q, (d) => [d]);
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
  const floor = g.node('Max', [largest, g.scalar(1e-30)], perOutput);
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

/** max(x, 0) */
export function relu(g: Graph, x: Value): Value {
  const y = g.node('Relu', [x], x.shape);
  return g.differentiable([x], y, (d) => {
    const positive = g.node('Greater', [x, g.scalar(0)], x.shape, {}, 'bool');
    return [g.mul(d, g.toFloat(positive))];
  });
}
