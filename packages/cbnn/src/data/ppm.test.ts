import { describe, expect, it } from 'vitest';
import { readPpm } from './ppm.js';
import { readDamaged } from './testing/damage.js';
import { writePpm } from './testing/pictures.js';

const pixels = Uint8Array.from({ length: 2 * 3 * 3 }, (_, i) => i * 14);
const file = (header: string, body: Uint8Array = pixels) => Buffer.concat([Buffer.from(header), body]);

describe('a P6 file', () => {
  it.each([
    ['a line per number', 'P6\n2\n3\n255\n'],
    ['all on one line', 'P6 2 3 255 '],
    ['comments', 'P6\n# made by hand\n2 # width\n3\n#\n255\n'],
    ['tabs and Windows line ends', 'P6\r\n2\t3\r\n255\n'],
    ['leading zeros', 'P6 02 003 255 '],
  ])('is read with %s', (_, header) => {
    const image = readPpm(file(header), 'x.ppm');
    expect(image).toMatchObject({ width: 2, height: 3 });
    expect([...image.pixels]).toEqual([...pixels]);
  });

  it('may begin its pixels with bytes that look like white space or a comment', () => {
    const body = Uint8Array.from([32, 35, 10]);
    expect([...readPpm(file('P6 1 1 255\n', body), 'x.ppm').pixels]).toEqual([32, 35, 10]);
  });

  it.each([
    ['', 'x.ppm: expected "P6" at byte 0'],
    ['P3\n2 3\n255\n', 'expected "P6" at byte 0'],
    ['P62 3\n255\n', 'white space before the width at byte 2'],
    ['P6 2 3 65535\n', 'expected maxval 255, got 65535'],
    ['P6 0 3 255\n', 'got 0x3'],
    ['P6 99999 3 255\n', 'expected sides of 1 to 16384 pixels, got 99999x3'],
    ['P6 2 x 255\n', 'expected the height at byte 5'],
    ['P6 2 4 255\n', 'expected 24 bytes of pixels from byte 11, got 18'],
  ])('is refused when it begins %j', (header, message) => {
    expect(() => readPpm(file(header), 'x.ppm')).toThrow(message);
  });

  it('is refused when a single byte is missing', () => {
    expect(() => readPpm(file('P6 2 3 255\n', pixels.subarray(1)), 'x.ppm')).toThrow(
      'expected 18 bytes of pixels from byte 11, got 17',
    );
  });

  it('never crashes its reader, however damaged', async () => {
    const bytes = writePpm(4, 4, new Uint8Array(48));
    const { errors } = await readDamaged(bytes, bytes.length, 500, (copy) => readPpm(copy, 'x.ppm'));
    expect(errors).toBeGreaterThanOrEqual(bytes.length);
  });
});
