/**
 * Optimizers, as graph nodes that update one parameter. What depends on the step alone is a scalar computed outside
 * (`stepRate`). None decays weights: techniques that were published with a decay say so.
 */
import type { Parameter } from '../nn/plan.js';
import type { Graph, Value } from './graph.js';
import { names } from './names.js';
import { powerOfTwo, powersOfTwo } from './operations/powers-of-two.js';

export interface Optimizer {
  /** what `update` gets as its rate in `step` (1, 2, ...) for learning rate `rate` */
  stepRate(rate: number, step: number): number;
  /** adds the update of one parameter; its new value and moments become outputs */
  update(g: Graph, parameter: Parameter, value: Value, gradient: Value, rate: Value): void;
}

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

interface Moments {
  readonly m: Value;
  readonly v: Value;
}

const momentsOf = (g: Graph, { name, shape }: Parameter): Moments => ({
  m: g.input(names.firstMoment(name), shape),
  v: g.input(names.secondMoment(name), shape),
});

function put(g: Graph, { name }: Parameter, value: Value, { m, v }: Moments): void {
  g.output(names.next(name), value);
  g.output(names.next(names.firstMoment(name)), m);
  g.output(names.next(names.secondMoment(name)), v);
}

/** Latent weights stay in [-1, 1]. */
const clipped = (g: Graph, { group, shape }: Parameter, value: Value): Value =>
  group === 'binary' ? g.node('Clip', [value, g.scalar(-1), g.scalar(1)], shape) : value;

/**
 * Adam (Kingma & Ba 2015). The moments are kept divided by (1 - beta): M = beta1 * M + g, V = beta2 * V + g^2, which saves a pass
 * each; the factors and the bias correction go into the step's rate:
 *   w <- w - rate * M / (sqrt(V) + epsilon / sqrt(1 - beta2)).
 */
export const adam: Optimizer = {
  stepRate: (rate, step) =>
    ((rate * Math.sqrt(1 - BETA2 ** step)) / (1 - BETA1 ** step)) * ((1 - BETA1) / Math.sqrt(1 - BETA2)),

  update(g, parameter, value, gradient, rate) {
    const { shape, rateScale } = parameter;
    const { m, v } = momentsOf(g, parameter);
    const nextM = g.add(g.scale(m, BETA1), gradient);
    const nextV = g.add(g.scale(v, BETA2), g.mul(gradient, gradient));
    const root = g.add(g.node('Sqrt', [nextV], shape), g.scalar(EPSILON / Math.sqrt(1 - BETA2)));
    const ownRate = rateScale === 1 ? rate : g.scale(rate, rateScale);
    const stepped = g.sub(value, g.mul(g.div(nextM, root), ownRate));
    put(g, parameter, clipped(g, parameter, stepped), { m: nextM, v: nextV });
  },
};

/** Keeps a division by a gradient that was always 0 finite (the authors' code). */
const SHIFT_FLOOR = 2 ** -27;

/**
 * AdaMax with shifts for multiplications (Hubara, Courbariaux et al. 2016, algorithm 4): V = max(beta2 * V, |g|),
 *   w <- w - rate * M / (AP2(V) + 2^-27), rate a power of two; M is kept divided by (1 - beta1).
 */
export const shiftAdaMax: Optimizer = {
  stepRate: (rate, step) => powerOfTwo(rate / (1 - BETA1 ** step)) * (1 - BETA1),

  update(g, parameter, value, gradient, rate) {
    const { shape, rateScale } = parameter;
    const { m, v } = momentsOf(g, parameter);
    const nextM = g.add(g.scale(m, BETA1), gradient);
    const nextV = g.node('Max', [g.scale(v, BETA2), g.node('Abs', [gradient], shape)], shape);
    const size = g.add(powersOfTwo(g, nextV), g.scalar(SHIFT_FLOOR));
    const ownRate = g.scale(rate, powerOfTwo(rateScale));
    const stepped = g.sub(value, g.mul(g.div(nextM, size), ownRate));
    put(g, parameter, clipped(g, parameter, stepped), { m: nextM, v: nextV });
  },
};

/** Size of the averaged gradient from which a weight flips (Helwegen et al. 2019, for CIFAR-10). */
const FLIP_THRESHOLD = 1e-8;

/**
 * Bop (Helwegen et al. 2019, algorithm 2): no latent weights. m = (1 - rate) * m + rate * g; a weight that agrees in sign with an m
 * beyond the threshold flips. Magnitudes of weights stay what they were and mean nothing.
 */
export const bop: Optimizer = {
  stepRate: (rate) => rate,

  update(g, parameter, value, gradient, rate) {
    const { shape } = parameter;
    const { m, v } = momentsOf(g, parameter);
    const nextM = g.add(m, g.mul(g.sub(gradient, m), rate));
    const agreement = g.mul(nextM, g.node('Sign', [value], shape));
    const flips = g.node('Greater', [agreement, g.scalar(FLIP_THRESHOLD)], shape, {}, 'bool');
    const next = g.node('Where', [flips, g.node('Neg', [value], shape), value], shape);
    put(g, parameter, next, { m: nextM, v });
  },
};
