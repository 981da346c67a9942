/** A report of a run that was never trained: a blank packed model, which gives every image the first class. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeModel, parseArchitecture } from '@cbnn/runtime';
import { parseHTML } from 'linkedom';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blankModel } from '../cost/testing/blank-model.js';
import type { Dataset, ImageSet } from '../data/dataset.js';
import { splitValidation } from '../data/split.js';
import { inputSpec } from '../train/config.js';
import { buildConfig } from '../train/options.js';
import { reportRun } from './run-report.js';

const CHANNELS = 2;
const folder = mkdtempSync(join(tmpdir(), 'cbnn-report-'));
const path = join(folder, 'run');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Sorted by class, in groups of five. */
const imageSet = (count: number): ImageSet => ({
  count,
  height: 4,
  width: 4,
  channels: CHANNELS,
  pixels: Uint8Array.from({ length: count * 16 * CHANNELS }, (_, i) => (i * 37) % 256),
  labels: Uint16Array.from({ length: count }, (_, n) => Math.floor((3 * n) / count)),
  groups: Uint32Array.from({ length: count }, (_, n) => Math.floor(n / 5)),
});
const dataset: Dataset = {
  name: 'blank',
  title: 'Blank images',
  classes: ['first', 'second', 'third'],
  train: imageSet(300),
  test: imageSet(30),
  split: 'stratified',
  validationShare: 0.5,
  augmentation: { mirror: false, shift: 0 },
};
const split = splitValidation(dataset, { seed: 1 });
const options = { data: folder, dataDir: folder, architecture: '4C3-3FC', slices: 'top2', threads: 1 };
const config = buildConfig(options, dataset, split, 'cpu');

beforeAll(() => {
  mkdirSync(path);
  const model = blankModel(inputSpec(config), parseArchitecture(config.architecture));
  writeFileSync(join(path, 'model.safetensors'), encodeModel(model));
  writeFileSync(join(path, 'config.json'), JSON.stringify(config));
});

test('a report that is stopped writes nothing', async () => {
  const signal = AbortSignal.abort();
  await expect(reportRun(path, config, { dataset, ...split }, { signal })).rejects.toThrow('aborted');
  expect(existsSync(join(path, 'report.html'))).toBe(false);
  expect(existsSync(join(path, 'figures'))).toBe(false);
});

test('a run without analyses has a page that says what it is and how it was made', async () => {
  const page = await reportRun(path, config, { dataset, ...split });
  const { document } = parseHTML(readFileSync(page, 'utf8'));
  const text = (selector: string) => document.querySelector(selector)!.textContent!;
  expect(text('#summary .number')).toContain('Validation accuracy33.33 %');
  expect(text('#summary .caveat')).toContain('the 150 validation images come in 30 groups');
  expect(text('#slices')).toMatch(/4 of 16 slices.*channel 0.*channel 1/s);
  expect(document.querySelectorAll('#mistakes li')).toHaveLength(24);
  const truths = [...document.querySelectorAll('#mistakes b')].map((one) => one.textContent);
  expect(truths.filter((truth) => truth === 'third')).toHaveLength(12);
  expect(text('#reproduction pre')).toBe(
    `cbnn train ${folder} --out ${path} --arch 4C3-3FC --slices 0:6-7,1:6-7 --stretch off --batch 12 --device cpu --threads 1\ncbnn report ${path}`,
  );
  expect(JSON.parse(text('#reproduction details pre'))).toEqual(config);
  expect(text('#missing')).toContain('cbnn sensitivity RUN');
  expect(readdirSync(join(path, 'figures'))).toEqual(['fig3-bit-slices.png', 'fig3-bit-slices.svg']);
});
