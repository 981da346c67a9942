import { batchNorm } from '../graph/operations/batch-norm.js';
import { relu } from '../graph/operations/quantizers.js';
import type { Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** Batch norm and ReLU: the activation of every technique that keeps activations real. */
export const normalizeAndRelu: Technique['activate'] = (g, p, gamma, beta, normalization) => {
  const normalized = batchNorm(g, p, gamma, beta, normalization);
  return { ...normalized, output: relu(g, normalized.output) };
};

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
  nativeStep: false,
  quantizeWeights: (g, weights, { plan, shape }) =>
    shape.index === 0 ? firstLayerWeights(g, weights, plan) : weights,
  activate: normalizeAndRelu,
};
