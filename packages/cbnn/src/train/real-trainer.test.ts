/** The native trainer in bfloat16 against the ONNX graph: nearly the same sums and gradients, the same state. */
import { allSlices, parseArchitecture } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { nativePackage } from '../engines/packed-native.js';
import { BATCH_NORM_EPSILON } from '../graph/operations/batch-norm.js';
import { openDevice } from '../graph/session.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { type Plan, placeFactors, planShapes, type TechniqueName, variationNames } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { Random } from '../random.js';
import { techniques } from '../techniques/index.js';
import { type OracleLayer, oracleStep } from '../testing/oracle.js';
import { nativeTrainingRefusal } from './native-trainer.js';
import { createOnnxTrainer } from './onnx-trainer.js';
import { createRealTrainer, layOutRealStep } from './real-trainer.js';
import type { ImageBatch } from './trainer.js';

const BATCH = 24;
const POOLED = '16C3-24C3-MP2-33C3-20FC-5FC';
const STRIDED = '16C3-24C3S2-33C3-20FC-5FC';
const here = (await nativePackage()) !== null;
const trained = Object.values(techniques)
  .filter(({ nativeStep }) => nativeStep === 'bfloat16')
  .map(({ name }) => name);

function planFor(technique: TechniqueName, change: Partial<Plan> & { sliced?: boolean } = {}): Plan {
  const { sliced = false, ...rest } = change;
  const slices = sliced ? allSlices(3) : [];
  return {
    input: {
      ...{ height: 12, width: 10, channels: 3, encoding: sliced ? 'bit-slices' : '8-bit', stretch: null },
      slices,
      shifts: slices.map(() => 0),
    },
    layers: parseArchitecture(POOLED),
    technique,
    slicing: sliced ? 'place-value' : 'equal',
    firstLayer: techniques[technique].firstLayers[0],
    loss: 'cross-entropy',
    ...rest,
  };
}

/** Random images with something to learn, so that gradients are more than noise. */
function batchFor(plan: Plan, seed: number, count = BATCH): ImageBatch {
  const random = new Random(seed, 9);
  const { height, width, channels } = plan.input;
  const classes = planShapes(plan).at(-1)!.output.channels;
  const labels = Uint16Array.from({ length: count }, () => random.below(classes));
  const size = height * width * channels;
  const pixels = new Uint8Array(count * size).map(() => random.below(256));
  for (let n = 0; n < count; n++)
    for (let i = 0; i < size; i++)
      if (i % classes === labels[n]) pixels[n * size + i] = 200 + random.below(56);
  return { count, pixels, labels };
}

const rates = { binary: 1e-3, float: 1e-3, progress: 0.5 };
const options = { batch: BATCH, seed: 3, threads: 2 };

/** |found - expected| / |expected| */
function relativeError(found: Float32Array, expected: ArrayLike<number>): number {
  let [apart, size] = [0, 0];
  for (const [i, value] of Array.from(expected).entries()) {
    apart += (found[i]! - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(apart / size);
}

/**
 * The state with weights whose quantized form bfloat16 holds: signs behind sums that are rounded otherwise would fall otherwise, some of
 * them, and those behind them many.
 */
function bfloat16Weights(plan: Plan, state: TrainingState): TrainingState {
  const rounded = new Map(copy(state));
  const place = placeFactors(plan);
  const scaled = techniques[plan.technique].binarySums;
  for (const { index } of planShapes(plan)) {
    const { data } = rounded.get(`layers.${index}.weights`)!;
    const factors = index === 0 && place ? place : [1];
    for (const [i, w] of data.entries()) {
      const factor = factors[i % factors.length]!;
      const bits = Uint32Array.of(new Uint32Array(Float32Array.of(w * factor).buffer)[0]! & 0xffff0000);
      data[i] = scaled && index > 0 ? Math.sign(w) / 2 : new Float32Array(bits.buffer)[0]! / factor;
    }
  }
  return rounded;
}

const copy = (state: TrainingState): TrainingState =>
  new Map([...state].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));

const cases: [string, Plan][] = [
  ...trained.map((name): [string, Plan] => [name, planFor(name)]),
  ['float on slices', planFor('float', { sliced: true, loss: 'squared-hinge' })],
  [
    'binaryconnect with strides',
    planFor('binaryconnect', { layers: parseArchitecture('9C5S2V-20C1-17C3S2-5FC'), loss: 'squared-hinge' }),
  ],
  ['xnor-net with strides', planFor('xnor-net', { layers: parseArchitecture(STRIDED) })],
  ['bnn with recu', planFor('bnn', { variations: ['recu'] })],
  ['bnn with stochastic-activations', planFor('bnn', { variations: ['stochastic-activations'] })],
  ['bnn with shift-adamax', planFor('bnn', { variations: ['shift-adamax'] })],
  ['bnn with bop', planFor('bnn', { variations: ['bop'] })],
  ['bnn with approx-sign', planFor('bnn', { variations: ['approx-sign'] })],
  [
    'bnn with centred-weights and approx-sign',
    planFor('bnn', { variations: ['centred-weights', 'approx-sign'] }),
  ],
  ['bnn with ede', planFor('bnn', { variations: ['ede'] })],
  ['bnn with shift-batch-norm', planFor('bnn', { variations: ['shift-batch-norm'] })],
  [
    'bnn with stochastic-activations, ede and shift-batch-norm',
    planFor('bnn', { variations: ['stochastic-activations', 'ede', 'shift-batch-norm'] }),
  ],
  ['bnn with channel-scales', planFor('bnn', { variations: ['channel-scales'] })],
  ['binary activations', planFor('binary-activations')],
  ['bwn, all binary', planFor('bwn', { firstLayer: 'binary', layers: parseArchitecture('30FC-20FC-5FC') })],
];

describe.runIf(here).each(cases)('the native trainer of %s', (_, plan) => {
  it('has nearly the loss, statistics and gradients of the ONNX graph, and the same state', async () => {
    const real = await createRealTrainer(plan, options);
    const onnx = await createOnnxTrainer(plan, await openDevice('cpu', 1), options);
    const given = batchFor(plan, 2);
    const start = bfloat16Weights(plan, onnx.state());
    const hasBinarySums = techniques[plan.technique].binarySums;
    for (const trainer of [real, onnx]) trainer.restore(start);
    const [found, expected] = [await real.step(given, rates, 1), await onnx.step(given, rates, 1)];
    expect(Math.abs(found.loss - expected.loss)).toBeLessThan(0.01 * expected.loss);
    const compareStatistics = () => {
      const reference = onnx.state();
      for (const [name, { data }] of real.state())
        if (/\.(mean|inverse)$/.test(name))
          expect(relativeError(data, reference.get(name)!.data), name).toBeLessThan(0.01);
    };
    compareStatistics();
    const reference = onnx.state();
    expect([...real.state().keys()].toSorted()).toEqual([...reference.keys()].toSorted());
    for (const [name, { shape, data }] of real.state()) {
      const other = reference.get(name)!;
      expect(shape, name).toEqual(other.shape);
      // After one step the first moment is the gradient. Few values here: one next to a kink of its activation shows.
      // A scale's is a sum in which much cancels. Sums of bits are the same in both, and so are the signs behind them.
      if (name.startsWith('adam.m.') && data.length > 1)
        expect(relativeError(data, other.data), name).toBeLessThan(hasBinarySums ? 0.05 : 0.25);
    }
    for (const trainer of [real, onnx]) trainer.restore(start);
    await real.calibrate([given]);
    await onnx.calibrate([given]);
    compareStatistics();
    await real.close();
    await onnx.close();
  });
});

it.runIf(here).each(['3C3-5C3S2-6FC-3FC', '4C2V-3C5-3FC', '20FC-10FC-3FC'])(
  'has the gradients of float64 loops in %s but for the rounding to bfloat16',
  async (architecture) => {
    const plan = planFor('float', {
      layers: parseArchitecture(architecture),
      input: { ...planFor('float').input, height: 4, width: 3 },
    });
    const [count, shapes, place] = [4, planShapes(plan), placeFactors(plan)!];
    const { pixels, labels } = batchFor(plan, 4, count);
    const planes = new Float32Array(pixels.length);
    writeInputPlanes(pixels, count, plan.input, planes);
    const layers = shapes.map(
      (shape, k): OracleLayer => ({
        ...{ kind: shape.kind, input: shape.input, outputs: shape.output.channels, kernel: shape.kernel },
        ...{ stride: shape.stride, padStart: shape.padStart, padEnd: shape.padEnd, pool: shape.pool },
        weights: 'real',
        place: k === 0 ? Float64Array.from(place) : null,
        activation: k === shapes.length - 1 ? 'none' : 'relu',
      }),
    );
    // Where a value lies next to 0, rounding decides on which side.
    for (let seed = 1; ; seed++) {
      const step = await layOutRealStep(plan, { batch: count, seed, threads: 1 });
      const value = (k: number, role: string) =>
        Float64Array.from(step.state.get(`layers.${k}.${role}`)!.data);
      const parameters = shapes.map((_, k) => ({
        weights: value(k, 'weights'),
        gamma: value(k, 'gamma'),
        beta: value(k, 'beta'),
      }));
      const images = Float64Array.from(planes);
      const oracle = oracleStep(layers, plan.loss, BATCH_NORM_EPSILON, images, labels, parameters);
      if (oracle.margin < 0.006) {
        await step.close();
        continue;
      }
      await step.quantize('training', 1, 0);
      const { loss } = await step.trainer.step(pixels, labels);
      await step.passBack();
      await step.close();
      expect(Math.abs(loss - oracle.loss)).toBeLessThan(0.005 * oracle.loss);
      for (const [k, gradients] of oracle.gradients.entries())
        for (const [role, expected] of Object.entries(gradients)) {
          const found = step.gradient(`layers.${k}.${role}`);
          expect(relativeError(found, expected), `${role} of layer ${k + 1}, seed ${seed}`).toBeLessThan(
            0.02,
          );
        }
      return;
    }
  },
);

describe.runIf(here)('what is begun on one trainer', () => {
  it('is continued on the other, and predicted by both alike', async () => {
    const plan = planFor('ttq');
    const real = await createRealTrainer(plan, options);
    const onnx = await createOnnxTrainer(plan, await openDevice('cpu', 1), options);
    const given = batchFor(plan, 5);
    for (let step = 1; step <= 3; step++) await real.step(given, rates, step);
    onnx.restore(copy(real.state()));
    expect(copy(onnx.state())).toEqual(copy(real.state()));
    expect(await onnx.classify(given)).toEqual(await real.classify(given));
    await onnx.step(given, rates, 4);
    real.restore(copy(onnx.state()));
    expect(copy(real.state())).toEqual(copy(onnx.state()));
    await real.close();
    await onnx.close();
  });

  it.each(['binaryconnect-stochastic', 'bwn', 'ttq'] as const)(
    'and on as many threads as it likes, with the same bits: %s',
    async (technique) => {
      const plan = planFor(technique);
      const one = await createRealTrainer(plan, options);
      const other = await createRealTrainer(plan, { ...options, threads: 3 });
      const given = batchFor(plan, 6);
      await one.step(given, rates, 1);
      const saved = copy(one.state());
      await one.step(given, rates, 2);
      other.restore(saved);
      await other.step(given, rates, 2);
      expect(copy(other.state())).toEqual(copy(one.state()));
      await one.close();
      await other.close();
    },
  );
});

it.runIf(here)('can train every technique that trains at all, and every way to train a bnn', async () => {
  for (const { name, afterTraining } of Object.values(techniques))
    if (!afterTraining) expect(await nativeTrainingRefusal({ technique: name }), name).toBeNull();
  for (const name of variationNames)
    expect(await nativeTrainingRefusal({ technique: 'bnn', variations: [name] }), name).toBeNull();
});
