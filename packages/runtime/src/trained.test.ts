/**
 * Models that were trained, from docs/results, on WebAssembly and every native instruction set (on WebGPU: its own tests): what random
 * ones have not, such as few or many bits alike.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { decodeModel } from './model-file.js';
import { compareEngines } from './testing/compare-engines.js';
import { Dice } from './testing/random-model.js';

const results = join(import.meta.dirname, '..', '..', '..', 'docs', 'results');
const files = readdirSync(results, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.safetensors'),
);

it('there are some', () => expect(files.length).toBeGreaterThan(2));

it.each(files)('%s gives the same', async (file) => {
  const model = decodeModel(readFileSync(join(results, file)));
  const { height, width, channels } = model.input;
  const dice = new Dice(files.indexOf(file));
  // A smooth image, as photographs are, and one of noise.
  const smooth = Uint8Array.from({ length: height * width * channels }, (_, i) => {
    const x = Math.floor(i / channels) % width;
    const y = Math.floor(i / channels / width);
    return 128 + 100 * Math.sin((x + 2 * y) / 7 + (i % channels));
  });
  await compareEngines(model, [smooth, smooth.map(() => dice.range(0, 255))]);
});
