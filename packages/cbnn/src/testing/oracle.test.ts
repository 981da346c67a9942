import { describe, expect, test } from 'vitest';
import { centralDifference, checkGradient } from './finite-difference.js';
import { type OracleLayer, type OracleParameters, oracleAdam, oracleForward, oracleStep } from './oracle.js';
import { type ToyNetwork, toyBatch, toyLayers, toyNetworks, toyParameters } from './toy-networks.js';

const EPSILON = 1e-4;
const of = (...values: number[]) => Float64Array.from(values);

/** A dense layer on a 1x1 map, to be changed by what a test is about. */
const layerOf = (change: Partial<OracleLayer>): OracleLayer => ({
  kind: 'dense',
  input: { height: 1, width: 1, channels: 1 },
  outputs: 1,
  kernel: 1,
  stride: 1,
  padStart: 0,
  padEnd: 0,
  pool: 1,
  weights: 'real',
  place: null,
  activation: 'none',
  ...change,
});

/** Parameters with gamma 1 and beta 0. */
const plain = (weights: Float64Array, outputs: number): OracleParameters => ({
  weights,
  gamma: new Float64Array(outputs).fill(1),
  beta: new Float64Array(outputs),
});

const closeTo = (actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-12) => {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++)
    expect(
      Math.abs(actual[i]! - expected[i]!),
      `entry ${i}: ${actual[i]} against ${expected[i]}`,
    ).toBeLessThanOrEqual(tolerance);
};

/** The network with real weights throughout, whose gradients are true derivatives. */
const real = (toy: ToyNetwork): ToyNetwork => ({ ...toy, first: 'real' });

describe('gradients of smooth networks are those of central differences', () => {
  const pairs = [
    { activation: 'hardtanh', loss: 'squared-hinge' },
    { activation: 'relu', loss: 'cross-entropy' },
  ] as const;
  const cases = toyNetworks.flatMap((toy) => pairs.map((pair) => ({ toy, ...pair, name: toy.name })));
  test.each(cases)('$name, $activation, $loss', ({ toy, loss, activation }) => {
    const layers = toyLayers(real(toy), activation);
    const parameters = toyParameters(layers, 11);
    const { images, labels } = toyBatch(real(toy), 3, 12);
    const { gradients } = oracleStep(layers, loss, EPSILON, images, labels, parameters);
    const evaluate = () => oracleForward(layers, loss, EPSILON, images, labels, parameters).loss;
    for (const [l, own] of gradients.entries())
      for (const part of ['weights', 'gamma', 'beta'] as const) {
        const check = checkGradient(evaluate, parameters[l]![part], own[part]);
        expect(check.error, `layer ${l} ${part}: ${JSON.stringify(check)}`).toBeLessThan(1e-5);
      }
  });

  // Also of what multiplies: a mask, the trained scales of ternary weights, and K, which has |y| of the layer before in it.
  const factors = [
    {
      name: 'masked weights',
      change: (): Partial<OracleLayer> => ({ weights: 'masked' }),
      parts: ['weights', 'gamma', 'beta'],
    },
    {
      name: 'trained ternary weights',
      change: (): Partial<OracleLayer> => ({ weights: 'trained-ternary' }),
      parts: ['positive', 'negative', 'gamma', 'beta'],
    },
    {
      name: 'scales of inputs',
      change: (l: number): Partial<OracleLayer> => ({ inputScales: l > 0 }),
      parts: ['weights', 'gamma', 'beta'],
    },
  ] as const;
  const multiplied = toyNetworks.flatMap((toy) =>
    factors.map((factor) => [factor.name, toy.name, factor, toy] as const),
  );
  test.each(multiplied)('%s, %s', (_, __, { change, parts }, toy) => {
    const layers = toyLayers(real(toy), 'hardtanh').map(
      (layer, l): OracleLayer => ({ ...layer, ...change(l) }),
    );
    const parameters = toyParameters(layers, 13);
    const { images, labels } = toyBatch(real(toy), 3, 14);
    const { gradients } = oracleStep(layers, toy.loss, EPSILON, images, labels, parameters);
    const evaluate = () => oracleForward(layers, toy.loss, EPSILON, images, labels, parameters).loss;
    for (const [l, own] of gradients.entries())
      for (const part of parts) {
        const check = checkGradient(evaluate, parameters[l]![part]!, own[part]!);
        expect(check.error, `layer ${l} ${part}: ${JSON.stringify(check)}`).toBeLessThan(1e-5);
      }
  });

  test('a gradient that is wrong in one entry is found', () => {
    const values = of(0.5, -2);
    const evaluate = () => values[0]! ** 2 + values[1]! ** 3;
    expect(checkGradient(evaluate, values, of(1, 12)).error).toBeLessThan(1e-8);
    const wrong = checkGradient(evaluate, values, of(1.01, 12));
    expect(wrong.index).toBe(0);
    expect(wrong.error).toBeGreaterThan(5e-4);
    expect(checkGradient(evaluate, values, of(1, Number.NaN)).index).toBe(1);
    expect([...values]).toEqual([0.5, -2]);
  });

  test('a kink close to the point is stepped over by the large probe only', () => {
    const values = of(3e-6);
    const evaluate = () => Math.max(0, values[0]!);
    expect(centralDifference(evaluate, values, 0, 1e-5)).toBeCloseTo(0.65, 6);
    expect(checkGradient(evaluate, values, of(1)).error).toBeLessThan(1e-8);
    expect(checkGradient(evaluate, values, of(0)).error).toBeGreaterThan(0.5);
  });
});

describe('straight-through networks', () => {
  const quantized = toyNetworks.filter((toy) => toy.first !== 'real');

  test.each(quantized)('$name: weight gradients are those of the real network at its weights', (toy) => {
    const layers = toyLayers(toy);
    const parameters = toyParameters(layers, 21);
    const { images, labels } = toyBatch(toy, 4, 22);
    const step = oracleStep(layers, toy.loss, EPSILON, images, labels, parameters);

    // The same function with the quantized weights put in as they are, and dL/dq turned into dL/dw by hand.
    const scales = parameters.map(({ weights }, l) => scalesOf(layers[l]!, weights));
    const twin = parameters.map((own, l) => ({
      ...own,
      weights: own.weights.map((w, i) => {
        if (layers[l]!.weights === 'binary') return w >= 0 ? 1 : -1;
        const place = layers[l]!.place?.[i % layers[l]!.input.channels] ?? 1;
        return Math.round((w * place) / scales[l]![i]!) / place;
      }),
    }));
    const realLayers = layers.map((layer) => ({ ...layer, weights: 'real' as const }));
    const expected = oracleStep(realLayers, toy.loss, EPSILON, images, labels, twin);

    expect(step.loss).toBeCloseTo(expected.loss, 12);
    closeTo(step.scores, expected.scores);
    for (const [l, own] of step.gradients.entries()) {
      const dw = expected.gradients[l]!.weights.map((g, i) => g / scales[l]![i]!);
      closeTo(own.weights, dw, 1e-10);
      closeTo(own.gamma, expected.gradients[l]!.gamma);
      closeTo(own.beta, expected.gradients[l]!.beta);
      expect(own.weights.some((g) => g !== 0)).toBe(true);
    }
  });

  test.each(quantized)(
    '$name: gamma and beta after the last sign are those of central differences',
    (toy) => {
      const layers = toyLayers(toy);
      const parameters = toyParameters(layers, 31);
      const { images, labels } = toyBatch(toy, 4, 32);
      const { gradients } = oracleStep(layers, toy.loss, EPSILON, images, labels, parameters);
      const evaluate = () => oracleForward(layers, toy.loss, EPSILON, images, labels, parameters).loss;
      for (const part of ['gamma', 'beta'] as const)
        expect(checkGradient(evaluate, parameters.at(-1)![part], gradients.at(-1)![part]).error).toBeLessThan(
          1e-6,
        );
    },
  );

  test.each(toyNetworks)('$name: decides far from its kinks, so that float32 can follow', (toy) => {
    const layers = toyLayers(toy);
    const { images, labels } = toyBatch(toy, 4, 2);
    const step = oracleForward(layers, toy.loss, EPSILON, images, labels, toyParameters(layers, 1));
    expect(step.margin).toBeGreaterThan(1e-5);
  });

  /** dq/dw without the place value, inverted: what a weight is divided by before it is rounded. */
  function scalesOf(layer: OracleLayer, weights: Float64Array): Float64Array {
    if (layer.weights !== 'integer') return new Float64Array(weights.length).fill(1);
    const perOutput = weights.length / layer.outputs;
    const channels = layer.input.channels;
    const effective = weights.map((w, i) => Math.abs(w * (layer.place?.[i % channels] ?? 1)));
    return weights.map((_, i) => {
      const start = i - (i % perOutput);
      return Math.max(...effective.subarray(start, start + perOutput)) / 127;
    });
  }
});

describe('examples worked by hand', () => {
  test('binary weights: sign, place value and straight-through gradient', () => {
    // q = +-0.5, z = [[2, -2], [0, 0]], mean +-1, variance 1, sd = sqrt(1 + 3) = 2, scores +-0.5, hinges 0.5.
    // Output 0: dL/ds = [-1/4, 1/4], dp = (ds + u / 8) / 2 = [-3/32, 3/32], dq = 4 * -3/32, dw = dq / 2.
    const layers = [layerOf({ outputs: 2, weights: 'binary', place: of(0.5) })];
    const step = oracleStep(layers, 'squared-hinge', 3, of(4, 0), [0, 1], [plain(of(0.3, -0.2), 2)]);
    closeTo(step.sums[0]!, [2, -2, 0, 0]);
    closeTo(step.statistics[0]!.mean, [1, -1]);
    closeTo(step.statistics[0]!.variance, [1, 1]);
    closeTo(step.scores, [0.5, -0.5, -0.5, 0.5]);
    expect(step.loss).toBeCloseTo(0.25, 14);
    closeTo(step.gradients[0]!.weights, [-3 / 16, 3 / 16]);
    closeTo(step.gradients[0]!.gamma, [-0.25, -0.25]);
    closeTo(step.gradients[0]!.beta, [0, 0]);
  });

  test('a zero weight of either sign is +1', () => {
    const layers = [layerOf({ outputs: 3, weights: 'binary' })];
    const step = oracleForward(layers, 'cross-entropy', 1, of(1, 5), [0, 1], [plain(of(0, -0, -1e-300), 3)]);
    closeTo(step.sums[0]!, [1, 1, -1, 5, 5, -5]);
  });

  test('integer weights: the largest is 127 per output, halves go to the even neighbour, all-zero stays zero', () => {
    // One-hot images, so that the sums of image i are the weights of channel i.
    const channels = 6;
    const layers = [
      layerOf({
        input: { height: 1, width: 1, channels },
        outputs: 3,
        weights: 'integer',
        place: of(1, 1, 0.5, 1, 1, 2),
      }),
    ];
    const weights = of(
      ...[-127 / 128, 2.5 / 128, 7 / 128, -2.5 / 128, 0.5 / 128, -1.5 / 256],
      ...[0, 0, 0, 0, 0, 0],
      ...[1, 1, 1, 0, -1, 63.5 / 127],
    );
    const images = new Float64Array(channels * channels);
    for (let i = 0; i < channels; i++) images[i * channels + i] = 1;
    const labels = [0, 1, 2, 0, 1, 2];
    const { sums } = oracleForward(layers, 'cross-entropy', 1, images, labels, [plain(weights, 3)]);
    const output = (o: number) => labels.map((_, n) => sums[0]![n * 3 + o]!);
    closeTo(output(0), [-127, 2, 4, -2, 0, -2]);
    closeTo(output(1), [0, 0, 0, 0, 0, 0]);
    closeTo(output(2), [127, 127, 64, 0, -127, 127]);
  });

  test('integer weights: the gradient is divided by the scale and multiplied by the place value', () => {
    // The binary example with q = +-127 and x = 2 / 127, hence the same z; the scales are |w| * 0.5 / 127.
    const layers = [layerOf({ outputs: 2, weights: 'integer', place: of(0.5) })];
    const step = oracleStep(layers, 'squared-hinge', 3, of(2 / 127, 0), [0, 1], [plain(of(0.5, -0.25), 2)]);
    closeTo(step.sums[0]!, [2, -2, 0, 0]);
    const dq = (2 / 127) * (3 / 32);
    closeTo(step.gradients[0]!.weights, [(-dq * 0.5) / (0.25 / 127), (dq * 0.5) / (0.125 / 127)]);
  });

  test('the sign passes gradients where |y| <= 1, both ends included', () => {
    // Layer 0: p = x = [-3, -1, 1, 3], sd = sqrt(5 + 4) = 3, y = 3 u = [-3, -1, 1, 3], mask [0, 1, 1, 0].
    // Layer 1: p = [a, -a], sd = sqrt(1 + 4); its gamma of sqrt(5) / 2 makes the scores round numbers.
    const layers = [layerOf({ activation: 'sign' }), layerOf({ outputs: 2, weights: 'binary' })];
    const parameters = [
      { weights: of(1), gamma: of(3), beta: of(0) },
      { weights: of(0.1, -0.1), gamma: of(Math.sqrt(5) / 2, Math.sqrt(5) / 2), beta: of(0, 0) },
    ];
    const step = oracleStep(layers, 'squared-hinge', 4, of(-3, -1, 1, 3), [1, 1, 0, 0], parameters);
    // u = +-1 / sqrt(5), scores +-0.5 on the right side, so every hinge is 0.5 and dL/ds = -t / 8.
    closeTo(step.sums[1]!, [-1, 1, -1, 1, 1, -1, 1, -1]);
    closeTo(step.scores, [-0.5, 0.5, -0.5, 0.5, 0.5, -0.5, 0.5, -0.5]);
    expect(step.loss).toBeCloseTo(0.25, 14);
    // du = -t sqrt(5) / 16, mean(du u) = -1 / 16, dp = (du + u / 16) / sqrt(5) = -t (1/16 - 1/80) = -t / 20,
    // da = 2 * -t / 20 = [1, 1, -1, -1] / 10, dy = [0, 1, -1, 0] / 10.
    closeTo(step.gradients[0]!.gamma, [(-1 / 3 - 1 / 3) / 10]);
    closeTo(step.gradients[0]!.beta, [0]);
    // du = 3 dy, mean(du u) = -1 / 20, dp = (du + u / 20) / 3, and dw = sum of x dp
    //    = (-6 / 10 + (3 + 1/3 + 1/3 + 3) / 20) / 3.
    closeTo(step.gradients[0]!.weights, [(-0.6 + 20 / 60) / 3]);
    expect(step.margin).toBeCloseTo(0, 14);
  });

  test('the sign of zero is +1', () => {
    const layers = [layerOf({ activation: 'sign' }), layerOf({ outputs: 2 })];
    const parameters = [plain(of(1), 1), plain(of(1, 2), 2)];
    const step = oracleForward(layers, 'cross-entropy', 1, of(-1, 0, 1), [0, 1, 0], parameters);
    closeTo(step.sums[1]!, [-1, -2, 1, 2, 1, 2]);
  });

  test('cross-entropy is the mean of minus the log of the softmax', () => {
    // Scores +-u with u = 1 / sqrt(1 + 3) = 0.5 for z = +-1.
    const layers = [layerOf({ outputs: 2 })];
    const step = oracleStep(layers, 'cross-entropy', 3, of(1, -1), [0, 0], [plain(of(1, -1), 2)]);
    closeTo(step.scores, [0.5, -0.5, -0.5, 0.5]);
    expect(step.loss).toBeCloseTo((Math.log(1 + Math.exp(-1)) + Math.log(1 + Math.E)) / 2, 14);
    const p = 1 / (1 + Math.exp(-1));
    closeTo(step.gradients[0]!.beta, [(p - 1 + (1 - p) - 1) / 2, (1 - p + p) / 2]);
  });

  /** Sums of a single-layer network for one image, beside a blank one that batch norm needs. */
  const sumsOf = (change: Partial<OracleLayer>, image: number[], weights: number[]) => {
    const layer = layerOf(change);
    const head = { ...layer, activation: 'hardtanh' as const };
    const images = Float64Array.from([...image, ...image.map(() => 0)]);
    // A dense layer of one class makes any map end in scores.
    const positions = positionsOf(layer);
    const tail = layerOf({ input: { ...positions, channels: layer.outputs } });
    const taps = positions.height * positions.width * layer.outputs;
    const parameters = [
      plain(Float64Array.from(weights), layer.outputs),
      plain(new Float64Array(taps).fill(1), 1),
    ];
    const { sums } = oracleForward([head, tail], 'cross-entropy', 1, images, [0, 0], parameters);
    return [...sums[0]!.subarray(0, sums[0]!.length / 2)];
  };
  const positionsOf = (layer: OracleLayer) => {
    if (layer.kind === 'dense') return { height: 1, width: 1 };
    const side = (size: number) => {
      const steps = (size + layer.padStart + layer.padEnd - layer.kernel) / layer.stride;
      return Math.floor((Math.floor(steps) + 1) / layer.pool);
    };
    return { height: side(layer.input.height), width: side(layer.input.width) };
  };
  const count = (length: number) => Array.from({ length }, (_, i) => i);

  test.each([
    {
      name: 'an even kernel pads after the last row and column',
      layer: { kind: 'conv', input: { height: 2, width: 3, channels: 1 }, kernel: 2, padEnd: 1 },
      image: [1, 2, 3, 4, 5, 6],
      weights: [1, 10, 100, 1000],
      expected: [5421, 6532, 603, 54, 65, 6],
    },
    {
      name: 'an odd kernel pads on both sides and is not flipped',
      layer: { kind: 'conv', input: { height: 1, width: 2, channels: 1 }, kernel: 3, padStart: 1, padEnd: 1 },
      image: [1, 2],
      weights: [1, 1, 1, 10, 100, 1000, 1, 1, 1],
      expected: [2100, 210],
    },
    {
      name: 'a stride of 2 without padding drops what does not fit',
      layer: { kind: 'conv', input: { height: 3, width: 5, channels: 1 }, kernel: 2, stride: 2 },
      image: count(15),
      weights: [1, 10, 100, 1000],
      expected: [6510, 8732],
    },
    {
      name: 'images are channel-major, weights channel-minor',
      layer: { kind: 'dense', input: { height: 1, width: 2, channels: 2 } },
      image: [1, 2, 3, 4],
      weights: [1, 10, 100, 1000],
      expected: [4231],
    },
    {
      name: 'dense weights go through rows before columns',
      layer: { kind: 'dense', input: { height: 2, width: 2, channels: 1 } },
      image: [1, 2, 3, 4],
      weights: [1, 10, 100, 1000],
      expected: [4321],
    },
    {
      name: 'outputs are the slowest index of the weights and a map each in the sums',
      layer: { kind: 'conv', input: { height: 1, width: 2, channels: 2 }, outputs: 2 },
      image: [1, 2, 3, 4],
      weights: [1, 10, 100, 1000],
      expected: [31, 42, 3100, 4200],
    },
    {
      name: 'pooling by 2 drops the leftover row and column',
      layer: { kind: 'conv', input: { height: 3, width: 5, channels: 1 }, pool: 2 },
      image: count(15),
      weights: [-1],
      expected: [0, -2],
    },
    {
      name: 'pooling by 3',
      layer: { kind: 'conv', input: { height: 3, width: 7, channels: 1 }, pool: 3 },
      image: count(21),
      weights: [1],
      expected: [16, 19],
    },
  ] satisfies {
    name: string;
    layer: Partial<OracleLayer>;
    image: number[];
    weights: number[];
    expected: number[];
  }[])('$name', ({ layer, image, weights, expected }) => {
    expect(sumsOf(layer, image, weights)).toEqual(expected);
  });

  test('among equal sums of a window the first in row-major order takes the gradient', () => {
    // Channel k is 1 at position k only and the sum at position 0 is smaller: position 1 wins over 2 and 3.
    const layer = layerOf({
      kind: 'conv',
      input: { height: 2, width: 2, channels: 4 },
      pool: 2,
    });
    const images = new Float64Array(32);
    for (let k = 0; k < 4; k++) images[5 * k] = 1;
    const { sums, gradients } = oracleStep(
      [layer],
      'squared-hinge',
      1,
      images,
      [0, 0],
      [plain(of(0, 1, 1, 1), 1)],
    );
    closeTo(sums[0]!, [1, 0]);
    expect([...gradients[0]!.weights].map((g) => g !== 0)).toEqual([false, true, false, false]);
  });

  test('sizes that do not fit are refused', () => {
    expect(() =>
      oracleForward([layerOf({})], 'cross-entropy', 1, of(1, 2, 3), [0, 0], [plain(of(1), 1)]),
    ).toThrow('layer 0, input: expected 2 values, got 3');
  });
});

describe('Adam', () => {
  const arrays = () => ({ parameter: of(0.25, -0.9995), m: of(0, 0), v: of(0, 0) });

  test('the first step is the rate against the sign, less what epsilon takes', () => {
    const { parameter, m, v } = arrays();
    oracleAdam(parameter, of(0.5, 0.5), m, v, 1, 0.001, false);
    // sqrt(0.001) / 0.1 * 0.05 / (sqrt(0.00025) + 1e-8) = 1 / (1 + 1e-8 / sqrt(0.00025))
    const move = 0.001 / (1 + 1e-8 / Math.sqrt(0.00025));
    closeTo(parameter, [0.25 - move, -0.9995 - move], 1e-15);
    closeTo(m, [0.05, 0.05], 1e-16);
    closeTo(v, [0.00025, 0.00025], 1e-16);
  });

  test('the second step remembers the first', () => {
    const { parameter, m, v } = arrays();
    oracleAdam(parameter, of(0.5, 0), m, v, 1, 0.001, false);
    const before = parameter[0]!;
    oracleAdam(parameter, of(-0.25, 0), m, v, 2, 0.002, false);
    // m = 0.045 - 0.025, v = 0.00024975 + 0.0000625; corrections 1 - 0.81 and 1 - 0.998001.
    closeTo(m, [0.02, 0], 1e-16);
    closeTo(v, [0.00031225, 0], 1e-16);
    const move = (0.002 * Math.sqrt(0.001999) * 0.02) / 0.19 / (Math.sqrt(0.00031225) + 1e-8);
    closeTo(parameter, [before - move, -0.9995], 1e-15);
  });

  test('clipping keeps the parameter in [-1, 1]', () => {
    const { parameter, m, v } = arrays();
    oracleAdam(parameter, of(-1, 1), m, v, 1, 0.8, true);
    closeTo(parameter, [1, -1], 0);
  });
});
