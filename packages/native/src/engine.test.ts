/** The native engine against the reference engine, layer by layer, bit for bit, on every instruction set that is here. */
import { readdirSync, readFileSync } from 'node:fs';
import { decodeModel, type PackedModel, parseArchitecture } from '@cbnn/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { awkwardShapes } from '../../runtime/src/testing/awkward-shapes.js';
import { expectAlike, nativeEngines } from '../../runtime/src/testing/compare-engines.js';
import { extremeCase, extremes } from '../../runtime/src/testing/extreme-model.js';
import type { GoldenFile } from '../../runtime/src/testing/golden.js';
import { randomCase, randomModel } from '../../runtime/src/testing/random-model.js';
import { NativeEngine, nativeKernels, nativeRefusal } from './index.js';

const golden = new URL('../../../test/golden/', import.meta.url);
const names = readdirSync(golden).filter((file) => file.endsWith('.json'));

const compare = (model: PackedModel, images: readonly Uint8Array[], kernels: string): void =>
  expectAlike(model, images, nativeEngines(model, kernels));

it('is there where a compiler was, or says why not', () => {
  if (process.env['CBNN_TEST_NATIVE'] === '1') expect(nativeRefusal()).toBeNull();
  const refusal = nativeRefusal();
  if (refusal === null) expect(nativeKernels().at(-1)).toBe('portable');
  else expect(() => NativeEngine.create(randomModel(1))).toThrow(`engine native: ${refusal}`);
});

describe.each(nativeKernels())('the native engine on %s', (kernels) => {
  it.each(names)('reproduces %s', (file) => {
    const { cases }: GoldenFile = JSON.parse(readFileSync(new URL(file, golden), 'utf8'));
    const bytes = readFileSync(new URL(file.replace('.json', '.safetensors'), golden));
    compare(
      decodeModel(bytes),
      cases.map(({ pixels }) => Uint8Array.from(pixels)),
      kernels,
    );
  });

  it('equals the reference on random models', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fffffff }), (seed) => {
        const { model, images } = randomCase(seed);
        compare(model, images, kernels);
      }),
      { numRuns: 300 },
    );
  });

  it.each(awkwardShapes)('equals the reference on %s of %d x %d', (architecture, height, width) => {
    const { model, images } = randomCase(
      height * width,
      { input: { height, width }, layers: parseArchitecture(architecture) },
      2,
    );
    compare(model, images, kernels);
  });

  it.each(extremes)(
    'is exact where inputs are all on (%s), weights all %d and maps %d wide',
    (...extreme) => {
      const { model, images } = extremeCase(...extreme);
      compare(model, images, kernels);
    },
  );

  it('gives batches on threads the scores of single images, raw and prepared', async () => {
    const { model } = randomCase(3, {
      input: { height: 12, width: 10, channels: 3, stretch: { low: 5, high: 90 }, code: 'thermometer' },
      layers: parseArchitecture('33C3-MP2-40C3-70FC-65FC-6FC'),
    });
    const engine = NativeEngine.create(model, { kernels });
    const size = 12 * 10 * 3;
    const count = 71;
    const pixels = Uint8Array.from({ length: count * size }, (_, i) => (i * 7919) % 251);
    for (const prepared of [false, true]) {
      const single = new Int32Array(count * 6);
      for (let n = 0; n < count; n++)
        engine.run(pixels.subarray(n * size, (n + 1) * size), single.subarray(n * 6, n * 6 + 6), {
          prepared,
        });
      for (const threads of [1, 3])
        expect(await engine.runBatch(pixels, count, { prepared, threads })).toEqual(single);
      const together = await Promise.all([1, 2].map(() => engine.runBatch(pixels, count, { prepared })));
      expect(together).toEqual([single, single]);
    }
    expect(await engine.runBatch(new Uint8Array(0), 0)).toEqual(new Int32Array(0));
  });
});

describe.skipIf(nativeRefusal() !== null)('the native engine', () => {
  const { model, images } = randomCase(5);

  it('leaves the event loop free while a batch runs', async () => {
    const large = randomCase(6, {
      input: { height: 32, width: 32, channels: 3 },
      layers: parseArchitecture('128C3-128C3-10FC'),
    });
    const pixels = new Uint8Array(300 * large.images[0]!.length);
    let done = false;
    let turns = 0;
    const batch = NativeEngine.create(large.model)
      .runBatch(pixels, 300, { threads: 1 })
      .then(() => {
        done = true;
      });
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve));
      turns++;
    }
    await batch;
    // One that waits turns once or twice.
    expect(turns).toBeGreaterThan(20);
  });

  it('measures its layers, and the limit beside them', () => {
    const engine = NativeEngine.create(model);
    engine.run(images[0]!, new Int32Array(model.classes.length));
    const before = engine.hiddenBits();
    const { seconds, limit } = engine.measure(3);
    expect(seconds).toHaveLength(model.kernels.length);
    for (const value of [...seconds, limit]) expect(value).toBeGreaterThan(0);
    expect(engine.hiddenBits()).toEqual(before);
  });

  it('refuses images of another size, and instructions that are not here', async () => {
    const engine = NativeEngine.create(model);
    const scores = new Int32Array(model.classes.length);
    expect(() => engine.run(new Uint8Array(images[0]!.length + 1), scores)).toThrow(/expected \d+ bytes/);
    expect(() => engine.run(images[0]!, new Int32Array(model.classes.length + 1))).toThrow(/another length/);
    await expect(engine.runBatch(images[0]!, 2)).rejects.toThrow(/expected 2 images/);
    expect(() => NativeEngine.create(model, { kernels: 'mmx' })).toThrow(/engine native: this processor/);
  });

  it('refuses a model that is not valid, and one that needs too much memory', () => {
    expect(() => NativeEngine.create({ ...model, kernels: model.kernels.slice(1) })).toThrow(
      'expected 2 kernel layers, got 1',
    );
    const slices = [{ channel: 0, bit: 7 }];
    const large = (side: number) =>
      randomModel(1, {
        input: { height: side, width: side, channels: 1, encoding: 'bit-slices', slices, shifts: [0] },
        layers: parseArchitecture('1C3-1C3-1C3S4-1C3S4-2FC'),
      });
    expect(() => NativeEngine.create(large(500))).not.toThrow();
    expect(() => NativeEngine.create(large(4096))).toThrow('engine native: it needs too much memory');
  });
});
