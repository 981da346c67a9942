import { expect, test } from 'vitest';
import { fixedPointFormat } from './finished-network.js';

test.each([
  [8, 2 ** -6, 'Q1.6'],
  [16, 2 ** -15, 'Q0.15'],
  [4, 2 ** -9, 'Q-6.9'],
  [8, 2, 'Q8.-1'],
])('%d bits of step %d are %s', (bits, step, format) => {
  expect(fixedPointFormat(bits, step)).toBe(format);
});
