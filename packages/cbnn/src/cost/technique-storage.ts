import { weightBitsOf } from '../graph/technique.js';
import { planShapes } from '../nn/plan.js';
import type { StoredNetwork } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';
import { BATCH_NORM, type LayerStorage } from './cost.js';

/** Storage of a network as it is written: weights in the technique's own bits, batch norm in float. */
export function techniqueStorage({ plan, layers }: StoredNetwork): LayerStorage[] {
  const technique = techniques[plan.technique];
  const shapes = planShapes(plan);
  const seesBits = plan.input.encoding === 'bit-slices';
  return shapes.map((shape, k): LayerStorage => {
    const weightBits = weightBitsOf(technique, { plan, shape, isLast: k === shapes.length - 1 });
    const arithmetic =
      weightBits < 32 && technique.afterTraining
        ? 'integer'
        : weightBits < 32 && technique.binarySums && (k > 0 || seesBits)
          ? 'binary'
          : 'float';
    return { weightBits, weightBytes: layers[k]!.weightBytes, arithmetic, perOutput: BATCH_NORM };
  });
}
