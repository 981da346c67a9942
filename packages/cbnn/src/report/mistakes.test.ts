import { expect, test } from 'vitest';
import type { ImageSet } from '../data/dataset.js';
import { spreadMistakes } from './mistakes.js';

/** Two grey pixels per image, both the image's number; sorted by class, ten images each. */
const images: ImageSet = {
  count: 50,
  height: 1,
  width: 2,
  channels: 1,
  pixels: Uint8Array.from({ length: 100 }, (_, i) => i >> 1),
  labels: Uint16Array.from({ length: 50 }, (_, n) => Math.floor(n / 10)),
};
const classes = ['a', 'b', 'c', 'd', 'e'];
/** Right for every second image, else the class after. */
const predictions = images.labels.map((label, n) => (n % 2 === 0 ? label : (label + 1) % 5));
const shown = (count: number) => spreadMistakes(images, predictions, classes, count);

test('mistakes of a set sorted by class are taken from all classes', () => {
  expect(shown(5).map(({ truth, predicted }) => `${truth}${predicted}`)).toEqual([
    'ab',
    'bc',
    'cd',
    'de',
    'ea',
  ]);
  expect(shown(5).map(({ picture }) => [...picture.pixels])).toEqual([1, 11, 21, 31, 41].map((n) => [n, n]));
});

test('all mistakes are shown where they are few, each once, and none where there are none', () => {
  const numbers = shown(99).map(({ picture }) => picture.pixels[0]);
  expect(numbers).toEqual(Array.from({ length: 25 }, (_, i) => 2 * i + 1));
  expect(spreadMistakes(images, images.labels, classes, 5)).toEqual([]);
});
