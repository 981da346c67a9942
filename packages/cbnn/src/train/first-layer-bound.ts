/** How large the first layer's sums can be before anything is trained: what decides whether they stay exact. */
import { inputMagnitudes } from '@cbnn/runtime';
import { INTEGER_WEIGHT_LIMIT } from '../graph/operations/quantizers.js';
import { type Plan, planShapes } from '../nn/plan.js';

/** Largest |sum| of the first layer, for any weights that training may reach. */
export function firstLayerBound(plan: Plan): number {
  const magnitudes = inputMagnitudes(plan.input);
  const perTap = magnitudes.reduce((sum, magnitude) => sum + magnitude, 0);
  const largestWeight = plan.firstLayer === 'integer' ? INTEGER_WEIGHT_LIMIT : 1;
  return (planShapes(plan)[0]!.fanIn / magnitudes.length) * perTap * largestWeight;
}
