import { afterEach, expect, it, vi } from 'vitest';
import { parseArchitecture } from '../architecture.js';
import { kernelShapes } from '../shapes.js';
import { countCost, faster } from './choose.js';

const convolutions = (architecture: string, side: number, width = side) =>
  kernelShapes({ height: side, width, channels: 1 }, parseArchitecture(architecture)).filter(
    ({ index, kind }) => index > 0 && kind === 'conv',
  );

const now = performance.now.bind(performance);
afterEach(() => vi.restoreAllMocks());

it('counts where tables are mostly wasted, and looks up where many outputs share them', () => {
  const [large] = convolutions('128C3-128C3-2FC', 32);
  const [small] = convolutions('128C3-128C3-2FC', 1);
  for (const cost of [0.6, 1.7, 4]) {
    expect(faster(large!, cost)).toBe('looked-up');
    expect(faster(small!, cost)).toBe('counted');
  }
  expect(faster(large!, 0.01)).toBe('counted');
  expect(faster(small!, 1000)).toBe('looked-up');
});

it('counts what has no room in tables, whatever it costs', () => {
  for (const shape of [...convolutions('1400C1-3C7-2FC', 9), ...convolutions('2C1-2C7-2FC', 7, 700)]) {
    expect(faster(shape, Number.POSITIVE_INFINITY)).toBe('counted');
    expect(faster(shape, 1000)).toBe('counted');
  }
});

it('measures once what a count costs, where that decides', async () => {
  const undecided = convolutions('64C3-MP4-64C3-2FC', 16);
  const cost = await countCost(undecided);
  expect(cost).toBeGreaterThan(0.05);
  expect(cost).toBeLessThan(50);
  expect(await countCost(undecided)).toBe(cost);
  expect(await countCost([])).not.toBe(cost);
});

it.each([
  ['stands still', () => () => 0],
  [
    'runs backwards',
    () =>
      (
        (time) => () =>
          time--
      )(0),
  ],
  ['has steps of 20 ms', () => () => 20 * Math.floor(now() / 20)],
])('is sound where the clock %s', async (_, clock) => {
  vi.resetModules();
  const fresh = await import('./choose.js');
  vi.spyOn(performance, 'now').mockImplementation(clock());
  const cost = await fresh.countCost(convolutions('64C3-MP4-64C3-2FC', 16));
  expect(cost).toBeGreaterThan(0.05);
  expect(cost).toBeLessThan(50);
});

it.each([Number.NaN, 0, Number.POSITIVE_INFINITY])(
  'never looks up what does not fit, at a cost of %d',
  (cost) => {
    const [long] = convolutions('1400C1-3C7-2FC', 9);
    expect(faster(long!, cost)).toBe('counted');
  },
);
