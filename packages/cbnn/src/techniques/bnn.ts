import { normalizeAndSign } from '../graph/operations/batch-norm.js';
import { binarize, placeValues, roundToIntegers } from '../graph/operations/quantizers.js';
import type { Technique } from '../graph/technique.js';
import { placeFactors } from '../nn/plan.js';

/** Binary weights and activations; the first layer's weights are integers unless the plan says otherwise. */
export const bnn: Technique = {
  name: 'bnn',
  title: 'Binarized neural network',
  source: 'Courbariaux, Hubara, Soudry, El-Yaniv, Bengio 2016; bit-sliced input: Li & Ren 2018',
  latentWeights: true,
  integerSums: true,
  nativeStep: true,
  quantizeWeights(g, weights, shape, plan) {
    if (shape.index > 0) return binarize(g, weights);
    const place = placeFactors(plan);
    const placed = (value: typeof weights) => (place ? placeFlat(g, value, place) : value);
    return plan.firstLayer === 'binary' ? placed(binarize(g, weights)) : roundToIntegers(g, placed(weights));
  },
  activate: normalizeAndSign,
};

/** A first dense layer's weights are `[outputs][y][x][channel]` flattened: repeat the factors over positions. */
export function placeFlat(
  g: Parameters<typeof placeValues>[0],
  weights: Parameters<typeof placeValues>[1],
  place: Float32Array,
): ReturnType<typeof placeValues> {
  const inputs = weights.shape.at(-1)!;
  return placeValues(
    g,
    weights,
    Float32Array.from({ length: inputs }, (_, i) => place[i % place.length]!),
  );
}
