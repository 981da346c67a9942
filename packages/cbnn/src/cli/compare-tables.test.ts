import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { CompareResult } from '../compare/result.js';
import { comparisonTable, standingTable } from './compare-tables.js';

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

it('a finished comparison shows what every technique costs and takes', () => {
  const committed = new URL('../../../../docs/results/compare/cifar10.json', import.meta.url);
  const result: CompareResult = JSON.parse(readFileSync(committed, 'utf8'));
  const lines = comparisonTable(result).split('\n');
  const of = (name: string) =>
    lines.filter((line) => line.startsWith(`${name} `)).map((line) => line.split(/ {2,}/));
  const { test: error, bytes } = result.techniques.find(({ name }) => name === 'ttq')!;
  const float = result.techniques.find(({ name }) => name === 'float')!;
  const [costs, times] = of('ttq');
  expect(costs).toEqual([
    ...['ttq', '32', `${error.error.toFixed(2)} %`, `${error.low.toFixed(2)} to ${error.high.toFixed(2)}`],
    ...['2, 32', `${(bytes / 1000).toFixed(1)} KB`, `${(float.bytes / bytes).toFixed(1)}×`, '10.0 M', '0'],
  ]);
  expect(times).toHaveLength(5);
  expect(times!.at(-1)).toMatch(/float32/);
});
