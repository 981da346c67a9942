/** Random stored networks, like ones that were trained: sums are normalized, so that signs, codes and classes differ. */
import { parseArchitecture, parseSlices } from '@cbnn/runtime';
import { weightBitsOf } from '../../graph/technique.js';
import { type Plan, type Precision, planShapes, type TechniqueName } from '../../nn/plan.js';
import { Random } from '../../random.js';
import type { StoredLayer, StoredNetwork } from '../../store/network-file.js';
import { techniques } from '../../techniques/index.js';

export interface RandomStoredOptions {
  /** 9 slices instead of 8-bit values; default false */
  readonly sliced?: boolean;
  readonly precision?: Precision;
}

/** On images of 12 x 11 with 3 channels. */
export function randomStored(
  technique: TechniqueName,
  architecture: string,
  { sliced = false, precision }: RandomStoredOptions = {},
): StoredNetwork {
  const random = new Random(9);
  const plan: Plan = {
    input: {
      ...{ height: 12, width: 11, channels: 3, stretch: null },
      ...(sliced
        ? { encoding: 'bit-slices', slices: [...parseSlices('top3', 3)], shifts: Array(9).fill(0) }
        : { encoding: '8-bit', slices: [], shifts: [] }),
    },
    layers: parseArchitecture(architecture),
    technique,
    slicing: 'equal',
    firstLayer: techniques[technique].firstLayers[0],
    loss: 'cross-entropy',
    ...(precision && { precision }),
  };
  const shapes = planShapes(plan);
  const layers = shapes.map((shape): StoredLayer => {
    const { index, fanIn, output } = shape;
    const isLast = index === shapes.length - 1;
    const isBinary = weightBitsOf(techniques[technique], { plan, shape, isLast }) === 1;
    const floats = (length: number, value: (i: number) => number) =>
      Float32Array.from({ length }, (_, i) => value(i));
    const size = Math.sqrt(1 / fanIn) / (index === 0 && !sliced ? 150 : 1);
    const alphas = floats(output.channels, () => size * (0.5 + random.uniform()));
    const most = precision ? 2 ** (precision.weights - 1) : 0;
    const weightStep = precision ? 2 ** Math.ceil(Math.log2((2 * size) / most)) : 0;
    return {
      weights: floats(output.channels * fanIn, (i) => {
        if (isBinary) return (random.below(2) ? 1 : -1) * alphas[Math.floor(i / fanIn)]!;
        if (techniques[technique].prunes && random.below(4)) return 0;
        const weight = size * random.normal();
        if (!precision) return weight;
        return weightStep * Math.max(-most, Math.min(most - 1, Math.round(weight / weightStep)));
      }),
      mean: floats(output.channels, () => 0.3 * random.normal()),
      scale: floats(output.channels, () => random.normal()),
      beta: floats(output.channels, () => 0.3 * random.normal()),
      weightBytes: 0,
      ...(precision && { weightStep }),
      // Small enough that some are cut off.
      ...(precision &&
        !isLast && { activationStep: Float32Array.of(2 ** (1 - (precision.activations - 1))) }),
    };
  });
  const classes = Array.from({ length: shapes.at(-1)!.output.channels }, (_, c) => `class ${c}`);
  return { plan, classes, layers };
}

export function randomPixels(count: number): Uint8Array {
  const random = new Random(4);
  return Uint8Array.from({ length: count * 12 * 11 * 3 }, () => random.below(256));
}
