/**
 * What stands for the derivative of sign in the backward pass: a factor for every value that was binarized. The forward pass knows
 * nothing of it.
 */
import type { Graph, Value } from '../graph.js';

/** y, as it was before sign -> the factor that the gradient is multiplied with, of the same shape. */
export type Estimator = (g: Graph, y: Value) => Value;

/** Those that a trainer without a graph knows, beside the straight-through one: `approximateSign` and `errorDecay`. */
export type Slope = 'approximate' | 'decaying';

/** 1 where |y| <= 1, else 0 (Courbariaux et al. 2016): the straight-through estimator. */
export const straightThrough: Estimator = (g, y) =>
  g.toFloat(g.node('LessOrEqual', [g.node('Abs', [y], y.shape), g.scalar(1)], y.shape, {}, 'bool'));

/** max(0, 2 - 2 |y|), the slope of a piecewise quadratic sign (Bi-Real Net: Liu et al. 2018, equation 10). */
export const approximateSign: Estimator = (g, y) =>
  g.node('Relu', [g.scale(g.sub(g.scalar(1), g.node('Abs', [y], y.shape)), 2)], y.shape);

/** Sharpness t at the beginning and at the end. */
const EDE_FROM = 0.1;
const EDE_TO = 10;

/** t of `errorDecay` where training has come to `progress`, 0..1. */
export const sharpnessAt = (progress: number): number => EDE_FROM * (EDE_TO / EDE_FROM) ** progress;

/**
 * k t (1 - tanh(t y)^2) with k = max(1 / t, 1), t growing exponentially from 0.1 to 10: from the identity towards sign (error
 * decay estimator, IR-Net: Qin et al. 2020, section 3.3).
 */
export const errorDecay: Estimator = (g, y) => {
  const growth = g.scale(g.progress(), Math.log(EDE_TO / EDE_FROM));
  const t = g.scale(g.node('Exp', [growth], []), EDE_FROM);
  const height = g.node('Max', [t, g.scalar(1)], []); // k * t
  const bent = g.node('Tanh', [g.mul(y, t)], y.shape);
  return g.mul(g.sub(g.scalar(1), g.mul(bent, bent)), height);
};
