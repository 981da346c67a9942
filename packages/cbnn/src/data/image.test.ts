import jpeg from 'jpeg-js';
import { describe, expect, it } from 'vitest';
import { decodeImage } from './image.js';
import { readDamaged } from './testing/damage.js';
import { plainPpm, writePng } from './testing/pictures.js';
import { withExif, writeTiff } from './testing/tiff-writer.js';

const ramp = { width: 5, height: 3, color: (x: number, y: number) => [x * 50, y * 100, 7, 255] as const };

function writeJpeg(width: number, height: number, value: (x: number, y: number) => number): Uint8Array {
  const data = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) data.fill(value(x, y), (y * width + x) * 4, (y * width + x) * 4 + 4);
  return jpeg.encode({ width, height, data }, 95).data;
}

function changed(bytes: Uint8Array, at: number, bits = 1): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= bits;
  return copy;
}

const half = (length: number): Uint8Array => writeJpeg(64, 64, (x, y) => x * y).slice(0, length);

describe('decodeImage', () => {
  it('reads RGB PNG files exactly', () => {
    const image = decodeImage(writePng(ramp), 'x.png');
    expect(image).toMatchObject({ width: 5, height: 3 });
    expect([...image.pixels.subarray(0, 6)]).toEqual([0, 0, 7, 50, 0, 7]);
    expect([...image.pixels.subarray(-3)]).toEqual([200, 200, 7]);
  });

  it('makes three equal colours of grey', () => {
    const png = writePng({ width: 2, height: 2, color: (x) => [x * 90, x * 90, x * 90, 255], colorType: 0 });
    expect([...decodeImage(png, 'x.png').pixels]).toEqual([0, 0, 0, 90, 90, 90, 0, 0, 0, 90, 90, 90]);
  });

  it.each([
    [255, 100],
    [0, 255],
    [51, 224],
    [5, 252],
  ])('lays transparent parts on white (alpha %d)', (alpha, expected) => {
    const png = writePng({ width: 1, height: 1, color: () => [100, 100, 100, alpha], colorType: 6 });
    expect([...decodeImage(png, 'x.png').pixels]).toEqual([expected, expected, expected]);
  });

  it('reads JPEG files, nearly', () => {
    const image = decodeImage(
      writeJpeg(17, 9, (x) => x * 12),
      'x.jpg',
    );
    expect(image).toMatchObject({ width: 17, height: 9 });
    for (let x = 0; x < 17; x++) expect(Math.abs(image.pixels[x * 3]! - x * 12)).toBeLessThan(8);
  });

  it.each([1, 3, 6, 8])('turns a JPEG upright that a camera marked with orientation %d', (value) => {
    // Stored: bright left half, dark right half.
    const stored = writeJpeg(32, 16, (x) => (x < 16 ? 255 : 0));
    const image = decodeImage(withExif(stored, writeTiff([{ tag: 0x0112, value }], value < 6)), 'x.jpg');
    const bright = (x: number, y: number) => image.pixels[(y * image.width + x) * 3]! > 127;
    const [right, bottom] = [image.width - 1, image.height - 1];
    expect([bright(0, 0), bright(right, 0), bright(0, bottom), bright(right, bottom)]).toEqual(
      {
        1: [true, false, true, false],
        3: [false, true, false, true],
        6: [true, true, false, false],
        8: [false, false, true, true],
      }[value],
    );
    expect(image).toMatchObject(value < 5 ? { width: 32, height: 16 } : { width: 16, height: 32 });
  });

  it('goes by what a file holds, not by its name', () => {
    expect(decodeImage(plainPpm(3, 2, 9), 'x.png')).toMatchObject({ width: 3, height: 2 });
  });

  it.each<[string, Uint8Array, string | RegExp]>([
    ['an empty file', new Uint8Array(0), 'got an empty file at byte 0'],
    ['a GIF', Buffer.from('GIF89a..'), 'expected a PNG, JPEG or P6 PPM picture, got bytes 4749463839612e2e'],
    ['half a PNG', writePng(ramp).slice(0, 60), /the chunk at byte 33 ends at byte \d+, the file at byte 60/],
    ['the start of a PNG', writePng(ramp).slice(0, 20), 'it ends at byte 20'],
    ['a PNG without its end', writePng(ramp).slice(0, -12), /do not unpack before byte \d+: /],
    [
      'a PNG with a bit changed',
      changed(writePng(ramp), 50),
      'the checksum of the chunk at byte 33 is wrong',
    ],
    ['half a JPEG header', half(100), /the segment at byte \d+ ends at byte \d+, the file at byte 100: /],
    ['a JPEG cut in its pixels', half(900), /in the pixels from byte \d+ to byte 900: /],
    ['a JPEG with a broken marker', changed(half(900), 20, 0xff), 'expected a marker at byte 20: '],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeImage(bytes, 'x')).toThrow(message);
  });

  it('refuses a PNG whose header asks for too much', () => {
    const png = Buffer.from(writePng(ramp));
    png.writeUInt32BE(2 ** 31 - 1, 16);
    expect(() => decodeImage(png, 'x.png')).toThrow('got 2147483647x3');
  });

  it.each([
    ['PNG', writePng(ramp)],
    ['grey PNG', writePng({ ...ramp, colorType: 0 })],
    ['JPEG', writeJpeg(9, 9, (x, y) => x * 20 + y * 5)],
    [
      'JPEG with EXIF',
      withExif(
        writeJpeg(9, 9, (x) => x * 20),
        writeTiff([{ tag: 0x0112, value: 6 }]),
      ),
    ],
    ['PPM', plainPpm(4, 4, 200)],
  ])('never crashes on a damaged %s', async (_, bytes) => {
    const { errors } = await readDamaged(bytes, bytes.length, 400, (copy) => decodeImage(copy, 'x'));
    expect(errors).toBeGreaterThan(10);
  });
});
