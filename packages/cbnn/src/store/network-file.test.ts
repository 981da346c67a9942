/** Every technique's network, written and read again: the same weights, the same answers; and files that are not what they say. */
import { decodeSafetensors, encodeSafetensors, parseArchitecture, parseSlices } from '@cbnn/runtime';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { evaluationFeeds, openEvaluator } from '../graph/evaluator.js';
import { names } from '../graph/names.js';
import { openDevice } from '../graph/session.js';
import { parametersOf } from '../graph/technique.js';
import { type Plan, planShapes, type TechniqueName } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { Random } from '../random.js';
import { techniques } from '../techniques/index.js';
import { checksum, decodeNetwork, encodeNetwork, openNetwork } from './network-file.js';
import { decodeSparse, encodeSparse } from './sparse-codes.js';
import { decodeWeights, encodeWeights, rowBytes } from './weight-codes.js';

const CLASSES = ['a', 'b', 'c'];

function planOf(technique: TechniqueName, more: Partial<Plan> = {}): Plan {
  return {
    input: { height: 8, width: 7, channels: 3, encoding: '8-bit', slices: [], shifts: [], stretch: null },
    layers: parseArchitecture('5C3-6C3-MP2-9FC-3FC'),
    technique,
    slicing: 'equal',
    firstLayer: techniques[technique].firstLayers[0],
    loss: 'cross-entropy',
    ...more,
  };
}

function stateOf(plan: Plan, seed = 3): TrainingState {
  const random = new Random(seed);
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const put = (name: string, shape: readonly number[]) =>
    state.set(name, {
      shape,
      data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
        Math.fround(random.uniform() * 2 - 0.9),
      ),
    });
  // Steps of fixed point, powers of two: the first layer's weights have the factor 1 / 255.
  const steps = (name: string) =>
    state
      .get(name)
      ?.data.fill(name.endsWith('weightStep') ? (name === 'layers.0.weightStep' ? 1 / 1024 : 1 / 8) : 1 / 4);
  for (const shape of planShapes(plan)) {
    for (const { name, shape: size } of parametersOf(techniques[plan.technique], plan, shape))
      put(name, size);
    put(names.mean(shape.index), [shape.output.channels]);
    put(names.inverse(shape.index), [shape.output.channels]);
  }
  for (const [name, { data }] of state) {
    if (name.endsWith('Step')) steps(name);
    if (name.endsWith('mask')) for (let i = 0; i < data.length; i++) data[i] = Number(data[i]! > 0.4);
  }
  return state;
}

const sliced = {
  input: {
    ...planOf('float').input,
    encoding: 'bit-slices' as const,
    slices: [...parseSlices('top3', 3)],
    shifts: [5, 6, 7, 5, 6, 7, 5, 6, 7],
  },
  slicing: 'place-value' as const,
};
const plans: [string, Plan][] = [
  ...(Object.keys(techniques) as TechniqueName[])
    .filter((name) => !techniques[name].integerSums && !techniques[name].afterTraining)
    .map((name): [string, Plan] => [name, planOf(name)]),
  ...[2, 5, 8, 16].map((weights): [string, Plan] => [
    `fixed-point, ${weights} bits`,
    planOf('fixed-point', { precision: { weights, activations: 18 - weights } }),
  ]),
  ['binaryconnect on slices with place values', planOf('binaryconnect', sliced)],
  ['xnor-net-binary on slices with place values', planOf('xnor-net-binary', sliced)],
  ['float on slices with place values', planOf('float', sliced)],
  ['float on Gray code', planOf('float', { ...sliced, input: { ...sliced.input, code: 'gray' } })],
];

describe.each(plans)('%s', (_, plan) => {
  it('answers as the trained network does, and takes the bytes of its weights', async () => {
    const random = new Random(4);
    const images = {
      count: 50,
      pixels: Uint8Array.from({ length: 50 * 8 * 7 * 3 }, () => random.below(256)),
    };
    const technique = techniques[plan.technique];
    const evaluator = await openEvaluator(plan, technique, await openDevice('cpu', 1));
    const shapes = planShapes(plan);
    const parameters = shapes.flatMap((shape) => parametersOf(technique, plan, shape));
    // Random networks often give all images one class: one that does not tells more.
    let state = stateOf(plan);
    let expected: Uint16Array = new Uint16Array(0);
    for (let seed = 3; new Set(expected).size < 2; seed++) {
      state = stateOf(plan, seed);
      expected = await evaluator.classify(images, evaluationFeeds({ parameters, shapes }, state, technique));
    }
    await evaluator.close();
    const bytes = await encodeNetwork(plan, state, CLASSES);
    const network = await openNetwork(decodeNetwork(bytes), 1);
    expect([...(await network.classify(images))]).toEqual([...expected]);
    await network.close();

    const { tensors } = decodeSafetensors(bytes);
    for (const shape of technique.prunes ? [] : shapes) {
      const isReal =
        !technique.afterTraining &&
        !technique.prunes &&
        ((shape.index === 0 && plan.firstLayer === 'real') ||
          (shape.index === shapes.length - 1 && technique.realLast));
      const bits = isReal ? 32 : (plan.precision?.weights ?? technique.weightBits);
      expect(tensors.get(`layers.${shape.index}.codes`)!.data.length).toBe(
        shape.output.channels * rowBytes(shape.fanIn, bits),
      );
    }
  });
});

describe('codes', () => {
  it('give back what went in', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 33 }),
        fc.constantFrom(1 as const, 2 as const),
        fc.boolean(),
        fc.integer({ min: 0, max: 1e9 }),
        (outputs, fanIn, bits, shared, seed) => {
          const random = new Random(seed);
          // Trained scales may have any sign.
          const sign = random.below(4) ? -1 : 1;
          const levels = Array.from({ length: outputs * bits }, () => Math.fround(random.uniform() + 0.1));
          const weights = Float32Array.from({ length: outputs * fanIn }, (_, i) => {
            const own = shared ? 0 : Math.floor(i / fanIn) * bits;
            if (bits === 1) return random.below(2) ? levels[own]! : -levels[own]!;
            return [0, levels[own]!, levels[own + 1]! * sign][random.below(3)]!;
          });
          const codes = encodeWeights(weights, outputs, { kind: 'levels', bits });
          expect(codes.codes.length).toBe(outputs * Math.ceil((fanIn * bits) / 8));
          expect([...decodeWeights(codes, outputs, fanIn)]).toEqual([...weights]);
        },
      ),
    );
  });

  it('give back integers of any width', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 16 }),
        fc.integer({ min: -20, max: 20 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 40 }),
        (bits, exponent, outputs, shares) => {
          const step = 2 ** exponent;
          const row = shares.map((share) => (Math.round(share * (2 ** bits - 1)) - 2 ** (bits - 1)) * step);
          const weights = Float32Array.from({ length: outputs * row.length }, (_, i) => row[i % row.length]!);
          const codes = encodeWeights(weights, outputs, { kind: 'integers', bits }, step);
          expect(codes.codes.length).toBe(outputs * Math.ceil((row.length * bits) / 8));
          expect([...decodeWeights(codes, outputs, row.length)]).toEqual([...weights].map((x) => x + 0));
        },
      ),
    );
    const form = { kind: 'integers' as const, bits: 4 };
    for (const value of [8, -9, 0.5])
      expect(() => encodeWeights(Float32Array.of(value), 1, form, 1)).toThrow('4-bit multiples of 1');
  });

  it('give back sparse weights, however far apart', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 600 }),
        fc.integer({ min: 0, max: 1e9 }),
        (count, rarity, seed) => {
          const random = new Random(seed);
          const weights = Float32Array.from({ length: count }, () =>
            random.below(rarity) === 0 ? Math.fround(random.normal()) : 0,
          );
          const { codes, values } = encodeSparse(weights);
          expect([...decodeSparse({ codes, values }, count)]).toEqual([...weights]);
          expect(values.length).toBe(weights.filter((value) => value !== 0).length);
        },
      ),
    );
  });

  it('take the gaps that take least, and refuse those that lead astray', () => {
    // 3 zeros before each of 100 weights: gaps of 3 fit three bits, whose largest number is 7.
    const weights = Float32Array.from({ length: 400 }, (_, i) => (i % 4 === 3 ? 1 : 0));
    const { codes, values } = encodeSparse(weights);
    expect(codes[0]).toBe(3);
    expect(codes.length).toBe(1 + Math.ceil((100 * 3) / 8));
    // By hand: two bits, 2 zeros (10), then 3 zeros without one (11) and 0 more (00), lowest bits first.
    const few = encodeSparse(Float32Array.of(0, 0, 5, 0, 0, 0, 6));
    expect([...few.codes]).toEqual([2, 0b001110]);
    const astray = (change: Partial<typeof few>, count = 7) => decodeSparse({ ...few, ...change }, count);
    expect(() => astray({}, 6)).toThrow('leads behind');
    expect(() => astray({ codes: few.codes.subarray(0, 1) })).toThrow('too short');
    expect(() => astray({ codes: Uint8Array.of(2, 0b001110, 0) })).toThrow('too long');
    expect(() => astray({ codes: Uint8Array.of(9, 0) })).toThrow('gaps of 2 to 8 bits, got 9');
    expect(() => astray({ codes: new Uint8Array(0) })).toThrow('got 0');
    expect(() => astray({ values: new Float32Array(1000) })).toThrow();
    expect(decodeSparse({ codes: Uint8Array.of(2), values: new Float32Array(0) }, 3)).toEqual(
      new Float32Array(3),
    );
    expect(values.length).toBe(100);
  });

  it('refuse weights of more values, and codes that are none', () => {
    const [one, two] = [1, 2].map((bits) => ({ kind: 'levels' as const, bits }));
    expect(() => encodeWeights(Float32Array.of(0.5, -0.25), 1, one!)).toThrow('expected 1-bit values, got');
    expect(() => encodeWeights(Float32Array.of(0.5, 0.25, -1), 1, two!)).toThrow(
      'expected 2-bit values, got',
    );
    const good = encodeWeights(Float32Array.of(0.5, 0, -0.25), 1, two!);
    expect(() => decodeWeights({ ...good, codes: Uint8Array.of(3) }, 1, 3)).toThrow('got 3 in output 1');
    expect(() => decodeWeights({ ...good, levels: new Float32Array(3) }, 1, 3)).toThrow('levels');
    expect(() => decodeWeights(good, 2, 3)).toThrow('bytes of codes');
  });
});

describe('a network file', () => {
  let file: Uint8Array;
  beforeAll(async () => {
    file = await encodeNetwork(planOf('ttq'), stateOf(planOf('ttq')), CLASSES);
  });

  it('is refused when it was cut or changed', () => {
    const bytes = file;
    decodeNetwork(bytes);
    for (let length = 0; length < bytes.length; length += 37)
      expect(() => decodeNetwork(bytes.subarray(0, length))).toThrow();
    for (let at = 0; at < bytes.length; at += 11)
      for (const flip of [1, 128]) {
        const changed = bytes.slice();
        changed[at]! ^= flip;
        expect(() => decodeNetwork(changed), `byte ${at}`).toThrow(
          /network|model|safetensors|tensor|weights|input|layers|classes|architecture/,
        );
      }
  });

  it.each([
    ['another version', { formatVersion: 2 }, 'formatVersion'],
    ['an unknown technique', { technique: 'magic' }, 'technique'],
    ['a technique with other weights', { technique: 'float' }, 'bytes of codes'],
    ['another architecture', { architecture: '5C3-6C3-MP2-8FC-3FC' }, 'expected'],
    ['no architecture', { architecture: 'hello' }, 'architecture'],
    ['an input of 4096 x 4096', { input: { ...planOf('ttq').input, height: 4096, width: 4096 } }, 'expected'],
    [
      'slices of a channel that is not there',
      { input: { ...sliced.input, slices: [{ channel: 3, bit: 1 }], shifts: [0] } },
      'channel',
    ],
    ['no slices', { input: { ...sliced.input, slices: [], shifts: [] } }, 'slice'],
    ['an unknown code', { input: { ...sliced.input, code: 'grey' } }, 'input.code'],
    ['a code of 8-bit values', { input: { ...planOf('ttq').input, code: 'gray' } }, 'expected no code'],
    ['an absurd input', { input: { ...planOf('ttq').input, height: 1e9 } }, 'input'],
    ['more classes than outputs', { classes: [...CLASSES, 'd'] }, 'classes'],
    ['a wrong checksum', { sha256: '0'.repeat(64) }, 'checksum'],
    ['something else beside', { more: 1 }, 'metadata'],
  ])('is refused with %s', (_, change, message) => {
    const { tensors, metadata } = decodeSafetensors(file);
    const json = { ...JSON.parse(metadata['cbnn-network']!), ...change };
    // With a checksum that is right again, where what is wrong is not caught before.
    try {
      if (!('sha256' in change)) json.sha256 = checksum(json, tensors);
    } catch {}
    expect(() => decodeNetwork(encodeSafetensors(tensors, { 'cbnn-network': JSON.stringify(json) }))).toThrow(
      message,
    );
  });
});
