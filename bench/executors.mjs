/**
 * What techniques have of their own beside ONNX Runtime's float32, on random networks (times do not depend on what they have
 * learned, but pruned ones' on how much is left): XNOR-Net, 8-bit fixed point, and pruned at some sparsities. One thread, milliseconds
 * of its CPU time an image, so that a busy machine matters less: medians of seven alternating turns, over 32 random images.
 *
 *     node bench/executors.mjs [--width 128] [--sparsities 0.8,0.9,0.95,0.99]          (run `npm run setup` first)
 */
import { parseArgs } from 'node:util';
import { openStoredInt8 } from '../packages/cbnn/dist/engines/stored-int8.js';
import { realNetworkOf } from '../packages/cbnn/dist/engines/stored-native.js';
import { openDevice } from '../packages/cbnn/dist/graph/session.js';
import { writeInputPlanes } from '../packages/cbnn/dist/nn/input-planes.js';
import { planShapes } from '../packages/cbnn/dist/nn/plan.js';
import { Random } from '../packages/cbnn/dist/random.js';
import { openNetwork } from '../packages/cbnn/dist/store/network-file.js';
import { nativeKernels, RealEngine } from '../packages/native/dist/index.js';
import { parseArchitecture } from '../packages/runtime/dist/index.js';

const { values } = parseArgs({
  options: {
    width: { type: 'string', default: '128' },
    sparsities: { type: 'string', default: '0.8,0.9,0.95,0.99' },
  },
});
const w = Number(values.width);
const architecture = `${w}C3-${w}C3-MP2-${2 * w}C3-${2 * w}C3-MP2-${4 * w}C3-${4 * w}C3-MP2-${8 * w}FC-${8 * w}FC-10FC`;
const BATCH = 32;
const TURNS = 7;
/** Microseconds of CPU time of a turn. */
const TURN = 120_000;

function network(technique, sparsity = 0) {
  const random = new Random(1);
  const isFixed = technique === 'fixed-point';
  const plan = {
    input: {
      ...{ height: 32, width: 32, channels: 3, encoding: '8-bit', slices: [], shifts: [], stretch: null },
    },
    layers: parseArchitecture(architecture),
    ...{ technique, slicing: 'equal', firstLayer: 'real', loss: 'cross-entropy' },
    ...(isFixed && { precision: { weights: 8, activations: 8 } }),
  };
  const shapes = planShapes(plan);
  const layers = shapes.map(({ index, fanIn, output: { channels } }) => {
    const isLast = index === shapes.length - 1;
    const size = Math.sqrt(2 / fanIn / (1 - sparsity)) / (index === 0 ? 150 : 1);
    const weightStep = 2 ** Math.ceil(Math.log2(size / 40));
    const weight = () => {
      if (technique === 'xnor-net' && index > 0 && !isLast) return random.below(2) ? size : -size;
      if (random.uniform() < sparsity) return 0;
      const value = size * random.normal();
      return isFixed ? weightStep * Math.max(-128, Math.min(127, Math.round(value / weightStep))) : value;
    };
    const floats = (value) => Float32Array.from({ length: channels }, value);
    return {
      weights: Float32Array.from({ length: channels * fanIn }, weight),
      mean: floats(() => 0.1 * random.normal()),
      scale: floats(() => 1 + 0.1 * random.normal()),
      beta: floats(() => 0.1 * random.normal()),
      weightBytes: 0,
      ...(isFixed && { weightStep, ...(!isLast && { activationStep: Float32Array.of(1 / 32) }) }),
    };
  });
  return { plan, layers, classes: Array.from({ length: 10 }, (_, c) => `class ${c}`) };
}

const random = new Random(2);
const pixels = new Uint8Array(BATCH * 32 * 32 * 3).map(() => random.below(256));
const size = pixels.length / BATCH;
let next = 0;
const image = () => {
  const i = next++ % BATCH;
  return pixels.subarray(i * size, (i + 1) * size);
};

/** CPU time of a call, in milliseconds an image. */
async function turn({ run, batch }) {
  await run();
  const begun = process.cpuUsage();
  for (let calls = 1; ; calls++) {
    await run();
    const { user, system } = process.cpuUsage(begun);
    if (user + system >= TURN) return (user + system) / 1000 / calls / batch;
  }
}

async function contenders(stored) {
  const found = [];
  const input = stored.plan.input;
  for (const batch of [1, BATCH]) {
    const add = (name, run) => found.push({ name, batch, run, times: [] });
    const images = () => ({ count: batch, pixels: batch > 1 ? pixels : image() });
    const float = await openNetwork(stored, 1, batch);
    add('ONNX Runtime, float32', () => float.scores(images()));
    if (stored.plan.precision) {
      const int8 = await openStoredInt8(stored, await openDevice('auto', 1), batch);
      add('ONNX Runtime, int8', () => int8.scores(images()));
      continue;
    }
    for (const kernels of nativeKernels().filter((name) => name !== 'portable')) {
      const engine = RealEngine.create(realNetworkOf(stored), { kernels });
      const planes = new Float32Array(batch * size);
      add(`native, ${kernels}`, () => {
        writeInputPlanes(images().pixels, batch, input, planes);
        return engine.runBatch(planes, batch);
      });
    }
  }
  return found;
}

console.log(architecture);
const all = [
  ['xnor-net', 0],
  ['fixed-point', 0],
  ...values.sparsities.split(',').map((sparsity) => ['pruned', Number(sparsity)]),
];
for (const [technique, sparsity] of all) {
  const own = await contenders(network(technique, sparsity));
  for (let round = 0; round < TURNS; round++) for (const one of own) one.times.push(await turn(one));
  console.log(sparsity ? `${technique}, ${100 * sparsity} % of weights are 0` : technique);
  const median = ({ times }) => times.toSorted((a, b) => a - b)[times.length >> 1];
  for (const one of own) {
    const float = own.find(({ batch }) => batch === one.batch);
    const ratio = (median(float) / median(one)).toFixed(1);
    console.log(
      `  ${one.name.padEnd(22)} batch ${String(one.batch).padEnd(3)} ${median(one).toFixed(3)} ms, ${ratio}x`,
    );
  }
}
