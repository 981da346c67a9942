/** The contrast stretch is chosen where it helps and only there: images made so that one of the two cannot be learned. */
import { expect, it } from 'vitest';
import type { Dataset, ImageSet } from '../data/dataset.js';
import { splitValidation } from '../data/split.js';
import { Random } from '../random.js';
import { chooseStretch } from './choose-stretch.js';
import { buildConfig, DEFAULT_STRETCH } from './options.js';

const SIDE = 8;

/** Two classes; `value` of a pixel that lies in the left half of the map or not. */
function twoClasses(
  count: number,
  value: (label: number, left: boolean, random: Random) => number,
): ImageSet {
  const random = new Random(3);
  const labels = Uint16Array.from({ length: count }, (_, n) => n % 2);
  return {
    count,
    height: SIDE,
    width: SIDE,
    channels: 1,
    pixels: Uint8Array.from({ length: count * SIDE * SIDE }, (_, i) =>
      value(labels[Math.floor(i / (SIDE * SIDE))]!, i % SIDE < SIDE / 2, random),
    ),
    labels,
  };
}

async function choice(value: Parameters<typeof twoClasses>[1]) {
  const dataset: Dataset = {
    name: 'halves',
    title: 'Halves',
    classes: ['0', '1'],
    train: twoClasses(600, value),
    test: twoClasses(20, value),
    split: 'stratified',
    validationShare: 0.2,
    augmentation: { mirror: false, shift: 0 },
  };
  const split = splitValidation(dataset, { seed: 1 });
  const options = { data: '.', dataDir: '.', architecture: '6C3-MP2-8FC-2FC', slices: 'top4', threads: 1 };
  const told: [number, number][] = [];
  const config = buildConfig(options, dataset, split, 'cpu');
  const found = await chooseStretch(config, split, DEFAULT_STRETCH, {
    onProgress: (done, total) => told.push([done, total]),
  });
  // Two trainings of 3 epochs, and the end of each.
  const steps = 6 * Math.floor(split.train.count / config.batch);
  expect(told).toHaveLength(steps + 2);
  expect(told[0]).toEqual([0, steps]);
  expect(told.at(-1)).toEqual([steps, steps]);
  return found;
}

it('is taken where dark images have their content in the lowest bits, which the network does not see', async () => {
  const found = await choice((label, left, random) => random.below(3) + (left === (label === 1) ? 8 : 0));
  expect(found.errorWithout).toBeGreaterThan(30);
  expect(found.errorWith).toBeLessThan(5);
  expect(found.stretch).toEqual(DEFAULT_STRETCH);
});

it('is left out where the brightness of the whole image tells its class', async () => {
  const found = await choice((label, _, random) => random.below(64) + (label === 1 ? 160 : 0));
  expect(found.errorWithout).toBeLessThan(5);
  expect(found.errorWith).toBeGreaterThan(30);
  expect(found.stretch).toBeNull();
});
