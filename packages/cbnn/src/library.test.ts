/** The library example of the README, run as written but smaller, through sensitivity, compaction and the report. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import {
  analyzeSensitivity,
  choosePruning,
  compact,
  openEngine,
  prepareRun,
  readModel,
  reportRun,
  trainRun,
} from './index.js';
import { VERSION } from './version.js';

const folder = mkdtempSync(join(tmpdir(), 'cbnn-library-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('trains, analyses, compacts and reports', async () => {
  const path = join(folder, 'run');
  const run = await prepareRun({
    data: 'signs',
    dataDir: folder,
    limit: 600,
    validation: 200,
    architecture: '6C3-MP2-8C3-MP2-12FC',
    epochs: 2,
    batch: 20,
    slices: 'top4',
    stretch: 'off',
    threads: 1,
  });
  const losses: number[] = [];
  await trainRun(run.config, run, path, folder, { onProgress: ({ loss }) => losses.push(loss) });
  expect(losses.at(-1)).toBeLessThan(losses[5]!);

  const model = readModel(path);
  const engine = await openEngine(model, 1);
  const sensitivity = await analyzeSensitivity(model, engine, run.validation, run.dataset.title, {
    seeds: 1,
  });
  await engine.close();
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
  const page = await reportRun(path, run.config, run);
  expect(readFileSync(page, 'utf8')).toContain('</html>');
  expect(existsSync(join(path, 'figures', 'compaction-bytes.png'))).toBe(true);
});

it('names the version of its package', () => {
  const text = readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  expect((JSON.parse(text) as { version: string }).version).toBe(VERSION);
});
