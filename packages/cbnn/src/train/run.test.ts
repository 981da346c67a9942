/** Runs that are opened again: the same images on both sides of the split, or a refusal. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { plainPng } from '../data/testing/pictures.js';
import { smallImages } from '../data/testing/small-images.js';
import { temporaryFolder, writeFiles } from '../data/testing/temporary-folder.js';
import type { RunOptions } from './options.js';
import { contradiction, prepareRun } from './prepare.js';
import { checkFinished, checkPacked, loadRunImages, trainRun } from './run.js';
import { RunFolder } from './run-folder.js';

const small = (data: string): RunOptions => ({
  data,
  dataDir: 'nowhere',
  size: 8,
  architecture: '4C3-MP2-3FC',
  epochs: 1,
  stretch: 'off',
  threads: 1,
});

it('reopens with the very images on each side that it was trained on', async () => {
  const folder = temporaryFolder();
  const data = smallImages(folder);
  const path = join(folder, 'run');
  for (const options of [{}, { validation: 6 }, { validation: 11 }, { testShare: 0.5 }]) {
    rmSync(path, { recursive: true, force: true });
    const run = await prepareRun({ ...small(data), ...options });
    await trainRun(run.config, run, path, 'nowhere');
    const again = await loadRunImages(path);
    expect(again.config).toEqual(run.config);
    expect(again.train).toEqual(run.train);
    expect(again.validation).toEqual(run.validation);
  }
});

it('does not reopen with images that have changed', async () => {
  const folder = temporaryFolder();
  const data = smallImages(folder);
  const path = join(folder, 'run');
  const run = await prepareRun(small(data));
  await trainRun(run.config, run, path, 'nowhere');
  for (let i = 0; i < 30; i++) writeFiles(data, { [`a/${i}.png`]: plainPng(255, 8 * i, 7) });
  await expect(loadRunImages(path)).rejects.toThrow(/are not those it was trained on/);
});

it('says which option a stored run contradicts, and takes what was left out from it', async () => {
  const folder = temporaryFolder();
  const data = smallImages(folder);
  const run = await prepareRun({ ...small(data), epochs: 3, slices: 'top4', rate: 0.02 });
  const against = (options: Partial<RunOptions>) =>
    contradiction(run.config, { data, dataDir: 'nowhere', ...options } as RunOptions, run);
  const architecture = '4C3-MP2-3FC';
  expect(against({ architecture })).toBeNull();
  expect(against({ ...small(data), epochs: 3, slices: 'top4', rate: 0.02, stretch: 'auto' })).toBeNull();
  expect(against({ architecture, epochs: 4 })).toBe('epochs: 3 and 4');
  expect(against({ architecture: '5C3-MP2-3FC' })).toBe('architecture: 4C3-MP2-3FC and 5C3-MP2-3FC');
  expect(against({ architecture, width: 2 })).toBe('architecture: 4C3-MP2-3FC and 8C3-MP2-3FC');
  expect(against({ architecture, slices: 'top2' })).toMatch(/^slices: .* and /);
  expect(against({ architecture, stretch: 'on' })).toBe('stretch: off and on');
  expect(against({ architecture, rate: 0.01 })).toBe('rate: 0.02 and 0.01');
  expect(against({ architecture, testShare: 0.5 })).toBe('testShare: default and 0.5');
  expect(against({ architecture, seed: 2 })).toBe('seed: 1 and 2');
  expect(against({ architecture, code: 'binary' })).toBeNull();
  expect(against({ architecture, code: 'gray' })).toBe('code: binary and gray');
});

it('continues a run that began with another on slices without being told of them again', async () => {
  const folder = temporaryFolder();
  const data = smallImages(folder);
  const sliced = { input: 'bit-slices', slices: 'top4', slicing: 'equal', code: 'gray' } as const;
  const from = join(folder, 'float');
  const start = await prepareRun({ ...small(data), ...sliced, technique: 'float' });
  await trainRun(start.config, start, from, 'nowhere');
  const run = await prepareRun({ ...small(data), ...sliced, technique: 'ttq', from });
  const against = (options: Partial<RunOptions>) =>
    contradiction(run.config, { data, dataDir: 'nowhere', ...options } as RunOptions, run);
  expect(against({})).toBeNull();
  expect(against({ ...sliced, technique: 'ttq', from })).toBeNull();
  expect(() => against({ code: 'thermometer' })).toThrow('expected a run with code thermometer, got gray');
});

it('takes a batch that small sets have, and refuses one that they have not', async () => {
  const data = smallImages(temporaryFolder());
  const run = await prepareRun({ ...small(data), stretch: 'auto' });
  expect(run.config.batch).toBe(4);
  await expect(prepareRun({ ...small(data), batch: 64, stretch: 'auto' })).rejects.toThrow(
    /batch: expected at most the \d+ training images, got 64/,
  );
  await expect(prepareRun({ ...small(data), batch: 2 })).rejects.toThrow(/batch/);
});

it('refuses options that do not fit the images before it reads them', async () => {
  const data = smallImages(temporaryFolder());
  // Whoever reads this is told so.
  writeFiles(data, { 'a/0.png': Uint8Array.of(1, 2, 3) });
  const refusal = (options: Partial<RunOptions>) => prepareRun({ ...small(data), ...options });
  await expect(refusal({})).rejects.toThrow('a/0.png: expected a PNG');
  await expect(refusal({ architecture: '4C3-MP2-4FC' })).rejects.toThrow('expected an output layer of 3FC');
  await expect(refusal({ architecture: '4C3-MP16-3FC' })).rejects.toThrow(/pool/);
  await expect(refusal({ slices: '3:0-7' })).rejects.toThrow('expected a channel of 0..2, got 3');
  await expect(refusal({ slices: 'tops4' })).rejects.toThrow('got "tops4"; did you mean top4?');
  await expect(refusal({ technique: 'float', variations: ['recu'] })).rejects.toThrow(
    'with recu: ways to train bnn, not float',
  );
  await expect(refusal({ limit: 20, validation: 20 })).rejects.toThrow('validation: expected fewer images');
  await expect(refusal({ data: 'cifar-10' })).rejects.toThrow('did you mean cifar10?');
  await expect(refusal({ data: 'cifar10', size: undefined!, architecture: '4C3-43FC' })).rejects.toThrow(
    'expected an output layer of 10FC',
  );
});

it('opens only runs that are finished, and says so before it reads images', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'run');
  const run = await prepareRun({ ...small(smallImages(folder)), technique: 'float' });
  expect(() => checkPacked(path)).toThrow('no config.json there');
  new RunFolder(path).begin(run.config, false);
  expect(() => checkPacked(path)).toThrow('expected a finished run, got an interrupted one');
  await trainRun(run.config, run, path, 'nowhere', { resume: true });
  expect(() => checkFinished(path)).not.toThrow();
  expect(() => checkPacked(path)).toThrow('expected a run of technique bnn, got float');
});

it('refuses sums that training would round, before any work', async () => {
  const data = smallImages(temporaryFolder());
  const wide = { ...small(data), size: 32, input: '8-bit', architecture: '8FC-3FC' } as const;
  await expect(prepareRun(wide)).rejects.toThrow(/beyond the 2\^24/);
  await expect(prepareRun({ ...wide, firstLayer: 'binary' })).resolves.toBeDefined();
});

it('never trains another configuration in a run that is there', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'run');
  const run = await prepareRun(small(smallImages(folder)));
  await trainRun(run.config, run, path, 'nowhere');
  await expect(
    trainRun({ ...run.config, epochs: 2 }, run, path, 'nowhere', { resume: true }),
  ).rejects.toThrow(/another configuration \(epochs: 1 and 2\)/);
  rmSync(new RunFolder(path).config);
  await expect(trainRun(run.config, run, path, 'nowhere', { resume: true })).rejects.toThrow(
    /has a checkpoint but no config.json/,
  );
});

it('takes a known name for the data set, whatever lies in the working directory', async () => {
  const folder = temporaryFolder();
  writeFiles(folder, { 'signs/a/1.png': plainPng(1, 2, 3) });
  const before = process.cwd();
  process.chdir(folder);
  try {
    const run = await prepareRun({
      data: 'signs',
      dataDir: folder,
      limit: 200,
      architecture: '4C3-MP2-12FC',
      stretch: 'off',
    });
    expect(run.config.dataset.source).toBe('signs');
  } finally {
    process.chdir(before);
  }
});
