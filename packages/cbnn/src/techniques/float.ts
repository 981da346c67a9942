import type { Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** Full precision: the same network with real weights and ReLU. */
export const float: Technique = {
  name: 'float',
  title: 'Full precision',
  source: 'baseline of Li & Ren 2018',
  latentWeights: false,
  realLast: true,
  firstLayers: ['real'],
  input: '8-bit',
  weightBits: 32,
  binarySums: false,
  integerSums: false,
  nativeStep: 'bfloat16',
  quantizeWeights: (g, weights, { plan, shape }) =>
    shape.index === 0 ? firstLayerWeights(g, weights, plan) : weights,
  activation: () => 'relu',
};
