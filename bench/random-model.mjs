// Writes the paper's network, or another, with random weights as a packed model: times do not depend on what it has learned.
//   node bench/random-model.mjs full.safetensors [--width 128 | --arch 64C3-MP2-...-10FC]         (run `npm run setup` first)
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  allSlices,
  encodeModel,
  modelShapes,
  packRows,
  parseArchitecture,
} from '../packages/runtime/dist/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { width: { type: 'string', default: '128' }, arch: { type: 'string' } },
});
const [path] = positionals;
const width = Number(values.width);
if (!path || !Number.isInteger(width) || width < 1) {
  console.error('random-model: expected a file to write, and --width as an integer');
  process.exit(1);
}
let state = 1;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const slices = allSlices(3);
const input = {
  ...{ height: 32, width: 32, channels: 3, encoding: 'bit-slices' },
  ...{ slices, shifts: slices.map(() => 0), stretch: { low: 1, high: 99 } },
};
const layers = parseArchitecture(
  values.arch ??
    `${width}C3-${width}C3-MP2-${2 * width}C3-${2 * width}C3-MP2-${4 * width}C3-${4 * width}C3-MP2-${8 * width}FC-${8 * width}FC-10FC`,
);
const shapes = modelShapes({ input, layers });
const kernels = shapes.map(({ output: { channels }, fanIn }, k) => {
  const count = channels * fanIn;
  const weights =
    k === 0
      ? { type: 'integer', values: Int8Array.from({ length: count }, () => Math.floor(random() * 255) - 127) }
      : {
          type: 'binary',
          bits: packRows(
            Int8Array.from({ length: count }, () => (random() < 0.5 ? -1 : 1)),
            channels,
            fanIn,
          ),
        };
  const fill = (value) => Int32Array.from({ length: channels }, value);
  if (k < shapes.length - 1)
    return { weights, output: 'bits', thresholds: fill(() => Math.floor((random() - 0.5) * 20)) };
  return { weights, output: 'scores', scale: fill(() => 1), bias: fill(() => 0) };
});
const provenance = { technique: 'random', recipe: 'none', dataset: 'none', epochs: 0, seed: 1 };
const classes = Array.from({ length: 10 }, (_, c) => `class ${c}`);
writeFileSync(path, encodeModel({ input, layers, kernels, classes, provenance }));
