/**
 * Damaged and forged model files, and random models, on WebAssembly and every native instruction set (on WebGPU: its own tests). A
 * few of each in the default suite; CBNN_FUZZ=1 (`npm run test:fuzz`) makes it 100,000 files, and larger models.
 */
import { expect, it } from 'vitest';
import { compareEngines } from './testing/compare-engines.js';
import { hostileCase, MOST_MACS, macsOf } from './testing/hostile.js';
import { randomCase } from './testing/random-model.js';
import { wasmRefusal } from './wasm/engine.js';

const isLong = process.env['CBNN_FUZZ'] === '1';
const FILES = isLong ? 100_000 : 3000;
const MODELS = isLong ? 3000 : 100;

it(`${FILES} hostile files are refused with a model error, or run alike`, {
  timeout: 3_600_000,
}, async () => {
  let refused = 0;
  let run = 0;
  for (let seed = 0; seed < FILES; seed++) {
    const accepted = hostileCase(seed);
    if (!accepted) {
      refused++;
      continue;
    }
    const { model, image } = accepted;
    // What is too large to run is looked at all the same.
    if (wasmRefusal(model) !== null || macsOf(model) > MOST_MACS) continue;
    await compareEngines(model, [image]).catch((cause) => {
      throw new Error(`seed ${seed}`, { cause });
    });
    run++;
  }
  // Both must happen, or the forgeries are too dull or too wild.
  expect(refused).toBeGreaterThan(FILES / 3);
  expect(run).toBeGreaterThan(FILES / 50);
});

it(`${MODELS} random models are alike`, { timeout: 3_600_000 }, async () => {
  for (let seed = 1_000_000; seed < 1_000_000 + MODELS; seed++) {
    const { model, images } = randomCase(seed, { maxMacs: isLong ? 2_000_000 : 200_000 });
    await compareEngines(model, images).catch((cause) => {
      throw new Error(`seed ${seed}`, { cause });
    });
  }
});
