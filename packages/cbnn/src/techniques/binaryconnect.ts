import { binarize, binarizeAtRandom } from '../graph/operations/quantizers.js';
import type { Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** Binary weights in every layer, real activations; forward and backward with sign(w), updates of the latent weights. */
export const binaryConnect: Technique = {
  name: 'binaryconnect',
  title: 'BinaryConnect, deterministic',
  source: 'Courbariaux, Bengio, David 2015',
  latentWeights: true,
  realLast: false,
  firstLayers: ['binary', 'real'],
  input: '8-bit',
  weightBits: 1,
  binarySums: false,
  integerSums: false,
  nativeStep: 'bfloat16',
  quantizeWeights: (g, weights, { plan, shape }) =>
    shape.index > 0 ? binarize(g, weights) : firstLayerWeights(g, weights, plan),
  activation: () => 'relu',
};

/** Weights drawn anew in every step, +1 with probability (w + 1) / 2; the real weights answer (section 2.6, method 2). */
export const binaryConnectStochastic: Technique = {
  ...binaryConnect,
  name: 'binaryconnect-stochastic',
  title: 'BinaryConnect, stochastic',
  weightBits: 32,
  answersOtherwise: true,
  quantizeWeights(g, weights, { plan, shape, phase }) {
    const bits = phase === 'training' ? binarizeAtRandom : (_: typeof g, real: typeof weights) => real;
    return shape.index > 0 ? bits(g, weights) : firstLayerWeights(g, weights, plan, bits);
  },
};
