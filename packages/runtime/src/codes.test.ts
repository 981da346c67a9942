import { expect, it } from 'vitest';
import { codeNames, codeTable, thermometerThresholds } from './codes.js';
import { oracleBit } from './testing/plain-oracle.js';

const values = Array.from({ length: 256 }, (_, value) => value);
const ones = (byte: number): number => byte.toString(2).replaceAll('0', '').length;

it.each(codeNames)('the table of %s is what the specification says', (code) => {
  for (const value of values)
    for (let bit = 0; bit < 8; bit++)
      expect((codeTable(code)[value]! >> bit) & 1, `bit ${bit} of ${value}`).toBe(
        Number(oracleBit(value, bit, code)),
      );
});

it('Gray codes are all different, and neighbours differ in one bit', () => {
  const table = codeTable('gray');
  expect(new Set(table).size).toBe(256);
  for (const value of values.slice(1)) expect(ones(table[value]! ^ table[value - 1]!)).toBe(1);
});

it('a thermometer rises through nine levels, to the nearest multiple of 32', () => {
  for (const value of values) expect(ones(codeTable('thermometer')[value]!)).toBe(Math.round(value / 32));
});

it.each([
  [8, 32],
  [7, 32],
  [4, 64],
  [3, 64],
])('its top %d thresholds are %d apart', (top, step) => {
  const kept = thermometerThresholds.slice(8 - top).toSorted((a, b) => a - b);
  expect(new Set(kept.slice(1).map((threshold, i) => threshold - kept[i]!))).toEqual(new Set([step]));
});
