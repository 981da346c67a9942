import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stretchImage, stretchInto } from './stretch.js';
import { oracleStretch } from './testing/plain-oracle.js';

const percentiles = fc
  .tuple(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 100 }))
  .filter(([a, b]) => a !== b)
  .map(([a, b]) => ({ low: Math.min(a, b), high: Math.max(a, b) }));

/** Wide, narrow and constant images of any length. */
const images = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }))
  .chain(([a, b]) =>
    fc.array(fc.integer({ min: Math.min(a, b), max: Math.max(a, b) }), { minLength: 1, maxLength: 400 }),
  )
  .map((values) => Uint8Array.from(values));

describe('stretchImage', () => {
  it('agrees with order statistics of the sorted values', () => {
    fc.assert(
      fc.property(images, percentiles, (pixels, stretch) => {
        expect([...stretchImage(pixels, stretch)]).toEqual(oracleStretch([...pixels], stretch));
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['spreads the range over 0..255, halves up', [10, 11, 12], { low: 0, high: 100 }, [0, 128, 255]],
    ['rounds down below a half', [0, 1, 3], { low: 0, high: 100 }, [0, 85, 255]],
    ['clamps what lies outside the percentiles', [0, 50, 60, 255], { low: 25, high: 75 }, [0, 0, 255, 255]],
    ['leaves a constant image as it is', [7, 7, 7], { low: 1, high: 99 }, [7, 7, 7]],
    ['leaves an image as it is whose percentiles meet', [9, 9, 9, 200], { low: 0, high: 50 }, [9, 9, 9, 200]],
    ['leaves a full-range image as it is', [0, 128, 255], { low: 0, high: 100 }, [0, 128, 255]],
  ])('%s', (_, pixels, stretch, expected) => {
    expect([...stretchImage(Uint8Array.from(pixels), stretch)]).toEqual(expected);
  });

  it('copies when there is no stretch, and always gives a new array', () => {
    const pixels = Uint8Array.of(3, 1, 2);
    const copy = stretchImage(pixels, null);
    expect(copy).toEqual(pixels);
    copy[0] = 9;
    stretchImage(pixels, { low: 0, high: 100 });
    expect([...pixels]).toEqual([3, 1, 2]);
  });

  it('does not mind an empty image', () => {
    expect(stretchImage(new Uint8Array(0), { low: 1, high: 99 }).length).toBe(0);
  });
});

describe('stretchInto', () => {
  it('works in place', () => {
    fc.assert(
      fc.property(images, percentiles, (pixels, stretch) => {
        const expected = stretchImage(pixels, stretch);
        expect(stretchInto(pixels, stretch, pixels)).toBe(pixels);
        expect(pixels).toEqual(expected);
      }),
    );
  });

  it('refuses room of another size', () => {
    expect(() => stretchInto(new Uint8Array(3), null, new Uint8Array(4))).toThrow(
      /expected room for 3 values, got 4/,
    );
  });
});
