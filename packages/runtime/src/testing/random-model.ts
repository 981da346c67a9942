/**
 * Random valid models for the tests of every engine: odd channel counts, odd sizes, every kernel and stride,
 * thresholds at their extremes. A seed names a model, so a failing one can be made again; small enough to run in
 * milliseconds.
 */
import fc from 'fast-check';
import { packRows } from '../bits.js';
import { layerBound, modelShapes } from '../bounds.js';
import { codeNames, type InputCode } from '../codes.js';
import { limits } from '../limits.js';
import type { InputSpec, KernelLayer, LayerSpec, PackedModel, Weights } from '../model.js';
import { type KernelShape, productsOf } from '../shapes.js';
import { allSlices } from '../slices.js';

/** A model and images for it, uint8 `[height][width][channels]` each. */
export interface ModelCase {
  readonly seed: number;
  readonly model: PackedModel;
  readonly images: readonly Uint8Array[];
}

export interface RandomModelOptions {
  /** multiply-accumulates per image at most; default 200,000 */
  readonly maxMacs?: number;
  /** default: any */
  readonly input?: Partial<InputSpec>;
  /** default: any; used as it is */
  readonly layers?: readonly LayerSpec[];
  /** default: any */
  readonly firstWeights?: Weights['type'];
}

/** Models and two images each; shrinks towards small seeds only, so report the seed. */
export const modelCases: fc.Arbitrary<ModelCase> = fc
  .integer({ min: 0, max: 0x7fffffff })
  .map((seed) => randomCase(seed));

export function randomCase(seed: number, options: RandomModelOptions = {}, images = 2): ModelCase {
  const model = randomModel(seed, options);
  const dice = new Dice(seed ^ 0x5bd1e995);
  return { seed, model, images: Array.from({ length: images }, () => randomImage(dice, model.input)) };
}

export function randomModel(seed: number, options: RandomModelOptions = {}): PackedModel {
  const dice = new Dice(seed);
  const maxMacs = options.maxMacs ?? 200_000;
  // Draw until one fits; every draw uses the same stream, so the seed still names the result.
  for (;;) {
    const drawn = randomInput(dice);
    const code = drawn.encoding === 'bit-slices' && !options.input?.encoding ? randomCode(seed) : undefined;
    const input = { ...drawn, ...(code && { code }), ...options.input };
    const layers = options.layers ?? randomLayers(dice);
    const shapes = shapesOrNull(input, layers);
    if (!shapes || (!options.layers && productsOf(shapes) > maxMacs)) continue;
    return {
      input,
      layers,
      kernels: shapes.map((shape) =>
        randomKernel(dice, input, shape, shape.index === shapes.length - 1, options.firstWeights),
      ),
      classes: Array.from({ length: shapes.at(-1)!.output.channels }, (_, c) => `class ${c}`),
      provenance: { technique: 'random', recipe: 'none', dataset: 'none', epochs: 0, seed },
    };
  }
}

/** A small generator of its own (mulberry32): the runtime depends on nothing. */
export class Dice {
  constructor(private state: number) {}

  uint32(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** an integer of low..high */
  range(low: number, high: number): number {
    return low + Math.floor((this.uint32() / 2 ** 32) * (high - low + 1));
  }

  chance(percent: number): boolean {
    return this.range(0, 99) < percent;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.range(0, items.length - 1)]!;
  }
}

function shapesOrNull(input: InputSpec, layers: readonly LayerSpec[]): KernelShape[] | null {
  try {
    return modelShapes({ input, layers });
  } catch {
    return null;
  }
}

function randomInput(dice: Dice): InputSpec {
  const channels = dice.pick([1, 1, 2, 3, 3, 3, 4, 5]);
  const size = { height: dice.range(1, 12), width: dice.range(1, 12), channels };
  const low = dice.range(0, 99);
  const stretch = dice.chance(30) ? { low, high: dice.range(low + 1, 100) } : null;
  if (dice.chance(20)) return { ...size, encoding: '8-bit', slices: [], shifts: [], stretch };

  const keep = dice.pick([100, 100, 50, 20]);
  const kept = allSlices(channels).filter(() => dice.chance(keep));
  const slices = kept.length > 0 ? kept : [{ channel: dice.range(0, channels - 1), bit: dice.range(0, 7) }];
  const shiftRule = dice.range(0, 2);
  const shifts = slices.map(({ bit }) => [0, bit, dice.range(0, 7)][shiftRule]!);
  return { ...size, encoding: 'bit-slices', slices, shifts, stretch };
}

/** From dice of its own: what a seed named before there were codes is otherwise the same. */
const randomCode = (seed: number): InputCode | undefined =>
  new Dice(seed ^ 0x2f6b13d5).pick([undefined, ...codeNames]);

function randomLayers(dice: Dice): LayerSpec[] {
  const width = () => dice.pick([1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70]);
  const layers: LayerSpec[] = [];
  for (let i = dice.range(0, 3); i > 0; i--) {
    layers.push({
      kind: 'conv',
      channels: width(),
      kernel: dice.pick([1, 2, 3, 3, 3, 4, 5, 6, 7]),
      stride: dice.pick([1, 1, 1, 1, 2, 3, 4]),
      padding: dice.pick(['same', 'same', 'valid']),
    });
    if (dice.chance(40)) layers.push({ kind: 'pool', size: dice.pick([2, 2, 2, 3, 4]) });
  }
  for (let i = dice.range(0, 2); i > 0; i--)
    layers.push({ kind: 'dense', units: dice.pick([width(), 100, 129]) });
  layers.push({ kind: 'dense', units: dice.range(1, 12) });
  return layers;
}

function randomKernel(
  dice: Dice,
  input: InputSpec,
  shape: KernelShape,
  last: boolean,
  firstWeights: Weights['type'] | undefined,
): KernelLayer {
  const outputs = shape.output.channels;
  const integer = shape.index === 0 && (firstWeights ? firstWeights === 'integer' : dice.chance(50));
  const weights = randomWeights(dice, outputs, shape.fanIn, integer);
  const bound = layerBound(input, shape, weights);
  if (!last)
    return {
      weights,
      output: 'bits',
      thresholds: Int32Array.from({ length: outputs }, () => randomThreshold(dice, bound)),
    };
  const largestScale = Math.max(1, Math.min(1000, Math.floor(limits.integer / 2 / (bound + 1))));
  const scaleRange = dice.pick([1, 10, largestScale]);
  const biasRange = dice.pick([0, 100, 2 ** 30 - 1]);
  return {
    weights,
    output: 'scores',
    scale: Int32Array.from({ length: outputs }, () => dice.range(-1, scaleRange)),
    bias: Int32Array.from({ length: outputs }, () => dice.range(-biasRange, biasRange)),
  };
}

function randomWeights(dice: Dice, outputs: number, fanIn: number, integer: boolean): Weights {
  if (integer) {
    const largest = dice.pick([1, 7, 127]);
    return {
      type: 'integer',
      values: Int8Array.from({ length: outputs * fanIn }, () => dice.range(-largest, largest)),
    };
  }
  const percent = dice.pick([50, 50, 50, 10, 100]);
  const signs = Int8Array.from({ length: outputs * fanIn }, () => (dice.chance(percent) ? 1 : -1));
  return { type: 'binary', bits: packRows(signs, outputs, fanIn) };
}

/** Mostly where sums are, so that bits differ; sometimes at the ends of what is allowed. */
function randomThreshold(dice: Dice, bound: number): number {
  if (dice.chance(15)) return dice.pick([-bound, -bound + 1, bound, bound + 1]);
  const near = Math.min(bound, Math.ceil(2 * Math.sqrt(bound)));
  return dice.chance(80) ? dice.range(-near, near) : dice.range(-bound, bound + 1);
}

function randomImage(dice: Dice, input: InputSpec): Uint8Array {
  const low = dice.pick([0, 0, 40]);
  const high = dice.pick([255, 255, 60]);
  const length = input.height * input.width * input.channels;
  return Uint8Array.from({ length }, () => dice.range(low, high));
}
