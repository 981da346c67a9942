import { expect, test } from 'vitest';
import type { ImageSet } from '../data/dataset.js';
import type { RunConfig } from '../train/config.js';
import { caveats } from './caveats.js';

const config = { epochs: 3, dataset: { limit: null } } as RunConfig;
const images = (count: number, groups?: number[]): ImageSet => ({
  count,
  height: 1,
  width: 1,
  channels: 1,
  pixels: new Uint8Array(count),
  labels: new Uint16Array(count),
  ...(groups && { groups: Uint32Array.from(groups) }),
});

test('intervals of images that come in groups are said to be too narrow', () => {
  const lines = (groups?: number[]) =>
    caveats(config, { train: images(2000), validation: images(4, groups) }, false);
  expect(lines([7, 7, 9, 9]).at(-1)).toMatch(/^the 4 validation images come in 2 groups .* too narrow$/);
  expect(lines([1, 2, 3, 4])).toEqual(['3 epochs on 2,000 training images, one seed']);
  expect(lines()).toEqual(lines([1, 2, 3, 4]));
});

test('a limit and the epochs of compacted networks are named', () => {
  const limited = { ...config, epochs: 1, dataset: { ...config.dataset, limit: 2500 } };
  expect(caveats(limited, { train: images(2000), validation: images(4) }, true)).toEqual([
    '1 epoch on 2,000 training images, one seed',
    'compacted networks continue from the baseline, so they have trained for more epochs in total',
    'training images limited to 2,500',
  ]);
});
