/** The library example of the README, run as written but smaller, through sensitivity, compaction and the report. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import {
  analyzeSensitivity,
  choosePruning,
  compact,
  loadRunImages,
  openEngine,
  prepareRun,
  readModel,
  reportRun,
  runSensitivity,
  trainRun,
  verifyRun,
} from './index.js';
import { VERSION } from './version.js';

const folder = mkdtempSync(join(tmpdir(), 'cbnn-library-'));
const path = join(folder, 'run');
const options = {
  data: 'signs',
  dataDir: folder,
  limit: 600,
  validation: 200,
  architecture: '6C3-MP2-8C3-MP2-12FC',
  epochs: 2,
  batch: 20,
  code: 'thermometer',
  slices: 'top4',
  stretch: 'off',
  threads: 1,
} as const;
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('trains, analyses, compacts and reports', async () => {
  const run = await prepareRun(options);
  const losses: number[] = [];
  const { validationError } = await trainRun(run.config, run, path, folder, {
    onProgress: ({ loss }) => losses.push(loss),
  });
  expect(losses.at(-1)).toBeLessThan(losses[5]!);

  const model = readModel(path);
  const engine = await openEngine(model, 1);
  const sensitivity = await analyzeSensitivity(model, engine, run.validation, run.dataset.title, {
    seeds: 1,
  });
  await engine.close();
  expect(sensitivity.code).toBe('thermometer');
  // Coded once each: by training, packing and the analysis.
  for (const error of [sensitivity.cleanError, model.provenance.validationError])
    expect(error).toBeCloseTo(validationError);
  expect(sensitivity.points.filter(({ scope }) => scope === 'slice')).toHaveLength(4);
  expect(choosePruning(sensitivity, 100).keep).toHaveLength(3);

  const compaction = await compact(path, run.config, run, sensitivity, {
    maxDrop: 100,
    acceptance: 'estimate',
    maxTries: 2,
    epochs: 1,
  });
  expect(compaction.tries).toHaveLength(2);
  expect(compaction.chosen).not.toBeNull();
  expect(compaction.test?.images).toBe(run.dataset.test.count);
  const told: string[] = [];
  const page = await reportRun(path, run.config, run, {
    onProgress: (stage, done, total) => told.push(`${stage} ${done}/${total}`),
  });
  const { count } = run.validation;
  expect(told).toContain(`images, baseline ${count}/${count}`);
  expect(told).toContain(`images, compact ${count}/${count}`);
  expect(told.at(-1)).toBe('figures 4/4');
  expect(readFileSync(page, 'utf8')).toMatch(/--code thermometer[\s\S]*<\/html>/);
  expect(existsSync(join(path, 'figures', 'compaction-bytes.png'))).toBe(true);
});

it('stops in the middle of the trial of the contrast stretch', async () => {
  const controller = new AbortController();
  const stopped = prepareRun(
    { ...options, stretch: 'auto' },
    { signal: controller.signal, onNote: () => setTimeout(() => controller.abort()) },
  );
  await expect(stopped).rejects.toThrow('aborted');
});

it('stops in the middle of a sensitivity analysis, and goes on from there', async () => {
  const run = await loadRunImages(path);
  const whole = await runSensitivity(path, run, { seeds: 2, images: 100 });
  rmSync(join(path, 'sensitivity'), { recursive: true });
  const controller = new AbortController();
  const stopped = runSensitivity(path, run, {
    seeds: 2,
    images: 100,
    signal: controller.signal,
    onProgress: (done) => done === 5 && controller.abort(),
  });
  await expect(stopped).rejects.toThrow('aborted');
  const lines = () => readFileSync(join(path, 'sensitivity', 'measured.jsonl'), 'utf8').split('\n').length;
  const kept = lines();
  expect(kept).toBeGreaterThan(5);
  expect(await runSensitivity(path, run, { seeds: 2, images: 100 })).toEqual(whole);
  expect(lines()).toBeGreaterThan(kept);
});

it('stops in the middle of a verification', async () => {
  const { validation } = await loadRunImages(path);
  const controller = new AbortController();
  const done: number[] = [];
  // In this thread: workers need the built package (cli/program.test.ts has them).
  const stopped = verifyRun(path, validation, {
    workers: 0,
    signal: controller.signal,
    onProgress: (images) => {
      done.push(images);
      controller.abort();
    },
  });
  await expect(stopped).rejects.toThrow('aborted');
  expect(done).toEqual([50]);
});

it('names the version of its package', () => {
  const text = readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  expect((JSON.parse(text) as { version: string }).version).toBe(VERSION);
});
