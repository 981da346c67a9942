/**
 * Adam (Kingma & Ba 2015) with the clipping of latent weights, as graph nodes.
 *
 * The moments are kept divided by (1 - beta): M = beta1 * M + g, V = beta2 * V + g^2, which saves a pass each; the
 * factors and the bias correction go into the learning rate, a scalar computed outside (`adamRate`):
 *   w <- w - rate * M / (sqrt(V) + epsilon / sqrt(1 - beta2)).
 */
import type { Parameter } from '../nn/plan.js';
import type { Graph, Value } from './graph.js';
import { names } from './names.js';

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** The scalar that `adam` multiplies with at `step` (1, 2, ...) for learning rate `rate`. */
export const adamRate = (rate: number, step: number): number =>
  ((rate * Math.sqrt(1 - BETA2 ** step)) / (1 - BETA1 ** step)) * ((1 - BETA1) / Math.sqrt(1 - BETA2));

/** Adds the update of one parameter; its new value and moments become outputs. */
export function adam(g: Graph, parameter: Parameter, value: Value, gradient: Value, rate: Value): void {
  const { name, shape } = parameter;
  const m = g.input(names.firstMoment(name), shape);
  const v = g.input(names.secondMoment(name), shape);
  const nextM = g.add(g.scale(m, BETA1), gradient);
  const nextV = g.add(g.scale(v, BETA2), g.mul(gradient, gradient));
  const root = g.add(g.node('Sqrt', [nextV], shape), g.scalar(EPSILON / Math.sqrt(1 - BETA2)));
  const ownRate = parameter.rateScale === 1 ? rate : g.scale(rate, parameter.rateScale);
  const stepped = g.sub(value, g.mul(g.div(nextM, root), ownRate));
  const next =
    parameter.group === 'binary' ? g.node('Clip', [stepped, g.scalar(-1), g.scalar(1)], shape) : stepped;
  g.output(names.next(name), next);
  g.output(names.next(names.firstMoment(name)), nextM);
  g.output(names.next(names.secondMoment(name)), nextV);
}
