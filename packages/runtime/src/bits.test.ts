import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packRows, popcount32, rowBytes, unpackRows } from './bits.js';

describe('packRows', () => {
  it('puts the first value into the least significant bit and pads each row with zeros', () => {
    const row = [1, -1, -1, 1, -1, -1, -1, -1, 1, 1];
    expect([...packRows([...row, ...row.map((v) => -v)], 2, 10)]).toEqual([0b1001, 0b11, 0b11110110, 0b00]);
  });

  it('takes zero as +1', () => {
    expect([...packRows([0, -0.5], 1, 2)]).toEqual([1]);
  });

  it('is undone by unpackRows for any size', () => {
    const size = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(size, size, fc.infiniteStream(fc.constantFrom(1, -1)), (rows, columns, stream) => {
        const values = Int8Array.from([...stream.take(rows * columns)]);
        const bits = packRows(values, rows, columns);
        expect(bits.length).toBe(rows * rowBytes(columns));
        expect(unpackRows(bits, rows, columns)).toEqual(values);
      }),
    );
  });
});

it('popcount32 counts the ones of any word', () => {
  fc.assert(
    fc.property(fc.integer(), (word) => {
      expect(popcount32(word)).toBe([...(word >>> 0).toString(2)].filter((digit) => digit === '1').length);
    }),
  );
  expect(popcount32(-1)).toBe(32);
});
