/** Runs that begin with another run's weights, or learn from its answers. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { smallImages } from '../data/testing/small-images.js';
import { temporaryFolder } from '../data/testing/temporary-folder.js';
import type { RunOptions } from './options.js';
import { contradiction, prepareRun } from './prepare.js';
import { readMetrics, trainRun } from './run.js';
import { RunFolder, readCheckpoint } from './run-folder.js';
import { startingState } from './start.js';
import { openTeacher } from './teacher.js';
import type { TrainingResult } from './train.js';

const CLASSES = 3;
const smallRun = (folder: string): RunOptions => ({
  data: smallImages(folder),
  dataDir: 'nowhere',
  size: 8,
  architecture: '6C3-MP2-8C3-MP2-3FC',
  epochs: 2,
  stretch: 'off',
  threads: 1,
});

async function trained(path: string, options: RunOptions): Promise<TrainingResult> {
  const run = await prepareRun(options);
  return trainRun(run.config, run, path, 'nowhere');
}

it('trains a bnn in two steps: its latent weights begin with the signs of the first', async () => {
  const folder = temporaryFolder();
  const small = smallRun(folder);
  const first = join(folder, 'first');
  await trained(first, { ...small, technique: 'binary-activations' });
  const second = join(folder, 'second');
  const { config, ...images } = await prepareRun({ ...small, from: first, rate: 1e-3 });
  const begin = startingState(config, new RunFolder(second))!;
  const before = readCheckpoint(new RunFolder(first).best).state;
  const latent = begin.get('layers.1.weights')!.data;
  expect([...latent].map(Math.sign)).toEqual([...before.get('layers.1.weights')!.data].map(Math.sign));
  const mean = latent.reduce((sum, w) => sum + Math.abs(w), 0) / latent.length;
  expect(mean).toBeGreaterThan(0.4);
  expect(Math.max(...latent.map(Math.abs))).toBeLessThanOrEqual(1);
  // Integers of the first layer are rounded from real weights, which stay.
  expect(begin.get('layers.0.weights')!.data).toEqual(before.get('layers.0.weights')!.data);
  expect(await trainRun(config, images, second, 'nowhere')).toMatchObject({ epochs: 2 });
  await expect(prepareRun({ ...small, from: second })).rejects.toThrow(
    'expected a run with technique binary-activations, got bnn',
  );
});

it('learns what a teacher answers', async () => {
  const folder = temporaryFolder();
  const small = smallRun(folder);
  const path = join(folder, 'teacher');
  await trained(path, { ...small, technique: 'float', stretch: 'on' });
  await expect(prepareRun({ ...small, teacher: path })).rejects.toThrow(
    'expected a run without the contrast',
  );
  await expect(prepareRun({ ...small, teacher: path, recipe: 'paper' })).rejects.toThrow('cross-entropy');
  await expect(prepareRun({ ...small, teacher: path, validation: 8, stretch: 'on' })).rejects.toThrow(
    'expected a run on the same training and validation images',
  );
  const run = await prepareRun({ ...small, teacher: path, stretch: 'auto' });
  // What is left out when it is resumed is what it has, and what its teacher must have.
  const again = (more: Partial<RunOptions>) =>
    contradiction(run.config, { data: small.data, dataDir: 'nowhere', size: 8, ...more }, run);
  expect(again({ teacher: path })).toBeNull();
  expect(again({})).toBeNull();
  expect(again({ variations: ['recu'] })).toBe('variations: default and recu');
  expect(run.config.input.stretch).not.toBeNull();

  const teacher = (await openTeacher(run.config))!;
  const { batch } = run.config;
  const size = run.train.pixels.length / run.train.count;
  const images = {
    count: batch,
    pixels: run.train.pixels.subarray(0, batch * size),
    labels: run.train.labels.subarray(0, batch),
  };
  const { targets } = await teacher.teach(images);
  await teacher.close();
  for (let n = 0; n < batch; n++) {
    const row = targets!.subarray(CLASSES * n, CLASSES * (n + 1));
    expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
    expect(Math.min(...row)).toBeGreaterThan(0);
  }

  const taught = join(folder, 'taught');
  await trainRun(run.config, run, taught, 'nowhere');
  const untaught = join(folder, 'untaught');
  const { teacher: _, ...alone } = run.config;
  await trainRun(alone, run, untaught, 'nowhere');
  expect(readMetrics(taught).at(-1)!.loss).not.toBe(readMetrics(untaught).at(-1)!.loss);

  appendFileSync(new RunFolder(path).best, 'x');
  await expect(openTeacher(run.config)).rejects.toThrow('its weights have changed');
  // A finished run needs its teacher no more.
  await expect(trainRun(run.config, run, taught, 'nowhere', { resume: true })).resolves.toBeDefined();

  const hinge = join(folder, 'hinge');
  await trained(hinge, { ...small, technique: 'float', recipe: 'paper' });
  await expect(prepareRun({ ...small, teacher: hinge })).rejects.toThrow('trained with cross-entropy');
});
