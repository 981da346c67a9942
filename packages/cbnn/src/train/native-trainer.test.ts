/** The native trainer against the ONNX graph: the same sums, nearly the same gradients, the same state. */
import { allSlices, parseArchitecture, parseSlices, runReference } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { nativePackage } from '../engines/packed-native.js';
import { names } from '../graph/names.js';
import { trainingGraph } from '../graph/network.js';
import { BATCH_NORM_EPSILON } from '../graph/operations/batch-norm.js';
import { openDevice } from '../graph/session.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels, type Plan, placeFactors, planShapes } from '../nn/plan.js';
import { packModel } from '../pack/pack.js';
import { Random } from '../random.js';
import { techniques } from '../techniques/index.js';
import { type OracleLayer, oracleStep } from '../testing/oracle.js';
import { createNativeTrainer, layOutStep, nativeTrainingRefusal, networkRefusal } from './native-trainer.js';
import { createOnnxTrainer } from './onnx-trainer.js';
import { RunningStatistics } from './running-statistics.js';
import type { Trainer } from './trainer.js';

const BATCH = 24;
const SEED = 3;

interface Choice {
  readonly architecture: string;
  readonly size: readonly [height: number, width: number];
  readonly slices?: string;
  readonly slicing?: Plan['slicing'];
  readonly firstLayer?: Plan['firstLayer'];
  readonly loss?: Plan['loss'];
}

function planFor({ architecture, size: [height, width], slices, ...rest }: Choice): Plan {
  const { slicing = 'place-value', firstLayer = 'integer', loss = 'cross-entropy' } = rest;
  const sliced = slices !== '8-bit';
  const kept = !sliced ? [] : slices ? parseSlices(slices, 3) : allSlices(3);
  const shifted = sliced && slicing === 'place-value' && firstLayer === 'binary';
  return {
    input: {
      height,
      width,
      channels: 3,
      encoding: sliced ? 'bit-slices' : '8-bit',
      slices: kept,
      shifts: kept.map(({ bit }) => (shifted ? bit : 0)),
      stretch: null,
    },
    layers: parseArchitecture(architecture),
    technique: 'bnn',
    slicing,
    firstLayer,
    loss,
  };
}

const choices: [string, Choice][] = [
  ['all slices', { architecture: '16C3-32C3-MP2-33C3-20FC-5FC', size: [14, 12] }],
  [
    'some slices, all equal, a binary first layer, strides',
    {
      architecture: '9C5S2V-20C1-17C2-MP3-5FC',
      size: [17, 19],
      slices: 'top3',
      slicing: 'equal',
      firstLayer: 'binary',
      loss: 'squared-hinge',
    },
  ],
  ['place values by shifts', { architecture: '20C3-MP2-24C3S2-5FC', size: [13, 16], firstLayer: 'binary' }],
  ['the plain image', { architecture: '24C3-24C3-MP2-16FC-5FC', size: [12, 15], slices: '8-bit' }],
  [
    'the plain image with one bit a weight',
    {
      architecture: '12C4-MP2-5FC',
      size: [9, 10],
      slices: '8-bit',
      firstLayer: 'binary',
      loss: 'squared-hinge',
    },
  ],
  ['dense layers alone', { architecture: '40FC-30FC-5FC', size: [6, 7] }],
];

function batchFor(plan: Plan, seed: number) {
  const random = new Random(seed, 9);
  const { height, width, channels } = plan.input;
  const classes = planShapes(plan).at(-1)!.output.channels;
  const labels = Uint16Array.from({ length: BATCH }, () => random.below(classes));
  const pixels = new Uint8Array(BATCH * height * width * channels).map(() => random.below(256));
  // Something to learn, so that gradients are more than noise.
  const size = pixels.length / BATCH;
  for (let n = 0; n < BATCH; n++)
    for (let i = 0; i < size; i++)
      if (i % classes === labels[n]) pixels[n * size + i] = 200 + random.below(56);
  return { count: BATCH, pixels, labels };
}

const here = (await nativePackage()) !== null;

describe.runIf(here).each(choices)('the native trainer on %s', (_, choice) => {
  const plan = planFor(choice);
  const shapes = planShapes(plan);

  it('has the sums and scores of the ONNX graph in training mode', async () => {
    const { trainer, tensors } = await layOutStep(plan, { batch: BATCH, seed: SEED, threads: 2 });
    const { open } = await openDevice('cpu', 1);
    const graph = trainingGraph(plan, techniques.bnn, BATCH, { expose: true });
    const session = await open(graph.bytes);
    const given = batchFor(plan, 1);
    const classes = shapes.at(-1)!.output.channels;
    const images = new Float32Array(BATCH * inputChannels(plan.input) * plan.input.height * plan.input.width);
    writeInputPlanes(given.pixels, BATCH, plan.input, images);
    const targets = new Float32Array(BATCH * classes).fill(-1);
    for (const [n, label] of given.labels.entries()) targets[n * classes + label] = 1;
    const outputs = Object.fromEntries([
      ...shapes.map(({ index, kind, pooled: { height, width, channels } }) => {
        const shape = kind === 'conv' ? [BATCH, channels, height, width] : [BATCH, channels];
        return [names.sums(index), { shape, data: new Float32Array(BATCH * height * width * channels) }];
      }),
      [names.scores, { shape: [BATCH, classes], data: new Float32Array(BATCH * classes) }],
    ]) as Record<string, { shape: number[]; data: Float32Array }>;
    const rate = { shape: [], data: Float32Array.of(0) };
    const groups = new Set(graph.parameters.map(({ group }) => group));
    await session.run(
      {
        [names.images]: {
          shape: [BATCH, inputChannels(plan.input), plan.input.height, plan.input.width],
          data: images,
        },
        [names.targets]: { shape: [BATCH, classes], data: targets },
        ...Object.fromEntries([...groups].map((group) => [names.rate[group as 'binary' | 'float'], rate])),
        ...Object.fromEntries(tensors),
      },
      outputs,
    );
    await session.close();
    await trainer.forward(given.pixels);
    for (const { index, pooled } of shapes) {
      const area = pooled.height * pooled.width;
      const expected = outputs[names.sums(index)]!.data;
      const found = trainer.sums(index);
      let different = 0;
      for (let i = 0; i < found.length; i++) {
        const c = i % pooled.channels;
        const pixel = Math.floor(i / pooled.channels);
        const at = (Math.floor(pixel / area) * pooled.channels + c) * area + (pixel % area);
        if (Math.round(expected[at]!) !== found[i]) different++;
      }
      expect(different, `sums of layer ${index + 1}`).toBe(0);
    }
    for (const [i, score] of trainer.scores().entries())
      expect(score).toBeCloseTo(outputs[names.scores]!.data[i]!, 3);
  });

  it('has in a forward pass the sums of the packed model with the statistics of that batch, layer by layer', async () => {
    const { trainer, tensors } = await layOutStep(plan, { batch: BATCH, seed: SEED, threads: 2 });
    const given = batchFor(plan, 1);
    // Channels of all kinds: their thresholds shift, and some turn round.
    for (const [name, { data }] of tensors)
      if (/^layers\.\d+\.(gamma|beta)$/.test(name))
        for (let c = 0; c < data.length; c++) data[c]! -= 0.3 * (c % 5);
    for (let step = 1; step <= 3; step++)
      await trainer.step(given.pixels, given.labels, { latent: 0.01, float: 0.01 }, step);
    const running = new RunningStatistics(shapes);
    await running.estimate([given], trainer.statistics, ({ pixels }) => trainer.forward(pixels));
    const provenance = { technique: 'bnn', recipe: '', dataset: '', epochs: 0, seed: 0 };
    const classes = Array.from({ length: shapes.at(-1)!.output.channels }, (_, c) => String(c));
    const model = packModel(plan, new Map([...tensors, ...running.tensors()]), classes, provenance);
    const size = given.pixels.length / BATCH;
    for (let n = 0; n < BATCH; n++) {
      const image = given.pixels.subarray(n * size, (n + 1) * size);
      for (const [k, { sums }] of runReference(model, image, { prepared: true }).trace.entries())
        expect(trainer.sums(k).subarray(n * sums.length, (n + 1) * sums.length), `layer ${k + 1}`).toEqual(
          sums,
        );
    }
  });

  it('has the gradients of float64 loops but for the rounding to 8 bits', async () => {
    const given = batchFor(plan, 4);
    const images = new Float32Array(BATCH * inputChannels(plan.input) * plan.input.height * plan.input.width);
    writeInputPlanes(given.pixels, BATCH, plan.input, images);
    const layers = oracleLayers(plan);
    // Where a weight lies next to a half, or a value next to 0, single and double precision may decide differently.
    for (let seed = SEED; ; seed++) {
      const { trainer, tensors } = await layOutStep(plan, { batch: BATCH, seed, threads: 1 });
      const value = (k: number, role: string) => Float64Array.from(tensors.get(`layers.${k}.${role}`)!.data);
      const parameters = shapes.map((_shape, k) => ({
        weights: value(k, 'weights'),
        gamma: value(k, 'gamma'),
        beta: value(k, 'beta'),
      }));
      const planes = Float64Array.from(images);
      const oracle = oracleStep(layers, plan.loss, BATCH_NORM_EPSILON, planes, given.labels, parameters);
      if (oracle.margin < 1e-5) continue;
      const { loss } = await trainer.step(given.pixels, given.labels, { latent: 0, float: 0 }, 1);
      expect(loss).toBeCloseTo(oracle.loss, 5);
      // After one step the first moment is the gradient. Each layer adds its own rounding, of some per cent.
      for (const [k, gradients] of oracle.gradients.entries())
        for (const [role, expected] of Object.entries(gradients)) {
          const found = tensors.get(names.firstMoment(`layers.${k}.${role}`))!.data;
          const bound = 0.02 + 0.06 * (shapes.length - 1 - k);
          expect(relativeError(found, expected), `${role} of layer ${k + 1}`).toBeLessThan(bound);
        }
      return;
    }
  });

  it('has nearly its gradients, and the same statistics and loss', async () => {
    const options = { batch: BATCH, seed: SEED, threads: 1 };
    const native = await createNativeTrainer(plan, options);
    const onnx = await createOnnxTrainer(plan, await openDevice('cpu', 1), options);
    const given = batchFor(plan, 2);
    const rates = { binary: 1e-3, float: 1e-3, progress: 0 };
    const [found, expected] = [await native.step(given, rates, 1), await onnx.step(given, rates, 1)];
    expect(found.loss).toBeCloseTo(expected.loss, 4);
    expect(found.correct).toBe(expected.correct);
    for (const { clipped, zero, peak } of found.gradients!) {
      expect(clipped).toBe(0); // the first step measures
      expect(zero).toBeGreaterThanOrEqual(0);
      expect(zero).toBeLessThan(1);
      expect(peak).toBeGreaterThanOrEqual(1);
    }
    const reference = onnx.state();
    for (const [name, { data }] of native.state()) {
      const other = reference.get(name)?.data;
      if (name === names.gradientUnits) continue;
      expect(other, name).toBeDefined();
      // After one step the first moment is the gradient.
      if (name.startsWith('adam.m.')) expect(cosine(data, other!), name).toBeGreaterThan(0.985);
    }
    expectSameStatistics(native, onnx);
    await onnx.close();
  });

  it('estimates the statistics of the ONNX graph from some batches, and learns nothing by it', async () => {
    const options = { batch: BATCH, seed: SEED, threads: 2 };
    const native = await createNativeTrainer(plan, options);
    const onnx = await createOnnxTrainer(plan, await openDevice('cpu', 1), options);
    // Two batches, after a step: neither what a step averages nor one batch alone.
    const batches = [batchFor(plan, 5), batchFor(plan, 6)];
    await native.step(batches[0]!, { binary: 1e-3, float: 1e-3, progress: 0 }, 1);
    const before = [...native.state()].map(([name, { data }]) => [name, data.slice()] as const);
    onnx.restore(native.state());
    for (const trainer of [native, onnx]) await trainer.calibrate(batches);
    expectSameStatistics(native, onnx);
    const after = native.state();
    for (const [name, data] of before)
      if (STATISTIC.test(name)) expect(after.get(name)!.data, name).not.toEqual(data);
      else expect(after.get(name)!.data, name).toEqual(data);
    await native.close();
    await onnx.close();
  });
});

const STATISTIC = /\.(mean|inverse)$/;

function expectSameStatistics(found: Trainer, expected: Trainer): void {
  const reference = expected.state();
  const statistics = [...found.state()].filter(([name]) => STATISTIC.test(name));
  expect(statistics.length).toBeGreaterThan(0);
  for (const [name, { data }] of statistics)
    for (const [c, value] of data.entries()) {
      const other = reference.get(name)!.data[c]!;
      expect(Math.abs(value - other), name).toBeLessThan(1e-4 * (1 + Math.abs(other)));
    }
}

function oracleLayers(plan: Plan): OracleLayer[] {
  const place = placeFactors(plan);
  const shapes = planShapes(plan);
  return shapes.map((shape, k) => ({
    ...{ kind: shape.kind, input: shape.input, outputs: shape.output.channels, kernel: shape.kernel },
    ...{ stride: shape.stride, padStart: shape.padStart, padEnd: shape.padEnd, pool: shape.pool },
    weights: k === 0 && plan.firstLayer === 'integer' ? 'integer' : 'binary',
    place: k === 0 && place ? Float64Array.from(place) : null,
    activation: k === shapes.length - 1 ? 'none' : 'sign',
  }));
}

/** |found - expected| / |expected| */
function relativeError(found: ArrayLike<number>, expected: Float64Array): number {
  let [apart, size] = [0, 0];
  for (const [i, value] of expected.entries()) {
    apart += (found[i]! - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(apart / size);
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (const [i, value] of a.entries()) {
    dot += value * b[i]!;
    aa += value ** 2;
    bb += b[i]! ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}

describe.runIf(here)('the memory of the native step', () => {
  it.each([
    [8, 50, 1],
    [16, 50, 4],
    [16, 100, 2],
    [32, 100, 2],
  ])(
    'is what docs/training-step.md says: W = %d, batches of %d, %d threads',
    async (width, batch, threads) => {
      const [w, w2, w4] = [1, 2, 4].map((factor) => factor * width);
      const architecture = `${w}C3-${w}C3-MP2-${w2}C3-${w2}C3-MP2-${w4}C3-${w4}C3-MP2-${8 * width}FC-10FC`;
      const plan = planFor({ architecture, size: [32, 32] });
      const { trainer } = await layOutStep(plan, { batch, seed: SEED, threads });
      const shapes = planShapes(plan);
      const floats = (values: readonly number[]) => 4 * values.reduce((sum, value) => sum + value, 0);
      const maps = [shapes[0]!.input, ...shapes.map(({ pooled }) => pooled)];
      const activations =
        batch * floats(maps.map((map) => map.height * map.width * 32 * Math.ceil(map.channels / 32)));
      const weightsOf = (kind: 'conv' | 'dense') =>
        floats(shapes.map((shape) => (shape.kind === kind ? shape.fanIn * shape.output.channels : 0)));
      const each = weightsOf('conv') + 2e6;
      expect(trainer.bytes).toBeLessThan(
        1.25 * activations + weightsOf('dense') + weightsOf('conv') + threads * each,
      );
      expect(trainer.bytes).toBeGreaterThan(activations / 2);
    },
  );
});

describe('what the native trainer refuses', () => {
  it('names the technique, or what is missing', async () => {
    expect(await nativeTrainingRefusal({ technique: 'fixed-point' })).toContain(
      'technique fixed-point has no native step',
    );
    const refusal = await nativeTrainingRefusal({ technique: 'bnn' });
    if (here) expect(refusal).toBeNull();
    else expect(refusal).toContain('@cbnn/native');
  });

  it.runIf(here)('knows sums that would not fit', async () => {
    const plan = planFor({ architecture: '8C3-5FC', size: [3000, 3000] });
    expect(await networkRefusal(plan, 4)).toContain('in layer 1 (3000x3000x8); use a smaller batch');
    expect(await networkRefusal(planFor(choices[0]![1]), BATCH)).toBeNull();
  });
});
