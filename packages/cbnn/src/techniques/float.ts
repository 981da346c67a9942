import { batchNorm } from '../graph/operations/batch-norm.js';
import { relu } from '../graph/operations/quantizers.js';
import type { Technique } from '../graph/technique.js';
import { placeFactors } from '../nn/plan.js';
import { placeFlat } from './bnn.js';

/** Full precision: the same network with real weights and ReLU. */
export const float: Technique = {
  name: 'float',
  title: 'Full precision',
  source: 'baseline of Li & Ren 2018',
  latentWeights: false,
  integerSums: false,
  nativeStep: false,
  quantizeWeights(g, weights, shape, plan) {
    const place = shape.index === 0 ? placeFactors(plan) : null;
    return place ? placeFlat(g, weights, place) : weights;
  },
  activate(g, p, gamma, beta, normalization) {
    const normalized = batchNorm(g, p, gamma, beta, normalization);
    return { ...normalized, output: relu(g, normalized.output) };
  },
};
