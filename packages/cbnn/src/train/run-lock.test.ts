/** One process at a time in a run's folder, and nothing stays locked behind one that was killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { smallImages } from '../data/testing/small-images.js';
import { temporaryFolder } from '../data/testing/temporary-folder.js';
import { prepareRun } from './prepare.js';
import { trainRun } from './run.js';
import { lockRun } from './run-lock.js';

/** A process that does nothing, until it is killed. */
async function idle() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(child, 'spawn');
  return child;
}

const lockedBy = (folder: string, pid: number, host = hostname()): string => {
  const file = join(folder, 'lock.json');
  writeFileSync(file, JSON.stringify({ pid, host }));
  return file;
};

it('locks a folder once, and unlocks it', () => {
  const folder = temporaryFolder();
  const unlock = lockRun(folder);
  expect(() => lockRun(folder)).toThrow('this process is training in it');
  unlock();
  expect(existsSync(join(folder, 'lock.json'))).toBe(false);
  lockRun(folder)();
});

it('refuses while the process that locked it lives, and takes over when it was killed', async () => {
  const folder = temporaryFolder();
  const child = await idle();
  lockedBy(folder, child.pid!);
  expect(() => lockRun(folder)).toThrow(`process ${child.pid} is training in it; wait for that`);
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockRun(folder)();
});

it.each([
  [
    'of this process number, by the one that had it before',
    JSON.stringify({ pid: process.pid, host: hostname() }),
  ],
  ['that was cut off', '{"pid":'],
  ['that is empty', ''],
])('takes over a lock %s', (_, text) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'lock.json'), text);
  lockRun(folder)();
});

it('knows of other machines by their signs of life alone, and says what to delete', () => {
  const folder = temporaryFolder();
  const file = lockedBy(folder, 1, 'elsewhere');
  expect(() => lockRun(folder)).toThrow(
    `process 1 on elsewhere is training in it; wait for that, or choose another --out (if it is gone, delete ${file})`,
  );
  const earlier = new Date(Date.now() - 120_000);
  utimesSync(file, earlier, earlier);
  lockRun(folder)();
});

it('gives signs of life for as long as it holds', () => {
  vi.useFakeTimers();
  const folder = temporaryFolder();
  const unlock = lockRun(folder);
  const file = join(folder, 'lock.json');
  utimesSync(file, 0, 0);
  vi.advanceTimersByTime(30_000);
  expect(statSync(file).mtimeMs).toBeGreaterThan(0);
  unlock();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

it('holds for a training, whether it ends well or not', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'run');
  const options = { data: smallImages(folder), dataDir: 'nowhere', size: 8, architecture: '4C3-3FC' };
  const run = await prepareRun({ ...options, epochs: 2, stretch: 'off', threads: 1 });
  const abort = new AbortController();
  const first = trainRun(run.config, run, path, 'nowhere', { signal: abort.signal });
  await expect(trainRun(run.config, run, path, 'nowhere', { resume: true })).rejects.toThrow(
    'this process is training in it',
  );
  abort.abort();
  await expect(first).rejects.toThrow();
  expect(existsSync(join(path, 'lock.json'))).toBe(false);
  await trainRun(run.config, run, path, 'nowhere', { resume: true });
  expect(existsSync(join(path, 'lock.json'))).toBe(false);
});
