/** Compactions asked again: with the same question nothing is trained anew, with another only what differs. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SensitivityResult } from '../sensitivity/result.js';
import { sensitivityOf } from '../sensitivity/run-sensitivity.js';
import { type PreparedRun, prepareRun } from '../train/prepare.js';
import { trainRun } from '../train/run.js';
import { type CompactOptions, compact } from './compact.js';
import type { CompactionResult } from './result.js';

const folder = mkdtempSync(join(tmpdir(), 'cbnn-compact-'));
const path = join(folder, 'run');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let run: PreparedRun;
let sensitivity: SensitivityResult;
beforeAll(async () => {
  run = await prepareRun({
    data: 'signs',
    dataDir: folder,
    limit: 400,
    validation: 100,
    architecture: '6C3-MP2-8C3-MP2-16FC-12FC',
    epochs: 1,
    batch: 20,
    stretch: 'off',
    threads: 1,
  });
  await trainRun(run.config, run, path, folder);
  sensitivity = await sensitivityOf(path, run, { seeds: 1 });
});

/** Result, and how many tries trained at least a step. */
async function ask(options: CompactOptions): Promise<{ result: CompactionResult; trained: number }> {
  const numbers = new Set<number>();
  const result = await compact(path, run.config, run, sensitivity, {
    maxDrop: 100,
    acceptance: 'estimate',
    maxTries: 3,
    epochs: 1,
    ...options,
    onProgress: (event) => event.kind === 'training' && numbers.add(event.number),
  });
  return { result, trained: numbers.size };
}

it('continues after a stop, and asked again trains nothing', async () => {
  const controller = new AbortController();
  let tried = 0;
  await expect(
    compact(path, run.config, run, sensitivity, {
      maxDrop: 100,
      acceptance: 'estimate',
      maxTries: 3,
      epochs: 1,
      signal: controller.signal,
      onProgress: (event) => event.kind === 'tried' && ++tried === 2 && controller.abort(),
    }),
  ).rejects.toThrow(/abort/i);
  const first = await ask({});
  expect(first.trained).toBe(1);
  expect(first.result.tries).toHaveLength(3);
  expect(first.result.finished).toBe(false);
  const again = await ask({});
  expect(again.trained).toBe(0);
  expect(again.result).toEqual(first.result);
});

it('trains anew what another question asks for, and keeps the rest', async () => {
  const { tries } = (await ask({})).result;
  const other = await ask({ maxDrop: 99 });
  expect(other.trained).toBe(0);
  const longer = await ask({ epochs: 2 });
  expect(longer.trained).toBe(3);
  const runs = new Set([...tries, ...longer.result.tries].map((t) => t.run));
  expect(runs.size).toBe(6);
  expect(readdirSync(join(path, 'compact')).filter((name) => name.startsWith('try-'))).toHaveLength(6);
});

it('never trains one network twice under two names', async () => {
  const small = join(folder, 'small');
  const plain = await prepareRun({
    data: 'signs',
    dataDir: folder,
    limit: 400,
    validation: 100,
    architecture: '3C3-MP4-12FC',
    epochs: 1,
    batch: 20,
    slices: 'top1',
    stretch: 'off',
    threads: 1,
  });
  await trainRun(plain.config, plain, small, folder);
  const found = await compact(small, plain.config, plain, await sensitivityOf(small, plain, { seeds: 1 }), {
    maxDrop: 100,
    acceptance: 'estimate',
    epochs: 1,
  });
  expect(found.finished).toBe(true);
  const networks = found.tries.map((t) => `${t.architecture} ${t.slices.length}`);
  expect(new Set(networks).size).toBe(networks.length);
  // No hidden dense layer: only the convolution can shrink.
  expect(networks).toEqual(['2C3-MP4-12FC 3', '1C3-MP4-12FC 3']);
});
