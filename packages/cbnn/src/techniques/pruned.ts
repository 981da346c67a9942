import { masked } from '../graph/operations/quantizers.js';
import type { Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';
import { float } from './float.js';

/**
 * A trained network of full precision whose smallest weights are taken away in rounds, the others trained on after each; which, and
 * when: train/pruning.ts. Otherwise than published: no L2 regularization, which draws small weights towards 0 before they go; shares of each
 * layer instead of a multiple of its weights' deviation; the schedule begins anew, at its full peak rate; and all layers train on together.
 */
export const pruned: Technique = {
  ...float,
  name: 'pruned',
  title: 'Magnitude pruning, iterative',
  source: 'Han, Pool, Tran, Dally 2015',
  realLast: false,
  startsFrom: 'float',
  prunes: true,
  hasSparsity: true,
  scales: () => ['mask'],
  quantizeWeights(g, weights, { plan, shape, scales }) {
    const kept = masked(g, weights, scales.mask!);
    return shape.index === 0 ? firstLayerWeights(g, kept, plan) : kept;
  },
};
