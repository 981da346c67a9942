// Milliseconds of a complete training step, by width and input form. Run `npm run setup` first, and nothing beside it.
//   node bench/training-step.mjs [--widths 32,64] [--batch 50] [--threads 2] [--device cpu] [--steps 40]
// The answer is checked: the loss of the repeated batch must fall. Prints the CPU; compare ratios, not machines.
// Beside it, the first layer's own work (convolution and gradient of its weights) with 24 and with 3 input channels: a
// step on slices should cost no more than a step on the image and that difference.
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Graph } from '../packages/cbnn/dist/graph/graph.js';
import { convolution } from '../packages/cbnn/dist/graph/operations/convolution.js';
import { openDevice } from '../packages/cbnn/dist/graph/session.js';
import { Random } from '../packages/cbnn/dist/random.js';
import { createOnnxTrainer } from '../packages/cbnn/dist/train/onnx-trainer.js';
import { allSlices, kernelShapes, parseArchitecture } from '../packages/runtime/dist/index.js';

const { values } = parseArgs({
  options: {
    widths: { type: 'string', default: '32,64' },
    batch: { type: 'string', default: '50' },
    threads: { type: 'string', default: '2' },
    device: { type: 'string', default: 'cpu' },
    steps: { type: 'string', default: '40' },
  },
});
const batch = Number(values.batch);
const steps = Number(values.steps);
const device = await openDevice(values.device, Number(values.threads));
const random = new Random(1);
const labels = new Uint16Array(batch).map(() => random.below(10));
const pixels = new Uint8Array(batch * 32 * 32 * 3).map(() => random.below(256));
// Something to learn: a bright block whose place tells the class.
for (let n = 0; n < batch; n++)
  pixels.fill(250, n * 3072 + labels[n] * 300, n * 3072 + labels[n] * 300 + 300);

console.log(`${cpus()[0].model}, ${device.description}, batch ${batch}, ${steps} steps`);
for (const width of values.widths.split(',').map(Number)) {
  const medians = new Map();
  for (const [technique, encoding] of [
    ['bnn', 'bit-slices'],
    ['bnn', '8-bit'],
    ['float', '8-bit'],
  ]) {
    const plan = {
      input: {
        height: 32,
        width: 32,
        channels: 3,
        encoding,
        slices: encoding === '8-bit' ? [] : allSlices(3),
        shifts: encoding === '8-bit' ? [] : new Array(24).fill(0),
        stretch: null,
      },
      layers: parseArchitecture(
        `${width}C3-${width}C3-MP2-${2 * width}C3-${2 * width}C3-MP2-${4 * width}C3-${4 * width}C3-MP2-${8 * width}FC-${8 * width}FC-10FC`,
      ),
      technique,
      slicing: encoding === '8-bit' ? 'equal' : 'place-value',
      firstLayer: technique === 'float' ? 'real' : 'integer',
      loss: 'squared-hinge',
    };
    const trainer = await createOnnxTrainer(plan, device, { batch, seed: 1 });
    const times = [];
    const losses = [];
    for (let step = 1; step <= steps; step++) {
      const begun = performance.now();
      const { loss } = await trainer.step(
        { count: batch, pixels, labels },
        { binary: 1e-3, float: 1e-3 },
        step,
      );
      times.push(performance.now() - begun);
      losses.push(loss);
    }
    await trainer.close();
    if (!(losses.at(-1) < losses[0]))
      throw new Error(`the loss did not fall: ${losses[0]} -> ${losses.at(-1)}`);
    const step = summary(times);
    console.log(`W=${width} ${technique} ${encoding}: ${step.text}`);
    medians.set(`${technique} ${encoding}`, step.median);
  }
  const slices = await firstLayer(width, 24);
  const image = await firstLayer(width, 3);
  const extra = medians.get('bnn bit-slices') - medians.get('bnn 8-bit');
  console.log(
    `W=${width} first layer alone: 24 channels ${slices.text}; 3 channels ${image.text}\n` +
      `W=${width} 24 slices cost ${extra.toFixed(1)} ms more a step; the first layer's own work is ${(slices.median - image.median).toFixed(1)} ms more`,
  );
}

/** Convolution of a batch with `channels` input channels, and the gradient of its weights. */
async function firstLayer(width, channels) {
  const g = new Graph(device.channelBlock);
  const [shape] = kernelShapes({ height: 32, width: 32, channels }, parseArchitecture(`${width}C3-10FC`));
  const feeds = {};
  const input = (name, sides) => {
    const data = new Float32Array(sides.reduce((product, side) => product * side, 1)).map(
      () => 2 * random.below(2) - 1,
    );
    feeds[name] = { shape: sides, data };
    return g.input(name, sides);
  };
  const w = input('w', [width, 3, 3, channels]);
  const z = convolution(g, input('x', [batch, channels, 32, 32]), w, shape);
  const dz = input('dz', z.shape);
  // Any scalar: what is wanted is the gradient for a given dz.
  const loss = g.differentiable([z], g.scalar(0), () => [dz]);
  const outputs = {};
  for (const [name, value] of [
    ['sums', z],
    ['gradient', g.gradients(loss, [w])[0]],
  ]) {
    g.output(name, value);
    outputs[name] = {
      shape: value.shape,
      data: new Float32Array(value.shape.reduce((product, side) => product * side, 1)),
    };
  }
  const session = await device.open(g.encode());
  const times = [];
  for (let i = 0; i < steps; i++) {
    const begun = performance.now();
    await session.run(feeds, outputs);
    times.push(performance.now() - begun);
  }
  await session.close();
  return summary(times);
}

/** The first three runs allocate and do not count. */
function summary(times) {
  const sorted = times.slice(3).toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  return {
    median: at(0.5),
    text: `median ${at(0.5).toFixed(1)} ms (10 %: ${at(0.1).toFixed(1)}, 90 %: ${at(0.9).toFixed(1)})`,
  };
}
