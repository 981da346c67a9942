import { weightBitsOf } from '../graph/technique.js';
import type { Plan } from '../nn/plan.js';
import { planShapes } from '../nn/plan.js';
import { techniques } from '../techniques/index.js';
import { BATCH_NORM, type LayerStorage } from './cost.js';

/** Storage of a network that has no packed form: weights in the technique's own bits, batch norm in float; scales fold into it. */
export function techniqueStorage(plan: Plan): LayerStorage[] {
  const technique = techniques[plan.technique];
  const shapes = planShapes(plan);
  return shapes.map((shape, k): LayerStorage => {
    const weightBits = weightBitsOf(technique, { plan, shape, isLast: k === shapes.length - 1 });
    const arithmetic =
      weightBits < 32 && technique.afterTraining
        ? 'integer'
        : weightBits < 32 && technique.binarySums && k > 0
          ? 'binary'
          : 'float';
    return { weightBits, arithmetic, perOutput: BATCH_NORM };
  });
}
