import { describe, expect, it } from 'vitest';
import { tiffOrientation, turnUpright } from './exif.js';
import { readDamaged } from './testing/damage.js';
import { type TiffTag, writeTiff } from './testing/tiff-writer.js';

const orientation = (value: number, little = true) =>
  tiffOrientation(writeTiff([{ tag: 0x0112, value }], little));

describe('tiffOrientation', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('finds %d, in either byte order', (value) => {
    expect(orientation(value, true)).toBe(value);
    expect(orientation(value, false)).toBe(value);
  });

  it('finds it among other tags', () => {
    const tags = [0x0100, 0x010f, 0x0112, 0x0128].map((tag) => ({ tag, value: tag === 0x0112 ? 6 : 3 }));
    expect(tiffOrientation(writeTiff(tags))).toBe(6);
    expect(tiffOrientation(writeTiff(tags.filter(({ tag }) => tag !== 0x0112)))).toBe(1);
  });

  it.each<[string, TiffTag]>([
    ['0', { tag: 0x0112, value: 0 }],
    ['9', { tag: 0x0112, value: 9 }],
    ['a number of another type', { tag: 0x0112, value: 6, type: 4 }],
    ['several numbers', { tag: 0x0112, value: 6, count: 2 }],
  ])('takes %s for upright', (_, tag) => {
    expect(tiffOrientation(writeTiff([tag]))).toBe(1);
  });

  it('takes what is no TIFF, or points outside itself, for upright', () => {
    const block = Buffer.from(writeTiff([{ tag: 0x0112, value: 6 }]));
    for (const offset of [block.length - 1, 0x7fffffff, 0xffffffff]) {
      block.writeUInt32LE(offset, 4);
      expect(tiffOrientation(block)).toBe(1);
    }
    expect(tiffOrientation(Buffer.from('II*'))).toBe(1);
    expect(tiffOrientation(Buffer.from('no TIFF at all'))).toBe(1);
  });

  it('always answers with 1 to 8', async () => {
    const block = writeTiff([1, 2, 0x0112].map((tag) => ({ tag, value: 8 })));
    const { results, errors } = await readDamaged(block, block.length, 8 * block.length, (copy) => {
      if (![1, 2, 3, 4, 5, 6, 7, 8].includes(tiffOrientation(copy))) throw new Error('no orientation');
    });
    expect([results, errors]).toEqual([9 * block.length, 0]);
  });
});

describe('turnUpright', () => {
  // As the standard words it: the visual side of the 0th row and that of the 0th column. Stored: ABC over DEF.
  it.each([
    [1, 'top, left', 'ABC DEF'],
    [2, 'top, right', 'CBA FED'],
    [3, 'bottom, right', 'FED CBA'],
    [4, 'bottom, left', 'DEF ABC'],
    [5, 'left, top', 'AD BE CF'],
    [6, 'right, top', 'DA EB FC'],
    [7, 'right, bottom', 'FC EB DA'],
    [8, 'left, bottom', 'CF BE AD'],
  ])('turns orientation %d (%s)', (value, _, expected) => {
    const colors = [...'ABCDEF'].map((letter) => letter.charCodeAt(0));
    const pixels = Uint8Array.from(colors.flatMap((color) => [color, color + 100, color + 50]));
    const upright = turnUpright({ width: 3, height: 2, pixels }, value);
    const rows = expected.split(' ');
    expect([upright.height, upright.width]).toEqual([rows.length, rows[0]!.length]);
    const letters = [...rows.join('')].map((letter) => letter.charCodeAt(0));
    expect([...upright.pixels]).toEqual(letters.flatMap((color) => [color, color + 100, color + 50]));
  });
});
