/** The WebAssembly engine against the reference engine, layer by layer, bit for bit. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseArchitecture } from '../architecture.js';
import { decodeModel } from '../model-file.js';
import { awkwardShapes } from '../testing/awkward-shapes.js';
import { compareEngines } from '../testing/compare-engines.js';
import { extremeCase, extremes } from '../testing/extreme-model.js';
import type { GoldenFile } from '../testing/golden.js';
import { randomCase, randomModel } from '../testing/random-model.js';
import { WasmEngine, wasmRefusal } from './engine.js';

const golden = new URL('../../../../test/golden/', import.meta.url);
const names = readdirSync(golden).filter((file) => file.endsWith('.json'));

describe('the WebAssembly engine', () => {
  it.each(names)('reproduces %s', async (file) => {
    const { cases }: GoldenFile = JSON.parse(readFileSync(new URL(file, golden), 'utf8'));
    const bytes = readFileSync(new URL(file.replace('.json', '.safetensors'), golden));
    await compareEngines(
      decodeModel(bytes),
      cases.map(({ pixels }) => Uint8Array.from(pixels)),
    );
  });

  it('equals the reference on random models', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 0x7fffffff }), async (seed) => {
        const { model, images } = randomCase(seed);
        expect(wasmRefusal(model)).toBeNull();
        await compareEngines(model, images);
      }),
      { numRuns: 300 },
    );
  });

  it.each(awkwardShapes)(
    'equals the reference on %s of %d x %d',
    { timeout: 60_000 },
    async (architecture, height, width) => {
      const { model, images } = randomCase(
        height * width,
        { input: { height, width }, layers: parseArchitecture(architecture) },
        2,
      );
      await compareEngines(model, images);
    },
  );

  it.each(extremes)(
    'is exact where inputs are all on (%s), weights all %d and maps %d wide',
    async (...extreme) => {
      const { model, images } = extremeCase(...extreme);
      await compareEngines(model, images);
    },
  );

  it.each([
    ['sums of more than 16 bits', '1400C1-3C7-2FC', 9, 9],
    ['rows too wide for tables', '2C1-2C7-2FC', 7, 700],
    ['one place', '9C3-40C1-3FC', 1, 1],
  ])('equals the reference with %s', { timeout: 60_000 }, async (_, architecture, height, width) => {
    const { model, images } = randomCase(
      2,
      { input: { height, width }, layers: parseArchitecture(architecture) },
      2,
    );
    await compareEngines(model, images);
  });

  it('says which models it cannot run, and does not', async () => {
    const eightBit = { encoding: '8-bit', slices: [], shifts: [] } as const;
    const large = randomModel(4, {
      layers: parseArchitecture('1C4S4V-MP4-1C4S4V-MP4-2FC'),
      input: { height: 4096, width: 4096, channels: 16, ...eightBit },
    });
    expect(wasmRefusal(large)).toMatch(/needs \d+ bytes of memory, more than 536870912/);
    await expect(WasmEngine.create(large)).rejects.toThrow(`engine wasm: ${wasmRefusal(large)}`);
  });

  it('says that a giant network is too large before it lays out places', () => {
    // Thousands of pixels a side, whose rows are too wide for tables: minutes, and gigabytes, if every place had an entry.
    const layers = parseArchitecture(`1C1-${'1C3-'.repeat(40)}1C4S4V-1C4S4V-1C4S4V-2FC`);
    const model = randomModel(5, { layers, input: { height: 4096, width: 4096, channels: 1 } });
    expect(wasmRefusal(model)).toMatch(/needs \d+ bytes of memory/);
  });

  it('refuses an image of another size', async () => {
    const { model } = randomCase(5);
    const engine = await WasmEngine.create(model);
    expect(() => engine.run(new Uint8Array(1), new Int32Array(model.classes.length))).toThrow(
      /pixels: expected/,
    );
  });
});
