import { ternarize, ternarizeTrained } from '../graph/operations/quantizers.js';
import { hasRealWeights, type Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** Weights of -alpha, 0, +alpha between the first and the last layer; real activations. */
export const ternary: Technique = {
  name: 'ternary',
  title: 'Ternary weights',
  source: 'Li, Zhang, Liu 2016 (ternary weight networks)',
  latentWeights: false,
  realLast: true,
  firstLayers: ['real'],
  input: '8-bit',
  weightBits: 2,
  binarySums: false,
  integerSums: false,
  nativeStep: 'bfloat16',
  quantizeWeights(g, weights, layer) {
    if (layer.shape.index === 0) return firstLayerWeights(g, weights, layer.plan);
    return hasRealWeights(ternary, layer) ? weights : ternarize(g, weights);
  },
  activation: () => 'relu',
};

/**
 * Weights of -negative, 0, +positive, both scales trained; begins with a trained network of full precision. Published with momentum and a
 * weight decay of 2e-4; here it has Adam like all others, and no decay.
 */
export const ttq: Technique = {
  ...ternary,
  name: 'ttq',
  title: 'Trained ternary quantization',
  source: 'Zhu, Han, Mao, Dally 2016',
  startsFrom: 'float',
  hasSparsity: true,
  scales: () => ['positive', 'negative'],
  quantizeWeights(g, weights, layer) {
    if (layer.shape.index === 0) return firstLayerWeights(g, weights, layer.plan);
    if (hasRealWeights(ttq, layer)) return weights;
    return ternarizeTrained(
      g,
      weights,
      layer.scales.positive!,
      layer.scales.negative!,
      layer.plan.ternarySparsity,
    );
  },
};
