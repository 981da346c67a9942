import { normalizeAndSign } from '../graph/operations/batch-norm.js';
import { binarize } from '../graph/operations/quantizers.js';
import type { Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** Binary weights and activations; the first layer's weights are integers unless the plan says otherwise. */
export const bnn: Technique = {
  name: 'bnn',
  title: 'Binarized neural network',
  source: 'Courbariaux, Hubara, Soudry, El-Yaniv, Bengio 2016; bit-sliced input: Li & Ren 2018',
  latentWeights: true,
  realLast: false,
  firstLayers: ['integer', 'binary'],
  input: 'bit-slices',
  weightBits: 1,
  binarySums: true,
  integerSums: true,
  nativeStep: true,
  quantizeWeights: (g, weights, { plan, shape }) =>
    shape.index > 0 ? binarize(g, weights) : firstLayerWeights(g, weights, plan),
  activate: normalizeAndSign,
};
