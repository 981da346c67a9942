import { expect, it } from 'vitest';
import { standingTable } from './compare-tables.js';

it('a comparison under way is a line for each contender', () => {
  const table = standingTable([
    { name: 'bnn', state: 'done', epochs: { done: 8, all: 8 }, validationError: 49.7 },
    { name: 'float', state: 'training', epochs: { done: 3, all: 8 }, validationError: 40 },
    { name: 'fixed-point+4-bit', state: 'waiting', epochs: null, validationError: null },
  ]);
  expect(table.split('\n')).toEqual([
    'technique          state     epochs  validation error',
    '─────────────────  ────────  ──────  ────────────────',
    'bnn                done         8/8           49.70 %',
    'float              training     3/8           40.00 %',
    'fixed-point+4-bit  waiting',
  ]);
});
