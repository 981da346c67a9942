import { expect, it } from 'vitest';
import { parseArchitecture } from '../architecture.js';
import { kernelShapes } from '../shapes.js';
import { countCost, faster, possible } from './choose.js';

const convolutions = (architecture: string, side: number, width = side) =>
  kernelShapes({ height: side, width, channels: 1 }, parseArchitecture(architecture)).filter(
    ({ index, kind }) => index > 0 && kind === 'conv',
  );

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
    expect(possible(shape)).toBe('counted');
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
