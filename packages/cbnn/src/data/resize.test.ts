import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RgbImage } from './ppm.js';
import { crop, resize } from './resize.js';

/** The pattern that the golden values below were made from, with Pillow 12.3: `image.resize(size, Image.BILINEAR)`. */
function pattern(width: number, height: number): RgbImage {
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) pixels[(y * width + x) * 3 + c] = x * 37 + y * 91 + c * 53 + x * y * 17;
  return { width, height, pixels };
}

describe('resize', () => {
  // biome-ignore format: tables of numbers
  it.each([
    [7, 5, 4, 3, [62, 115, 163, 131, 154, 150, 133, 156, 180, 172, 149, 81, 155, 147, 121, 143, 152, 146, 135, 98, 140, 93, 139, 138, 113, 103, 151, 125, 148, 103, 91, 144, 134, 144, 121, 127]],
    [7, 5, 2, 11, [59, 112, 165, 163, 163, 139, 77, 123, 164, 158, 160, 137, 123, 149, 160, 144, 151, 131, 160, 166, 154, 131, 140, 128, 164, 147, 140, 120, 118, 139, 169, 127, 126, 109, 96, 149, 136, 137, 131, 111, 128, 138, 104, 148, 136, 114, 161, 127, 109, 134, 130, 116, 150, 127, 125, 115, 121, 118, 128, 129, 131, 107, 118, 119, 119, 130]],
    [40, 50, 3, 2, [129, 131, 123, 129, 128, 125, 130, 125, 125, 126, 125, 130, 124, 127, 132, 125, 125, 129]],
  ])('turns %dx%d into %dx%d exactly as Pillow does', (width, height, toWidth, toHeight, expected) => {
    expect([...resize(pattern(width, height), toWidth, toHeight).pixels]).toEqual(expected);
  });

  it('enlarges as Pillow does', () => {
    const image = resize(pattern(7, 5), 9, 8);
    // The first and the last row of the golden picture.
    expect([...image.pixels.subarray(0, 27)]).toEqual([
      0, 53, 106, 25, 78, 131, 53, 106, 159, 82, 135, 188, 111, 164, 217, 140, 193, 246, 169, 222, 132, 197,
      165, 47, 222, 19, 72,
    ]);
    expect([...image.pixels.subarray(-27)]).toEqual([
      108, 161, 214, 178, 60, 113, 146, 57, 110, 85, 138, 134, 167, 220, 17, 50, 103, 99, 74, 127, 180, 156,
      124, 177, 226, 23, 76,
    ]);
  });

  const side = fc.integer({ min: 1, max: 40 });
  it('keeps a plain colour, whatever the sizes', () => {
    fc.assert(
      fc.property(side, side, side, side, fc.integer({ min: 0, max: 255 }), (w, h, toW, toH, value) => {
        const plain = { width: w, height: h, pixels: new Uint8Array(w * h * 3).fill(value) };
        expect(resize(plain, toW, toH).pixels.every((pixel) => pixel === value)).toBe(true);
      }),
    );
  });

  it('commutes with mirroring up to rounding', () => {
    const mirror = ({ width, height, pixels }: RgbImage): RgbImage => {
      const flipped = new Uint8Array(pixels.length);
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
          for (let c = 0; c < 3; c++)
            flipped[(y * width + x) * 3 + c] = pixels[(y * width + width - 1 - x) * 3 + c]!;
      return { width, height, pixels: flipped };
    };
    const image = pattern(19, 23);
    const one = resize(mirror(image), 8, 32).pixels;
    const other = mirror(resize(image, 8, 32)).pixels;
    expect(Math.max(...one.map((value, i) => Math.abs(value - other[i]!)))).toBeLessThanOrEqual(1);
  });

  it('returns an image of the wanted size as it is', () => {
    const image = pattern(5, 4);
    expect(resize(image, 5, 4).pixels).toBe(image.pixels);
  });
});

describe('crop', () => {
  it('takes the pixels of the region', () => {
    const cropped = crop(pattern(7, 5), 2, 1, 3, 2);
    expect(cropped).toMatchObject({ width: 3, height: 2 });
    const { pixels } = pattern(7, 5);
    expect([...cropped.pixels.subarray(0, 9)]).toEqual([...pixels.subarray((7 + 2) * 3, (7 + 5) * 3)]);
    expect([...cropped.pixels.subarray(9)]).toEqual([...pixels.subarray((14 + 2) * 3, (14 + 5) * 3)]);
  });
});
