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
import type { GoldenFile } from '../testing/golden.js';
import { randomCase } from '../testing/random-model.js';
import { WebGpuEngine } from './engine.js';

/** Each takes a quarter of a second, most of it shaders being compiled; `CBNN_FUZZ=1` makes it hundreds. */
const MODELS = process.env['CBNN_FUZZ'] === '1' ? 300 : 25;

describe.skipIf(process.env['CBNN_TEST_WEBGPU'] !== '1')('the WebGPU engine', () => {
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
});
