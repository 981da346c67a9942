/** Place values: what the slices of each code add up to. */
import { allSlices, codeTable, type InputCode, inputMagnitudes, parseSlices } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { inputSpec } from '../train/config.js';
import { type FirstLayer, type Plan, placeFactors } from './plan.js';

function planOf(code: InputCode | undefined, firstLayer: FirstLayer, slices = allSlices(1)): Plan {
  const input = { height: 8, width: 8, channels: 1, encoding: '8-bit' as const, stretch: null };
  const sliced = { ...input, encoding: 'bit-slices' as const, slices: [...slices], ...(code && { code }) };
  const slicing = 'place-value';
  return {
    input: inputSpec({ input: sliced, slicing, firstLayer }),
    layers: [],
    technique: 'bnn',
    slicing,
    firstLayer,
    loss: 'cross-entropy',
  };
}

/** What the eight slices of `byte` add up to. */
const added = (byte: number, place: ArrayLike<number>): number =>
  Array.from({ length: 8 }, (_, bit) => ((byte >> bit) & 1 ? 1 : -1) * place[bit]!).reduce(
    (a, b) => a + b,
    0,
  );

describe('slices with their place values', () => {
  it('add up to the value in plain binary', () => {
    const place = placeFactors(planOf(undefined, 'integer'))!;
    for (const value of [0, 1, 77, 128, 255])
      expect(added(value, place)).toBeCloseTo((2 * value - 255) / 255, 6);
  });

  it('add up to the level of a thermometer', () => {
    const place = placeFactors(planOf('thermometer', 'real'))!;
    for (const value of [0, 15, 16, 77, 128, 255])
      expect(added(codeTable('thermometer')[value]!, place)).toBe(Math.round(value / 32) / 4 - 1);
  });

  it.each([undefined, 'gray', 'thermometer'] as const)(
    'are shifts of a binary first layer: %s code',
    (code) => {
      const slices = parseSlices('0:1,0:6-7', 1);
      const plan = planOf(code, 'binary', slices);
      expect([...placeFactors(plan)!]).toEqual(inputMagnitudes(plan.input));
      const all = placeFactors(planOf(code, 'integer'))!;
      const some = placeFactors(planOf(code, 'integer', slices))!;
      expect([...some]).toEqual(slices.map(({ bit }) => all[bit]));
      expect(all.reduce((sum, factor) => sum + factor, 0)).toBeCloseTo(1, 6);
    },
  );
});
