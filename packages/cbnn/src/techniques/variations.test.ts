/** What each variation computes, by plain loops and by hand; and that all of them end in a packed model that answers as trained. */
import { type InputSpec, parseArchitecture, parseSlices } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { predictPacked } from '../engines/evaluate.js';
import { Graph, type Value } from '../graph/graph.js';
import { names } from '../graph/names.js';
import { trainingGraph } from '../graph/network.js';
import { BATCH_NORM_EPSILON, normalizeAndSign } from '../graph/operations/batch-norm.js';
import { approximateSign, errorDecay, straightThrough } from '../graph/operations/estimators.js';
import { clampOutliers, standardize } from '../graph/operations/latent-weights.js';
import { powerOfTwo, powersOfTwo } from '../graph/operations/powers-of-two.js';
import { bop, type Optimizer, shiftAdaMax } from '../graph/optimizer.js';
import { openDevice } from '../graph/session.js';
import { type Plan, type VariationName, variationNames } from '../nn/plan.js';
import { packModel } from '../pack/pack.js';
import { Random } from '../random.js';
import { answeringState } from '../store/network-file.js';
import { centralDifference } from '../testing/finite-difference.js';
import { type OracleLayer, oracleStep } from '../testing/oracle.js';
import { toyBatch, toyLayers, toyNetworks, toyParameters } from '../testing/toy-networks.js';
import { expectStep, openToy, TOY_BATCH, worst } from '../testing/toy-step.js';
import { createOnnxTrainer } from '../train/onnx-trainer.js';
import { techniqueOf } from './index.js';
import { bnnWith, variations } from './variations.js';

type Tensors = Record<string, { shape: readonly number[]; data: Float32Array }>;
const tensor = (data: Iterable<number>, shape: readonly number[]) => ({
  shape,
  data: Float32Array.from(data),
});
const draw = (seed: number, count: number): Float32Array => {
  const random = new Random(seed);
  return Float32Array.from({ length: count }, () => Math.fround(2 * random.uniform() - 1));
};
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const close = (actual: ArrayLike<number>, expected: ArrayLike<number>, digits = 4) => {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(actual[i], `value ${i}`).toBeCloseTo(expected[i]!, digits);
};

/** The outputs that `build` names, of a graph fed with `feeds`. */
async function evaluate(build: (g: Graph) => Record<string, Value>, feeds: Tensors): Promise<Tensors> {
  const g = new Graph();
  const values = Object.entries(build(g));
  for (const [name, value] of values) g.output(name, value);
  const out = Object.fromEntries(
    values.map(([name, { shape }]) => [
      name,
      tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape),
    ]),
  );
  const session = await (await openDevice('cpu', 1)).open(g.encode());
  const wanted = new Set(g.inputs.map(({ name }) => name));
  await session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => wanted.has(name))), out);
  await session.close();
  return out;
}

/** y of `f(x)` and the gradient of sum(y * d) with respect to x. */
async function withGradient(
  f: (g: Graph, x: Value) => Value,
  x: Float32Array,
  d: Float32Array,
  feeds: Tensors = {},
) {
  const shape = [3, x.length / 3];
  const { y, dx } = await evaluate(
    (g) => {
      const input = g.input('x', shape);
      const output = f(g, input);
      const factor = g.constant(d, shape);
      const product = g.mul(output, factor);
      g.differentiable([output], product, (gradient) => [g.mul(gradient, factor)]);
      const loss = g.sum(product, [0, 1]);
      const ones = g.constant(new Float32Array(x.length).fill(1), shape);
      g.differentiable([product], loss, (gradient) => [g.mul(ones, gradient)]);
      return { y: output, dx: g.gradients(loss, [input])[0]! };
    },
    { x: tensor(x, shape), ...feeds },
  );
  return { y: y!.data, dx: dx!.data };
}

/** Rows of three outputs, as plain loops see them. */
const rows = <T>(x: ArrayLike<number>, of: (row: number[]) => T[]): T[] => {
  const size = x.length / 3;
  return [0, 1, 2].flatMap((o) => of(Array.from({ length: size }, (_, i) => x[o * size + i]!)));
};
const standardized = (row: number[]): number[] => {
  const mean = sum(row) / row.length;
  const deviation = Math.sqrt(sum(row.map((w) => (w - mean) ** 2)) / row.length);
  return row.map((w) => (w - mean) / deviation);
};
const at = (progress: number): Tensors => ({ [names.progress]: tensor([progress], []) });

describe('latent weights', () => {
  it('are standardized, with the gradient of central differences', async () => {
    const w = draw(1, 60).map((value, i) => value + (i < 20 ? 3 : 0));
    const d = draw(2, 60);
    const { y, dx } = await withGradient(standardize, w, d);
    close(y, rows(w, standardized));
    const values = Float64Array.from(w);
    const loss = () => sum(rows(values, standardized).map((value, i) => value * d[i]!));
    for (const i of [0, 19, 20, 37, 59])
      expect(dx[i]).toBeCloseTo(centralDifference(loss, values, i, 1e-5), 4);
  });

  it('stay finite where all of an output are equal', async () => {
    const { y, dx } = await withGradient(standardize, new Float32Array(6).fill(0.5), draw(3, 6));
    expect([...y]).toEqual([0, 0, 0, 0, 0, 0]);
    expect([...dx].every(Number.isFinite)).toBe(true);
  });

  it('are drawn back to a quantile that moves outwards', async () => {
    const w = draw(4, 90).map((value) => value * Math.abs(value) ** 3 * 4);
    const d = draw(5, 90);
    for (const [progress, tau] of [
      [0, 0.85],
      [0.5, Math.sqrt(0.85 * 0.99)],
      [1, 0.99],
    ] as const) {
      const limits = rows(w, (row) => {
        const limit = (-sum(row.map(Math.abs)) / row.length) * Math.log(2 - 2 * tau);
        return row.map(() => limit);
      });
      const { y, dx } = await withGradient(clampOutliers, w, d, at(progress));
      close(
        y,
        [...w].map((value, i) => Math.max(-limits[i]!, Math.min(limits[i]!, value))),
      );
      close(
        dx,
        [...d].map((value, i) => (Math.abs(w[i]!) <= limits[i]! ? value : 0)),
      );
    }
  });
});

describe('estimators', () => {
  const y = Float32Array.of(-1.5, -1, -0.75, -0.25, 0, 0.25, 0.5, 1, 2);
  const slopes = async (estimator: typeof straightThrough, progress = 0) => {
    const { slope } = await evaluate((g) => ({ slope: estimator(g, g.input('y', [9])) }), {
      y: tensor(y, [9]),
      ...at(progress),
    });
    return slope!.data;
  };

  it('are 1 inside, or a tent, or a bell that grows', async () => {
    expect([...(await slopes(straightThrough))]).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 0]);
    expect([...(await slopes(approximateSign))]).toEqual([0, 0, 0.5, 1.5, 2, 1.5, 1, 0, 0]);
    for (const [progress, t] of [
      [0, 0.1],
      [0.5, 1],
      [1, 10],
    ] as const)
      close(
        await slopes(errorDecay, progress),
        [...y].map((value) => Math.max(1 / t, 1) * t * (1 - Math.tanh(t * value) ** 2)),
      );
  });
});

describe('powers of two', () => {
  it('are the nearest by logarithm, with sign', async () => {
    const x = [0, 1, -1, 3, 2.8, -0.3, 1e-6, 1000];
    const expected = [0, 1, -1, 4, 2, -0.25, 2 ** -20, 1024];
    expect(x.map(powerOfTwo)).toEqual(expected);
    const { y } = await evaluate((g) => ({ y: powersOfTwo(g, g.input('x', [8])) }), { x: tensor(x, [8]) });
    expect([...y!.data].map(Math.abs)).toEqual(expected.map(Math.abs));
    expect([...y!.data].map(Math.sign).map((s) => s + 0)).toEqual(expected.map(Math.sign));
  });

  it('are the factors of shift-based batch norm', async () => {
    const p = draw(6, 40).map((value) => 9 * value);
    const gamma = Float32Array.of(0.7, -1.6);
    const beta = Float32Array.of(0.1, -0.4);
    const { output, variance } = await evaluate(
      (g) => {
        const sums = g.input('p', [20, 2]);
        const normalized = normalizeAndSign(g, sums, g.input('gamma', [2]), g.input('beta', [2]), {
          mode: 'batch',
          shifts: true,
        });
        return { output: normalized.output, variance: normalized.variance! };
      },
      { p: tensor(p, [20, 2]), gamma: tensor(gamma, [2]), beta: tensor(beta, [2]) },
    );
    for (const c of [0, 1]) {
      const own = [...p].filter((_, i) => i % 2 === c);
      const mean = sum(own) / 20;
      const spread = sum(own.map((value) => (value - mean) * powerOfTwo(value - mean))) / 20;
      expect(variance!.data[c]).toBeCloseTo(spread, 3);
      const scale = powerOfTwo(gamma[c]!) * powerOfTwo(1 / Math.sqrt(spread + BATCH_NORM_EPSILON));
      const bits = own.map((value) => ((value - mean) * scale + beta[c]! >= 0 ? 1 : -1));
      expect([...output!.data].filter((_, i) => i % 2 === c)).toEqual(bits);
    }
  });

  it('draws activations at random by hand-worked chances', async () => {
    const p = Float32Array.of(-3, -1, 0, 1, 3, 0);
    const feeds = { p: tensor(p, [6, 1]), one: tensor([1], [1]), zero: tensor([0], [1]) };
    const drawn = async (noise: number) => {
      const { output } = await evaluate(
        (g) => {
          const [one, zero] = [g.input('one', [1]), g.input('zero', [1])];
          const given = { mode: 'given', mean: zero, scale: g.constant(Float32Array.of(0.5), [1]) } as const;
          const sums = g.input('p', [6, 1]);
          return { output: normalizeAndSign(g, sums, one, zero, given, { atRandom: true }).output };
        },
        { ...feeds, 'noise.0': tensor(new Float32Array(6).fill(noise), [6, 1]) },
      );
      return [...output!.data];
    };
    // y = -1.5, -0.5, 0, 0.5, 1.5, 0: +1 with probability 0, 0.25, 0.5, 0.75, 1, 0.5.
    expect(await drawn(0.2)).toEqual([-1, 1, 1, 1, 1, 1]);
    expect(await drawn(0.5)).toEqual([-1, -1, -1, 1, 1, -1]);
    expect(await drawn(0.9)).toEqual([-1, -1, -1, -1, 1, -1]);
  });
});

describe('a whole step is that of the float64 oracle', () => {
  const PROGRESS = 0.6;
  const sharpness = 0.1 * 100 ** PROGRESS;
  const always = (change: Partial<OracleLayer>) => () => change;
  const cases: readonly [VariationName[], (layer: OracleLayer) => Partial<OracleLayer>][] = [
    [['ede'], always({ estimator: { sharpness }, weightEstimator: { sharpness } })],
    [['approx-sign'], always({ estimator: 'approx-sign' })],
    [['stochastic-activations'], always({})],
    [['shift-batch-norm'], always({ shifts: true })],
    [
      ['stochastic-activations', 'approx-sign', 'shift-batch-norm'],
      always({ estimator: 'approx-sign', shifts: true }),
    ],
    // Sums are alpha times whole numbers, which tie.
    [['channel-scales'], ({ weights }) => (weights === 'binary' ? { weights: 'scaled' } : {})],
  ];
  // Integer and binary first layers, with pooling, strides and dense layers behind them.
  const toys = toyNetworks.filter(
    ({ first, architecture }) => first !== 'real' && architecture.includes('-'),
  );
  it.each(
    cases.flatMap(([chosen, change]) =>
      toys.map((toy) => [chosen.join(), toy.name, chosen, change, toy] as const),
    ),
  )('with %s, of %s', async (_, __, chosen, change, toy) => {
    const { graph, place, step, close } = await openToy('cpu', toy, { variations: chosen });
    // Where a value lies next to a kink, float32 may fall on the other side.
    for (let seed = 1; ; seed++) {
      expect(seed, 'networks that decide too narrowly').toBeLessThan(50);
      const random = new Random(seed, 7);
      const noises = graph.noises.map(({ shape }) =>
        Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.fround(random.uniform())),
      );
      const layers = toyLayers(toy).map(
        (layer, k, { length }): OracleLayer => ({
          ...layer,
          ...change(layer),
          place: k === 0 && place ? Float64Array.from(place) : null,
          ...(k < length - 1 && noises[k] && { noise: noises[k] }),
        }),
      );
      const parameters = toyParameters(layers, seed);
      const { images, labels } = toyBatch(toy, TOY_BATCH, seed);
      const expected = oracleStep(layers, toy.loss, BATCH_NORM_EPSILON, images, labels, parameters);
      if (expected.margin < 1e-5) continue;
      const outputs = await step(images, labels, parameters, { progress: PROGRESS, noises });
      await close();
      expectStep(outputs, expected);
      for (const [k, { variance }] of expected.statistics.entries())
        expect(worst(outputs[names.variance(k)]!.data, variance), `variance of layer ${k}`).toBeLessThan(
          1e-5,
        );
      return;
    }
  });
});

describe('optimizers', () => {
  const parameter = {
    name: 'w',
    kernelLayer: 1,
    role: 'weights',
    shape: [4],
    group: 'binary',
    rateScale: 3,
  } as const;
  async function steps(optimizer: Optimizer, w: number[], gradients: number[][], rate: number) {
    let state = { w: tensor(w, [4]), m: tensor([0, 0, 0, 0], [4]), v: tensor([0, 0, 0, 0], [4]) };
    for (const [i, gradient] of gradients.entries()) {
      const g = new Graph();
      const value = g.input('w', [4]);
      optimizer.update(g, parameter, value, g.input('gradient', [4]), g.input('rate', []));
      const session = await (await openDevice('cpu', 1)).open(g.encode());
      const next = {
        w: tensor([0, 0, 0, 0], [4]),
        m: tensor([0, 0, 0, 0], [4]),
        v: tensor([0, 0, 0, 0], [4]),
      };
      await session.run(
        {
          w: state.w,
          'adam.m.w': state.m,
          'adam.v.w': state.v,
          gradient: tensor(gradient, [4]),
          rate: tensor([optimizer.stepRate(rate, i + 1)], []),
        },
        { 'next.w': next.w, 'next.adam.m.w': next.m, 'next.adam.v.w': next.v },
      );
      await session.close();
      state = next;
    }
    return state;
  }

  it('step by shifts', async () => {
    const { w } = await steps(
      shiftAdaMax,
      [0.5, -0.25, 0.95, 0],
      [
        [0.3, -0.1, -5, 0],
        [0.1, 0.4, -1, 0],
      ],
      0.01,
    );
    // Step 1: rate AP2(0.1) = 1/8, times AP2(3) = 4; m = 0.1 g; v = |g|, whose powers are 1/4, 1/8, 4 and 0.
    const first = [0.5 - (0.5 * 0.03) / 0.25, -0.25 + (0.5 * 0.01) / 0.125, 1, 0];
    // Step 2: rate AP2(0.01 / 0.19) = 1/16, times 4; v = max(0.999 v, |g|) has powers 1/4, 1/2, 4 and 0.
    const m = [0.9 * 0.03 + 0.01, -0.9 * 0.01 + 0.04, -0.9 * 0.5 - 0.1, 0];
    const second = [first[0]! - (0.25 * m[0]!) / 0.25, first[1]! - (0.25 * m[1]!) / 0.5, 1, 0];
    close(w.data, second, 5);
  });

  it('flip signs that the averaged gradient agrees with', async () => {
    const w = [0.5, -0.5, 0.25, -1];
    const once = await steps(bop, w, [[1, 1, -1, 1e-12]], 0.1);
    expect([...once.w.data]).toEqual([-0.5, -0.5, 0.25, -1]);
    close(once.m.data, [0.1, 0.1, -0.1, 1e-13]);
    // m = 0.9 * 0.1 - 0.2 < 0 agrees with the second; the third is still being pushed up.
    const twice = await steps(
      bop,
      w,
      [
        [1, 1, -1, 0],
        [1, -2, -1, 0],
      ],
      0.1,
    );
    expect([...twice.w.data]).toEqual([-0.5, 0.5, 0.25, -1]);
  });
});

describe('variations', () => {
  it('exclude each other where they set the same', () => {
    expect(() => bnnWith(['recu', 'centred-weights'])).toThrow('recu and centred-weights exclude each other');
    expect(() => bnnWith(['approx-sign', 'ede'])).toThrow('approx-sign and ede exclude each other');
    expect(bnnWith(['recu', 'approx-sign', 'shift-adamax']).packsQuantized).toBe(true);
  });

  const input: InputSpec = {
    height: 7,
    width: 6,
    channels: 2,
    encoding: 'bit-slices',
    slices: parseSlices('top3', 2),
    shifts: [0, 0, 0, 0, 0, 0],
    stretch: null,
  };
  const plan: Plan = {
    input,
    layers: parseArchitecture('7C3-MP2-9C3-11FC-4FC'),
    technique: 'bnn',
    slicing: 'equal',
    firstLayer: 'binary',
    loss: 'cross-entropy',
  };
  const random = new Random(9);
  const batch = {
    count: 40,
    pixels: Uint8Array.from({ length: 40 * 84 }, () => random.below(256)),
    labels: Uint16Array.from({ length: 40 }, (_, n) => n % 4),
  };

  it.each<VariationName[]>([...variationNames.map((name) => [name]), ['recu', 'ede', 'shift-batch-norm']])(
    'learn with %s, and answer as their packed model',
    async (...chosen) => {
      const device = await openDevice('cpu', 1);
      const own: Plan = { ...plan, variations: chosen };
      const trainer = await createOnnxTrainer(own, device, { batch: 40, seed: 3 });
      const rate = bnnWith(chosen).latentRate ?? 1e-2;
      const losses: number[] = [];
      for (let step = 1; step <= 12; step++) {
        const rates = { binary: rate, float: 1e-2, progress: (step - 1) / 12 };
        losses.push((await trainer.step(batch, rates, step)).loss);
      }
      expect(losses.every(Number.isFinite)).toBe(true);
      expect(Math.min(...losses.slice(-3))).toBeLessThan(losses[0]!);
      await trainer.calibrate([batch]);
      const expected = await trainer.classify(batch);
      const state = await answeringState(own, trainer.state());
      await trainer.close();
      const provenance = { technique: 'bnn', recipe: '', dataset: '', epochs: 1, seed: 3 };
      const model = packModel(own, state, ['a', 'b', 'c', 'd'], provenance);
      expect(await predictPacked(model, { ...batch, height: 7, width: 6, channels: 2 }, 1)).toEqual(expected);
      expect(new Set(expected).size).toBeGreaterThan(1);
    },
  );

  it('pool scaled sums as they are', async () => {
    const own: Plan = {
      ...plan,
      layers: parseArchitecture('7C3-5C3-MP2-4FC'),
      variations: ['channel-scales'],
    };
    const graph = trainingGraph(own, techniqueOf(own), 2, { expose: true });
    const feeds: Tensors = {
      [names.images]: tensor(
        draw(21, 2 * 6 * 42).map((x) => (x < 0 ? -1 : 1)),
        [2, 6, 7, 6],
      ),
      [names.targets]: tensor([1, -1, -1, -1, -1, 1, -1, -1], [2, 4]),
      [names.rate.binary]: tensor([0], []),
      [names.rate.float]: tensor([0], []),
    };
    for (const [i, { name, shape, role }] of graph.parameters.entries()) {
      const count = shape.reduce((a, b) => a * b, 1);
      feeds[name] = tensor(role === 'weights' ? draw(30 + i, count) : new Float32Array(count).fill(1), shape);
      feeds[names.firstMoment(name)] = tensor(new Float32Array(count), shape);
      feeds[names.secondMoment(name)] = tensor(new Float32Array(count), shape);
    }
    const sums = { [names.sums(1)]: tensor(new Float32Array(2 * 5 * 3 * 3), [2, 5, 3, 3]) };
    const session = await (await openDevice('cpu', 1)).open(graph.bytes);
    await session.run(feeds, sums);
    await session.close();
    const weights = feeds['layers.1.weights']!.data;
    const found = sums[names.sums(1)]!.data;
    for (let c = 0; c < 5; c++) {
      const own = weights.subarray(c * 63, (c + 1) * 63);
      const alpha = sum(own.map(Math.abs)) / 63;
      // Every one is alpha times a whole number, and most of those are no whole numbers.
      const units = [...found].filter((_, i) => Math.floor(i / 9) % 5 === c).map((value) => value / alpha);
      for (const unit of units) expect(Math.abs(unit - Math.round(unit))).toBeLessThan(1e-3);
      expect(units.some((unit) => Math.abs(unit * alpha - Math.round(unit * alpha)) > 0.01)).toBe(true);
    }
  });

  it('are all named and have a source', () => {
    for (const name of variationNames) expect(variations[name].source.length).toBeGreaterThan(3);
  });
});
