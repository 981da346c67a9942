import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Random } from '../random.js';
import { readIdx } from './idx.js';
import { readDamaged } from './testing/damage.js';
import { counting, writeIdx } from './testing/idx-writer.js';

const good = writeIdx([3, 2, 4], counting(24));
const random = new Random(5);
/** what no compression makes smaller */
const noise = writeIdx(
  [9, 31, 32],
  new Uint8Array(9 * 31 * 32).map(() => random.below(256)),
);

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= 1;
  return copy;
}

describe('readIdx', () => {
  it.each([
    ['plain', good],
    ['gzipped', gzipSync(good)],
    ['gzipped in two parts', Buffer.concat([gzipSync(good.slice(0, 9)), gzipSync(good.slice(9))])],
  ])('reads a %s file', (_, file) => {
    const { dimensions, values } = readIdx(file, 'x');
    expect(dimensions).toEqual([3, 2, 4]);
    expect([...values]).toEqual([...counting(24)]);
  });

  it('reads the longest header from a gzipped file', () => {
    const dimensions = new Array<number>(255).fill(1);
    expect([...readIdx(gzipSync(writeIdx(dimensions, Uint8Array.of(7))), 'x').values]).toEqual([7]);
  });

  it.each<[string, Uint8Array, string | RegExp]>([
    [
      'too few values',
      writeIdx([3, 2, 4], counting(20)),
      'x: expected 24 values (3x2x4) from byte 16, got 20; the file is truncated',
    ],
    ['too many values', writeIdx([3, 2, 4], counting(25)), 'got 25; the file is too long'],
    [
      'too few values in a gzipped file',
      gzipSync(writeIdx([3, 2, 4], counting(20))),
      'x: expected 24 values (3x2x4) from byte 16, got 20; the file is truncated',
    ],
    ['an empty file', new Uint8Array(0), 'expected an IDX header of 4 bytes, got 0'],
    [
      'floats',
      Uint8Array.of(0, 0, 13, 3, 0, 0, 0, 0),
      'expected the IDX header 00 00 08 (uint8) and a rank at byte 0, got 00000d03',
    ],
    ['gzipped text', gzipSync(Buffer.from('some text')), 'and a rank at byte 0, got 736f6d65'],
    [
      'half a gzip file',
      gzipSync(good).slice(0, -9),
      `x: cannot be unpacked beyond byte ${gzipSync(good).length - 9} (unexpected end of file)`,
    ],
    [
      'a gzip file with one bit changed',
      flipped(gzipSync(noise), 4000),
      /cannot be unpacked beyond byte \d+ \(/,
    ],
  ])('refuses %s', (_, file, message) => {
    expect(() => readIdx(file, 'x')).toThrow(message);
  });

  it('says up to where a damaged gzip file can be unpacked', () => {
    // Stored blocks: what is damaged in the middle shows at the checksum in the end, a length at its place.
    const stored = gzipSync(noise, { level: 0 });
    expect(() => readIdx(flipped(stored, 8000), 'x')).toThrow(`beyond byte ${stored.length - 1 - 4} (`);
    expect(() => readIdx(flipped(stored, 11), 'x')).toThrow(/beyond byte (1[0-9]) \(/);
  });

  it('unpacks no more of a gzip file than its header claims', () => {
    // 64 MB of zeros in 64 kB, behind a header that claims 24 values.
    const bomb = gzipSync(writeIdx([3, 2, 4], new Uint8Array(2 ** 26)));
    expect(() => readIdx(bomb, 'x')).toThrow(
      'x: expected 24 values (3x2x4) from byte 16, got more at byte 40 of what it unpacks to; the file is too long',
    );
  });

  it('refuses a gzip file whose header claims too much', () => {
    const file = gzipSync(writeIdx([60_000, 2 ** 16, 2 ** 16], new Uint8Array(1000)));
    expect(() => readIdx(file, 'x')).toThrow(
      'x: expected at most 2147483648 values in a gzipped file, got a header at byte 0 that claims 257698037760000',
    );
  });

  it('never crashes on damaged files', async () => {
    const plain = await readDamaged(good, good.length, 500, (copy) => readIdx(copy, 'x'));
    expect(plain.errors).toBeGreaterThan(good.length);
    const packed = gzipSync(good);
    const { errors } = await readDamaged(packed, packed.length, 500, (copy) => readIdx(copy, 'x'));
    expect(errors).toBeGreaterThan(packed.length);
  });
});
