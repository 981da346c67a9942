import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { gridContenders } from '../compare/contenders.js';
import type { CompareResult } from '../compare/result.js';
import { inputGridFigure } from './input-grid-figure.js';

const committed = new URL('../../../../docs/results/compare/gtsrb.json', import.meta.url);
const result: CompareResult = JSON.parse(readFileSync(committed, 'utf8'));

test('figure 6 shows error, bytes and milliseconds of every input and first layer', () => {
  const figure = inputGridFigure(result)!;
  const names = gridContenders(result.recipe);
  expect(new Set(names).size).toBe(6);
  for (const name of names) {
    const { test: error, times } = result.techniques.find((one) => one.name === name)!;
    expect(figure).toContain(`${error.error.toFixed(2)} %`);
    expect(figure).toContain(`(${error.low.toFixed(1)} to ${error.high.toFixed(1)})`);
    expect(figure).toContain(`${times[0]!.median.toPrecision(3)} ms`);
  }
  for (const heading of ['8-bit image', 'slices, place values', 'integer first layer', 'binary first layer'])
    expect(figure).toContain(heading);
});

test('there is no figure 6 where a comparison has not all of it', () => {
  for (const name of gridContenders(result.recipe))
    expect(
      inputGridFigure({ ...result, techniques: result.techniques.filter((one) => one.name !== name) }),
    ).toBeNull();
});
