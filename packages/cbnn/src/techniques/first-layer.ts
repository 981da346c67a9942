import type { Graph, Value } from '../graph/graph.js';
import { binarize, placeValues, roundToIntegers } from '../graph/operations/quantizers.js';
import { type Plan, placeFactors } from '../nn/plan.js';

/**
 * First-layer weights as the plan has them: real, integers or bits, with the place values of slices, or the scale of 8-bit
 * values, where those belong to the weights. `bits` replaces sign(w).
 */
export function firstLayerWeights(g: Graph, weights: Value, plan: Plan, bits = binarize): Value {
  const place = placeFactors(plan);
  const placed = (value: Value) => (place ? placeFlat(g, value, place) : value);
  if (plan.firstLayer === 'binary') return placed(bits(g, weights));
  return plan.firstLayer === 'integer' ? roundToIntegers(g, placed(weights)) : placed(weights);
}

/** A first dense layer's weights are `[outputs][y][x][channel]` flattened: repeat the factors over positions. */
function placeFlat(g: Graph, weights: Value, place: Float32Array): Value {
  const inputs = weights.shape.at(-1)!;
  return placeValues(
    g,
    weights,
    Float32Array.from({ length: inputs }, (_, i) => place[i % place.length]!),
  );
}
