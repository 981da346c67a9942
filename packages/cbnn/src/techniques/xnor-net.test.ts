/** XNOR-Net's layers against plain loops: alpha, K, the real ends; and the gradient through K. */
import { type KernelShape, kernelShapes, parseArchitecture } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { Graph } from '../graph/graph.js';
import { names } from '../graph/names.js';
import { evaluationGraph } from '../graph/network.js';
import { scaleSums } from '../graph/operations/input-scales.js';
import { openDevice } from '../graph/session.js';
import type { Plan, TechniqueName } from '../nn/plan.js';
import { Random } from '../random.js';
import { techniques } from './index.js';

const BATCH = 3;

const planOf = (technique: TechniqueName, architecture: string): Plan => ({
  input: {
    height: 9,
    width: 7,
    channels: 2,
    encoding: '8-bit',
    slices: [],
    shifts: [],
    stretch: null,
  },
  layers: parseArchitecture(architecture),
  technique,
  slicing: 'equal',
  firstLayer: techniques[technique].firstLayers[0],
  loss: 'cross-entropy',
});

/** Sums after pooling of every layer, as the graph has them, and everything it was given. */
async function evaluate(plan: Plan) {
  const technique = techniques[plan.technique];
  const graph = evaluationGraph(plan, technique, BATCH, { expose: true });
  const random = new Random(5);
  const tensor = (shape: readonly number[], value: () => number) => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.fround(value())),
  });
  const uniform = () => random.uniform() * 2 - 1;
  const feeds: Record<string, ReturnType<typeof tensor>> = {
    [names.images]: tensor([BATCH, 2, 9, 7], () => 255 * uniform()),
  };
  for (const { name, shape } of graph.parameters) feeds[name] = tensor(shape, uniform);
  const outputs: Record<string, ReturnType<typeof tensor>> = {
    [names.scores]: tensor([BATCH, graph.shapes.at(-1)!.output.channels], () => 0),
  };
  for (const { index, kind, output, pooled } of graph.shapes) {
    feeds[names.mean(index)] = tensor([output.channels], uniform);
    feeds[names.scale(index)] = tensor([output.channels], uniform);
    const shape =
      kind === 'conv' ? [BATCH, output.channels, pooled.height, pooled.width] : [BATCH, output.channels];
    outputs[names.sums(index)] = tensor(shape, () => 0);
    outputs[names.activations(index)] = tensor(shape, () => 0);
  }
  const session = await (await openDevice('cpu', 1)).open(graph.bytes);
  await session.run(feeds, outputs);
  await session.close();
  return { graph, feeds, outputs };
}

/** `sum over taps and channels of x * w`, times K where there is one, then the largest of each window; x `[y][x][channel]`. */
function layerSums(
  shape: KernelShape,
  x: Float64Array,
  weights: (o: number, tap: number, c: number) => number,
  magnitude: Float64Array | null,
): Float64Array {
  const { input, output, stride, padStart, pool, pooled } = shape;
  const isDense = shape.kind === 'dense';
  const [high, wide] = isDense ? [input.height, input.width] : [shape.kernel, shape.kernel];
  const z = new Float64Array(output.height * output.width * output.channels);
  for (let y = 0; y < output.height; y++)
    for (let left = 0; left < output.width; left++) {
      let k = 0;
      for (let ky = 0; ky < high; ky++)
        for (let kx = 0; kx < wide; kx++) {
          const iy = y * stride + ky - padStart;
          const ix = left * stride + kx - padStart;
          if (iy < 0 || ix < 0 || iy >= input.height || ix >= input.width) continue;
          const pixel = iy * input.width + ix;
          k += (magnitude?.[pixel] ?? 0) / (high * wide);
          for (let o = 0; o < output.channels; o++)
            for (let c = 0; c < input.channels; c++)
              z[(y * output.width + left) * output.channels + o]! +=
                x[pixel * input.channels + c]! * weights(o, ky * wide + kx, c);
        }
      if (magnitude)
        for (let o = 0; o < output.channels; o++) z[(y * output.width + left) * output.channels + o]! *= k;
    }
  const p = new Float64Array(pooled.height * pooled.width * output.channels).fill(-Infinity);
  for (let y = 0; y < pooled.height * pool; y++)
    for (let left = 0; left < pooled.width * pool; left++)
      for (let o = 0; o < output.channels; o++) {
        const at = (Math.floor(y / pool) * pooled.width + Math.floor(left / pool)) * output.channels + o;
        p[at] = Math.max(p[at]!, z[(y * output.width + left) * output.channels + o]!);
      }
  return p;
}

const cases: readonly [TechniqueName, string][] = [
  ['xnor-net', '4C3-5C3-MP2-6C3S2-7FC-5FC-3FC'],
  ['xnor-net', '6C2-MP2-5C3V-3FC'],
  ['xnor-net-without-k', '4C3-5C3-MP2-7FC-3FC'],
  ['xnor-net-binary', '4C3-5C3S2-MP2-7FC-3FC'],
  ['bwn', '4C3-5C3-MP2-7FC-3FC'],
];

describe.each(cases)('%s, %s', (name, architecture) => {
  it('has the sums of plain loops', async () => {
    const plan = planOf(name, architecture);
    const { graph, feeds, outputs } = await evaluate(plan);
    for (const shape of graph.shapes.slice(1)) {
      const k = shape.index;
      const isReal = k === graph.shapes.length - 1 && techniques[name].realLast;
      const isBinary = name !== 'bwn' && !isReal;
      const before = graph.shapes[k - 1]!;
      const { channels } = shape.input;
      const area = before.pooled.height * before.pooled.width;
      const w = feeds[`layers.${k}.weights`]!.data;
      const taps = shape.fanIn / channels;
      const own = (o: number) => w.subarray(o * shape.fanIn, (o + 1) * shape.fanIn);
      const alpha = Array.from(
        { length: shape.output.channels },
        (_, o) => own(o).reduce((sum, value) => sum + Math.abs(value), 0) / shape.fanIn,
      );
      const weight = (o: number, tap: number, c: number) => {
        const value = w[(o * taps + tap) * channels + c]!;
        return isReal ? value : (value >= 0 ? 1 : -1) * alpha[o]!;
      };
      for (let n = 0; n < BATCH; n++) {
        const x = new Float64Array(area * before.output.channels);
        const magnitude = new Float64Array(area);
        for (let c = 0; c < before.output.channels; c++)
          for (let i = 0; i < area; i++) {
            const sum = outputs[names.sums(k - 1)]!.data[(n * before.output.channels + c) * area + i]!;
            const y =
              (sum - feeds[names.mean(k - 1)]!.data[c]!) * feeds[names.scale(k - 1)]!.data[c]! +
              feeds[`layers.${k - 1}.beta`]!.data[c]!;
            x[i * before.output.channels + c] = isBinary ? (y >= 0 ? 1 : -1) : Math.max(0, y);
            magnitude[i]! += Math.abs(y) / before.output.channels;
          }
        const hasK = isBinary && name !== 'xnor-net-without-k';
        const expected = layerSums(shape, x, weight, hasK ? magnitude : null);
        const positions = shape.pooled.height * shape.pooled.width;
        for (const [i, sum] of expected.entries()) {
          const o = i % shape.output.channels;
          const at = (n * shape.output.channels + o) * positions + Math.floor(i / shape.output.channels);
          const found = outputs[names.sums(k)]!.data[at]!;
          expect(Math.abs(found - sum), `layer ${k}, image ${n}, sum ${i}: ${found}, ${sum}`).toBeLessThan(
            1e-4 * (1 + Math.abs(sum)),
          );
        }
      }
    }
  });
});

describe('the map of input scales', () => {
  it.each([
    ['8C3-3FC', 1],
    ['8C2S2V-3FC', 1],
    ['3FC', 0],
  ] as const)(
    'hands the gradient of %s on, to the sums and to the magnitudes',
    async (architecture, kind) => {
      const shape = kernelShapes({ height: 6, width: 5, channels: 2 }, parseArchitecture(architecture))[0]!;
      const { output } = shape;
      const size = kind ? [BATCH, output.channels, output.height, output.width] : [BATCH, output.channels];
      const map = [BATCH, 1, 6, 5];
      const count = size.reduce((a, b) => a * b, 1);
      const random = new Random(6);
      const draw = (length: number) => Float32Array.from({ length }, () => Math.fround(random.uniform()));
      const [z, d, magnitude] = [draw(count), draw(count), draw(BATCH * 30)];
      const g = new Graph();
      const sums = g.input('sums', size);
      const given = g.input('magnitude', map);
      const scaled = scaleSums(g, sums, given, shape);
      const factor = g.constant(d, size);
      const product = g.mul(scaled, factor);
      g.differentiable([scaled], product, (gradient) => [g.mul(gradient, factor)]);
      const loss = g.sum(
        product,
        size.map((_, axis) => axis),
      );
      g.differentiable([product], loss, () => [g.constant(new Float32Array(count).fill(1), size)]);
      const [ofSums, ofMagnitudes] = g.gradients(loss, [sums, given]);
      g.output('loss', loss);
      g.output('of.sums', ofSums!);
      g.output('of.magnitudes', ofMagnitudes!);
      const session = await (await openDevice('cpu', 1)).open(g.encode());
      const run = async (own: Float32Array, magnitudes: Float32Array) => {
        const out = {
          loss: { shape: [], data: new Float32Array(1) },
          'of.sums': { shape: size, data: new Float32Array(count) },
          'of.magnitudes': { shape: map, data: new Float32Array(BATCH * 30) },
        };
        await session.run(
          { sums: { shape: size, data: own }, magnitude: { shape: map, data: magnitudes } },
          out,
        );
        return out;
      };
      const at = await run(z, magnitude);
      // The loss is linear in either: a gradient is what a whole step changes.
      const change = (values: Float32Array, by: Float32Array) => values.map((value, i) => value + by[i]!);
      const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
      for (let i = 0; i < 3; i++) {
        const [dz, dm] = [draw(count), draw(BATCH * 30)];
        const bySums = (await run(change(z, dz), magnitude)).loss.data[0]! - at.loss.data[0]!;
        expect(bySums / dot(at['of.sums'].data, dz)).toBeCloseTo(1, 3);
        const byMagnitudes = (await run(z, change(magnitude, dm))).loss.data[0]! - at.loss.data[0]!;
        expect(byMagnitudes / dot(at['of.magnitudes'].data, dm)).toBeCloseTo(1, 3);
      }
      await session.close();
    },
  );
});
