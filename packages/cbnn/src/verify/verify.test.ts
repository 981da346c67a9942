/** The comparison itself: it finds nothing on an honest pair, and finds every kind of planted difference. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, encodeModel, type PackedModel } from '@cbnn/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { spreadImages } from '../data/dataset.js';
import { type PreparedRun, prepareRun } from '../train/prepare.js';
import { trainRun } from '../train/run.js';
import { verifyRun } from './verify.js';

const folder = mkdtempSync(join(tmpdir(), 'cbnn-verify-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each([
  ['integer first layer, stretched', { firstLayer: 'integer', stretch: 'on', slices: 'top4' }],
  ['binary first layer, place values in Gray code', { firstLayer: 'binary', stretch: 'off', code: 'gray' }],
  ['plain 8-bit image', { firstLayer: 'integer', stretch: 'off', input: '8-bit' }],
] as const)('%s', (name, options) => {
  const path = join(folder, name.replaceAll(/\W+/g, '-'));
  let run: PreparedRun;
  beforeAll(async () => {
    run = await prepareRun({
      ...options,
      data: 'signs',
      dataDir: folder,
      limit: 300,
      validation: 60,
      architecture: '16C3-16C3-MP2-9C3-MP2-16FC-12FC',
      epochs: 2,
      batch: 20,
      threads: 1,
    });
    await trainRun(run.config, run, path, folder);
  });

  it('has the same sums, bits and classes in training and packed', async () => {
    const images = spreadImages(run.dataset.test, 60);
    const found = await verifyRun(path, images, { workers: 0 });
    expect(found.images).toBe(60);
    expect(found.differentClasses).toBe(0);
    expect(found.layers.map(({ sums }) => sums)).toEqual(
      [1024 * 16, 256 * 16, 64 * 9, 16, 12].map((n) => n * 60),
    );
    for (const { bits, sums, differentSums, differentBits } of found.layers.slice(0, -1)) {
      expect(bits).toBe(sums);
      expect([differentSums, differentBits]).toEqual([0, 0]);
    }
    expect(found.layers.at(-1)).toMatchObject({ bits: 0, differentSums: 0 });
  });

  it('finds a threshold, a weight and a score that were tampered with', async () => {
    const file = join(path, 'model.safetensors');
    const honest = readFileSync(file);
    const images = spreadImages(run.validation, 20);
    const tampered = async (change: (model: PackedModel) => void) => {
      const model = structuredClone(decodeModel(honest));
      change(model);
      writeFileSync(file, encodeModel(model));
      const found = await verifyRun(path, images, { workers: 0 });
      writeFileSync(file, honest);
      return found;
    };
    const threshold = await tampered(({ kernels }) => {
      const [first] = kernels;
      if (first?.output === 'bits') first.thresholds.fill(0);
    });
    expect(threshold.layers[0]!.differentSums).toBe(0);
    expect(threshold.layers[0]!.differentBits).toBeGreaterThan(0);
    const weight = await tampered(({ kernels }) => {
      const { weights } = kernels[1]!;
      if (weights.type === 'binary') weights.bits[0]! ^= 1;
    });
    expect(weight.layers[0]).toMatchObject({ differentSums: 0, differentBits: 0 });
    expect(weight.layers[1]!.differentSums).toBeGreaterThan(0);
    const score = await tampered(({ kernels }) => {
      const last = kernels.at(-1)!;
      if (last.output === 'scores') last.scale.fill(0);
    });
    expect(score.layers.every((l) => l.differentSums + l.differentBits === 0)).toBe(true);
    expect(score.differentClasses).toBeGreaterThan(0);
  });
});
