/** Random networks of real sums for the tests of their engine; a seed names one, and images for it. */
import { kernelShapes, type MapShape, parseArchitecture } from '@cbnn/runtime';
import { Dice, randomModel } from '../../../runtime/src/testing/random-model.js';
import type { RealLayer, RealNetwork } from '../real-network.js';

export interface RealCase {
  readonly network: RealNetwork;
  /** `[channel][y][x]` */
  readonly images: readonly Float32Array[];
}

export interface RealCaseOptions {
  readonly kind?: 'xnor-net' | 'pruned';
  readonly architecture?: string;
  readonly size?: MapShape;
}

export function realCase(seed: number, options: RealCaseOptions = {}, count = 2): RealCase {
  const dice = new Dice(seed ^ 0x3c6ef372);
  const kind = options.kind ?? (dice.chance(50) ? 'xnor-net' : 'pruned');
  const model = randomModel(seed, {
    maxMacs: 60_000,
    ...(options.architecture && { layers: parseArchitecture(options.architecture) }),
    ...(options.size && { input: options.size }),
  });
  const { height, width } = model.input;
  const channels = options.size?.channels ?? dice.range(1, 9);
  const shapes = kernelShapes({ height, width, channels }, model.layers);
  const uniform = () => Math.fround((dice.uint32() / 2 ** 32) * 2 - 1);
  const floats = (length: number, value: () => number) => Float32Array.from({ length }, value);
  const realLast = dice.chance(50);
  const kept = dice.range(1, 100);
  const layers = shapes.map(({ index, fanIn, output }): RealLayer => {
    const isLast = index === shapes.length - 1;
    const form =
      kind === 'pruned' ? 'sparse' : index === 0 || (isLast && realLast) ? 'real' : ('binary' as const);
    const alphas = floats(output.channels, () => Math.abs(uniform()));
    return {
      form,
      weights: floats(output.channels * fanIn, () => 0).map((_, i) => {
        const value = uniform();
        if (form === 'sparse') return dice.chance(kept) ? value : 0;
        return form === 'real' ? value : Math.sign(value || 1) * alphas[Math.floor(i / fanIn)]!;
      }),
      mean: floats(output.channels, () => uniform() * Math.sqrt(fanIn)),
      // Some outputs are all the same, and some turn round.
      scale: floats(output.channels, () => (dice.chance(5) ? 0 : uniform())),
      beta: floats(output.channels, uniform),
    };
  });
  return {
    network: { input: model.input, shapes, layers, hasK: dice.chance(70) },
    images: Array.from({ length: count }, () =>
      floats(height * width * channels, () => 2 * dice.range(0, 255) - 255),
    ),
  };
}
