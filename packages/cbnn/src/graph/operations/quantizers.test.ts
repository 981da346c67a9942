/** Weight quantizers beside the ones of the whole-network oracle: values and gradients by plain loops and by hand. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../random.js';
import { Graph, type Value } from '../graph.js';
import { openDevice } from '../session.js';
import { bestStep, toFixedPoint } from './fixed-point.js';
import { binarizeAtRandom, binarizeScaled, signThrough, ternarize, ternarizeTrained } from './quantizers.js';

const SHAPE = [3, 2, 2, 5];
const COUNT = 60;
const PER_OUTPUT = 20;

const draw = (seed: number, count = COUNT): Float32Array => {
  const random = new Random(seed);
  return Float32Array.from({ length: count }, () => Math.fround(random.uniform() * 2 - 1));
};

/** q = quantizer(w), and the gradients of sum(q * d) with respect to w and the scales. */
async function run(
  quantizer: (g: Graph, w: Value, scales: Value[]) => Value,
  w: Float32Array,
  d: Float32Array,
  scales: readonly number[] = [],
  noise?: Float32Array,
): Promise<{ q: Float32Array; dw: Float32Array; dscales: number[] }> {
  const g = new Graph();
  const weights = g.input('w', SHAPE);
  const inputs = scales.map((_, i) => g.input(`scale${i}`, [1]));
  const q = quantizer(g, weights, inputs);
  const factor = g.constant(d, SHAPE);
  const product = g.mul(q, factor);
  g.differentiable([q], product, (gradient) => [g.mul(gradient, factor)]);
  const loss = g.sum(product, [0, 1, 2, 3]);
  g.differentiable([product], loss, (gradient) => [
    g.mul(gradient, g.constant(new Float32Array(COUNT).fill(1), SHAPE)),
  ]);
  const gradients = g.gradients(loss, [weights, ...inputs]);
  g.output('q', q);
  for (const [i, gradient] of gradients.entries()) g.output(`gradient${i}`, gradient);
  const session = await (await openDevice('cpu', 1)).open(g.encode());
  const tensor = (data: Float32Array, shape: readonly number[] = SHAPE) => ({ shape, data });
  const out = {
    q: tensor(new Float32Array(COUNT)),
    gradient0: tensor(new Float32Array(COUNT)),
    ...Object.fromEntries(scales.map((_, i) => [`gradient${i + 1}`, tensor(new Float32Array(1), [1])])),
  } as Record<string, ReturnType<typeof tensor>>;
  await session.run(
    {
      w: tensor(w),
      ...Object.fromEntries(scales.map((value, i) => [`scale${i}`, tensor(Float32Array.of(value), [1])])),
      ...(noise && { 'noise.0': tensor(noise) }),
    },
    out,
  );
  await session.close();
  return {
    q: out['q']!.data,
    dw: out['gradient0']!.data,
    dscales: scales.map((_, i) => out[`gradient${i + 1}`]!.data[0]!),
  };
}

/** Values alone. */
async function answer(quantizer: (g: Graph, w: Value) => Value, w: Float32Array): Promise<Float32Array> {
  const g = new Graph();
  g.output('q', quantizer(g, g.input('w', SHAPE)));
  const session = await (await openDevice('cpu', 1)).open(g.encode());
  const q = { shape: SHAPE, data: new Float32Array(COUNT) };
  await session.run({ w: { shape: SHAPE, data: w } }, { q });
  await session.close();
  return q.data;
}

const close = (actual: ArrayLike<number>, expected: ArrayLike<number>) => {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(actual[i], `value ${i}`).toBeCloseTo(expected[i]!, 5);
};

/** `of` applied to the weights of each output. */
const eachOutput = (w: Float32Array, of: (own: Float32Array, from: number) => number[]): number[] =>
  [0, 1, 2].flatMap((o) => of(w.subarray(o * PER_OUTPUT, (o + 1) * PER_OUTPUT), o * PER_OUTPUT));
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const sign = (x: number): number => (x >= 0 ? 1 : -1);

describe('weight quantizers', () => {
  it('binarizes with one scale per output: the mean magnitude', async () => {
    const w = draw(1);
    w[3] = 0;
    const d = draw(2);
    const { q, dw } = await run((g, x) => binarizeScaled(g, x), w, d);
    const alphaOf = (own: Float32Array) => sum(own.map(Math.abs)) / PER_OUTPUT;
    close(
      q,
      eachOutput(w, (own) => [...own].map((value) => sign(value) * alphaOf(own))),
    );
    close(
      dw,
      eachOutput(w, (own, from) => {
        const mean = sum([...own].map((value, i) => sign(value) * d[from + i]!)) / PER_OUTPUT;
        return [...own].map((value, i) => sign(value) * mean + d[from + i]! * alphaOf(own));
      }),
    );
  });

  it('has the scale of a hand-worked filter', async () => {
    // |w|: 1/4, 3/4, 0 and seventeen times 1/2: alpha = 9.5 / 20.
    const w = draw(3);
    w.set([0.25, -0.75, 0, ...Array.from({ length: 17 }, (_, i) => (i % 2 ? -0.5 : 0.5))]);
    const { q } = await run((g, x) => binarizeScaled(g, x), w, draw(4));
    close(q.subarray(0, 4), [0.475, -0.475, 0.475, 0.475]);
  });

  it('binarizes at random with probability (w + 1) / 2', async () => {
    const w = draw(5);
    const d = draw(6);
    const noise = Float32Array.from({ length: COUNT }, (_, i) => Math.fround(((i * 37) % 61) / 61));
    const { q, dw } = await run(binarizeAtRandom, w, d, [], noise);
    close(
      q,
      [...w].map((value, i) => (noise[i]! < (value + 1) / 2 ? 1 : -1)),
    );
    close(dw, d);
    const sure = w.map((_, i) => (i % 2 ? 1 : -1));
    close((await run(binarizeAtRandom, sure, d, [], noise)).q, sure);
  });

  it('makes ternary weights with the threshold and the scale of an output', async () => {
    const w = draw(7);
    w.fill(0, PER_OUTPUT, 2 * PER_OUTPUT);
    const d = draw(8);
    const { q, dw } = await run(ternarize, w, d);
    close(
      q,
      eachOutput(w, (own) => {
        const threshold = (0.7 * sum(own.map(Math.abs))) / PER_OUTPUT;
        const kept = [...own].map(Math.abs).filter((size) => size > threshold);
        const alpha = kept.length > 0 ? sum(kept) / kept.length : 0;
        return [...own].map((value) => (Math.abs(value) > threshold ? Math.sign(value) * alpha : 0));
      }),
    );
    close(dw, d);
  });

  it('makes trained ternary weights, with gradients of their scales', async () => {
    const w = draw(9);
    w.set([0.03, -0.03, 0.9, -1]);
    const d = draw(10);
    const [positive, negative] = [0.7, 1.3];
    const { q, dw, dscales } = await run((g, x, [p, n]) => ternarizeTrained(g, x, p!, n!), w, d, [
      positive,
      negative,
    ]);
    const threshold = 0.05 * Math.max(...w.map(Math.abs));
    const kind = (value: number) => (value > threshold ? 1 : value < -threshold ? -1 : 0);
    expect([...q.subarray(0, 4)].map((value) => Math.round(10 * value) / 10 + 0)).toEqual([0, 0, 0.7, -1.3]);
    close(
      q,
      [...w].map((value) => [-negative, 0, positive][kind(value) + 1]!),
    );
    close(
      dw,
      [...w].map((value, i) => d[i]! * [negative, 1, positive][kind(value) + 1]!),
    );
    close(dscales, [
      sum([...w].map((value, i) => (kind(value) > 0 ? d[i]! : 0))),
      -sum([...w].map((value, i) => (kind(value) < 0 ? d[i]! : 0))),
    ]);
  });

  it('leaves a chosen share of ternary weights 0', async () => {
    const w = draw(11);
    for (const [sparsity, zeros] of [
      [0.5, 30],
      [0.9, 54],
      [0.999, 59],
      [0.001, 1],
    ] as const) {
      const { q } = await run(
        (g, x, [p, n]) => ternarizeTrained(g, x, p!, n!, sparsity),
        w,
        draw(12),
        [2, 3],
      );
      const smallest = [...w].map(Math.abs).toSorted((a, b) => a - b)[zeros]!;
      close(
        q,
        [...w].map((value) => (Math.abs(value) < smallest ? 0 : value > 0 ? 2 : -3)),
      );
    }
  });

  it('rounds to fixed point of the step that loses least', async () => {
    // Q(2, 2) of four bits: -2 to 1.75 in quarters; halves to even.
    const w = draw(13);
    w.set([0.125, 0.375, -0.125, 5, -5, 1.75, 0.13]);
    const rounded = await answer((g, x) => toFixedPoint(g, x, g.scalar(0.25), 4), w);
    close(
      [...rounded.subarray(0, 7)].map((value) => value + 0),
      [0, 0.5, 0, 1.75, -2, 1.75, 0.25],
    );
    // One large value among many is better cut than the others lost.
    const many = Float32Array.from({ length: 1000 }, (_, i) => (i % 7) / 10 - 0.3);
    many[0] = 4;
    expect(bestStep(many, 3)).toBeLessThanOrEqual(2 ** -2);
    expect(bestStep(new Float32Array(4), 8)).toBe(1);
    const loss = (values: Float32Array, step: number, bits: number) =>
      values.reduce((sum, value) => {
        const code = Math.max(-(2 ** (bits - 1)), Math.min(2 ** (bits - 1) - 1, Math.round(value / step)));
        return sum + (code * step - value) ** 2;
      }, 0);
    for (const bits of [2, 4, 6, 10]) {
      const values = draw(bits, 500);
      const best = loss(values, bestStep(values, bits), bits);
      for (let exponent = -16; exponent < 3; exponent++)
        expect(best).toBeLessThanOrEqual(loss(values, 2 ** exponent, bits) + 1e-9);
    }
  });

  it('passes the gradient of a sign where |y| <= 1', async () => {
    const y = draw(11).map((value) => 2 * value);
    y.set([1, -1, 0, -0, 1.0001]);
    const d = draw(12);
    const { q, dw } = await run(signThrough, y, d);
    close(
      q,
      [...y].map((value) => sign(value)),
    );
    close(
      dw,
      [...y].map((value, i) => (Math.abs(value) <= 1 ? d[i]! : 0)),
    );
  });
});
