import { normalizeAndRelu } from '../graph/operations/batch-norm.js';
import { toFixedPoint } from '../graph/operations/fixed-point.js';
import type { Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';
import { float } from './float.js';

/**
 * A trained network of full precision, its weights and activations rounded to fixed point without training again; every layer has a
 * step of its own for its weights and one for what it hands on. The image enters in its own 8 bits, batch norm stays in float32.
 */
export const fixedPoint: Technique = {
  ...float,
  name: 'fixed-point',
  title: 'Fixed point after training',
  source: 'Suda et al. 2016',
  realLast: false,
  startsFrom: 'float',
  afterTraining: true,
  nativeStep: null,
  scales: (isLast) => (isLast ? ['weightStep'] : ['weightStep', 'activationStep']),
  quantizeWeights(g, weights, { plan, shape, scales }) {
    const real = shape.index === 0 ? firstLayerWeights(g, weights, plan) : weights;
    return toFixedPoint(g, real, scales.weightStep!, plan.precision!.weights);
  },
  activation:
    ({ plan, scales }) =>
    (g, ...inputs) => {
      const real = normalizeAndRelu(g, ...inputs);
      return {
        ...real,
        output: toFixedPoint(g, real.output, scales.activationStep!, plan.precision!.activations),
      };
    },
};
