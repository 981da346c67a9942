/**
 * The WebGPU engine against the reference engine, layer by layer. It runs where CBNN_TEST_WEBGPU is set (as .ci/run does where
 * there is a driver): a software adapter needs VK_ICD_FILENAMES.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseArchitecture } from '../architecture.js';
import type { PackedModel } from '../model.js';
import { decodeModel, encodeModel } from '../model-file.js';
import { load } from '../node/index.js';
import { runReference } from '../reference.js';
import { awkwardShapes } from '../testing/awkward-shapes.js';
import type { GoldenFile } from '../testing/golden.js';
import { hostileCase, MOST_MACS, macsOf } from '../testing/hostile.js';
import { Dice, randomCase, randomModel } from '../testing/random-model.js';
import { WebGpuEngine } from './engine.js';

/** Each takes a quarter of a second, most of it shaders being compiled; `npm run test:fuzz` makes it hundreds. */
const isLong = process.env['CBNN_FUZZ'] === '1';
const MODELS = isLong ? 300 : 25;
const HOSTILE = isLong ? 3000 : 100;

describe.skipIf(process.env['CBNN_TEST_WEBGPU'] !== '1')(
  'the WebGPU engine',
  { timeout: isLong ? 1_200_000 : 60_000 },
  () => {
    let gpu: GPU;
    beforeAll(async () => {
      const { create } = await import('webgpu');
      gpu = create([]) as GPU;
    });
    async function compare(model: PackedModel, images: readonly Uint8Array[]): Promise<void> {
      const engine = await WebGpuEngine.create(model, gpu);
      const expected = images.map((image) => runReference(model, image));
      const all = Uint8Array.from(images.flatMap((image) => [...image]));
      const scores = await engine.run(all, images.length);
      expect([...scores]).toEqual(expected.flatMap((one) => [...one.scores]));
      for (const [k, bits] of (await engine.hiddenBits()).entries())
        expect(Buffer.compare(bits, expected[0]!.trace[k]!.bits), `bits of layer ${k + 1}`).toBe(0);
      engine.close();
    }

    const golden = new URL('../../../../test/golden/', import.meta.url);
    it.each(readdirSync(golden).filter((file) => file.endsWith('.json')))('reproduces %s', async (file) => {
      const { cases }: GoldenFile = JSON.parse(readFileSync(new URL(file, golden), 'utf8'));
      const model = decodeModel(readFileSync(new URL(file.replace('.json', '.safetensors'), golden)));
      await compare(
        model,
        cases.map(({ pixels }) => Uint8Array.from(pixels)),
      );
    });

    it.each(Array.from({ length: MODELS }, (_, seed) => seed))(
      'equals the reference on random model %d',
      async (seed) => {
        const { model, images } = randomCase(seed, { maxMacs: 50_000 });
        await compare(model, images);
      },
    );

    it.each(awkwardShapes)('equals the reference on %s of %i x %i', async (architecture, height, width) => {
      const layers = parseArchitecture(architecture);
      const { model, images } = randomCase(height * width, { layers, input: { height, width } });
      await compare(model, images);
    });

    const results = new URL('../../../../docs/results/', import.meta.url);
    const trained = readdirSync(results, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.safetensors'),
    );
    it.each(trained)('equals the reference on %s', async (file) => {
      const model = decodeModel(readFileSync(new URL(file, results)));
      const { height, width, channels } = model.input;
      const dice = new Dice(1);
      await compare(model, [
        Uint8Array.from({ length: height * width * channels }, () => dice.range(0, 255)),
      ]);
    });

    it(`runs what is accepted of ${HOSTILE} hostile files as the reference does`, async () => {
      let run = 0;
      for (let seed = 0; seed < HOSTILE; seed++) {
        const accepted = hostileCase(seed);
        if (!accepted || macsOf(accepted.model) > MOST_MACS) continue;
        await compare(accepted.model, [accepted.image]);
        run++;
      }
      expect(run).toBeGreaterThan(0);
    });

    it('refuses what would need more memory than any engine takes', async () => {
      // A small file: nine maps of 64 MB.
      const layers = parseArchitecture(`${'16C1-'.repeat(9)}1C4S4V-1C4S4V-1C4S4V-2FC`);
      const model = randomModel(1, { layers, input: { height: 4096, width: 4096, channels: 3 } });
      await expect(WebGpuEngine.create(model, gpu)).rejects.toThrow(
        /engine webgpu: it needs \d+ bytes of memory/,
      );
    });

    it('takes more images than one submission, through load()', async () => {
      const layers = parseArchitecture('5C3-MP2-33C3-7FC-3FC');
      const { model, images } = randomCase(4, { layers, input: { height: 6, width: 5, channels: 3 } }, 35);
      const classifier = await load(encodeModel(model), { engine: 'webgpu' });
      expect(classifier.engine).toMatch(/^webgpu: ./);
      const found = await classifier.classifyBatch(images);
      expect(found.map(({ scores }) => [...scores])).toEqual(
        images.map((image) => [...runReference(model, image).scores]),
      );
      expect([...(await classifier.classify(images[7]!)).scores]).toEqual([...found[7]!.scores]);
      const engine = await WebGpuEngine.create(model, gpu, { images: 8 });
      const all = Uint8Array.from(images.flatMap((image) => [...image]));
      expect([...(await engine.run(all, images.length))]).toEqual(found.flatMap(({ scores }) => [...scores]));
      engine.close();
      await expect(classifier.classify(images[0]!.subarray(1))).rejects.toThrow('expected 1 of 90 bytes');
      classifier.close();
    });
  },
);
