import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeNames } from './codes.js';
import { prepareImage, prepareInto } from './prepare.js';
import { oracleBit, oracleStretch } from './testing/plain-oracle.js';

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

describe('prepareImage', () => {
  it('agrees with order statistics of the sorted values', () => {
    fc.assert(
      fc.property(images, percentiles, (pixels, stretch) => {
        expect([...prepareImage(pixels, { stretch })]).toEqual(oracleStretch([...pixels], stretch));
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
    expect([...prepareImage(Uint8Array.from(pixels), { stretch })]).toEqual(expected);
  });

  it('codes what the stretch gave, with or without one', () => {
    fc.assert(
      fc.property(
        images,
        fc.option(percentiles),
        fc.constantFrom(undefined, ...codeNames),
        (pixels, stretch, code) => {
          const bytes = oracleStretch([...pixels], stretch).map((value) =>
            [0, 1, 2, 3, 4, 5, 6, 7].reduce(
              (sum, bit) => sum + (oracleBit(value, bit, code) ? 2 ** bit : 0),
              0,
            ),
          );
          expect([...prepareImage(pixels, { stretch, ...(code && { code }) })]).toEqual(bytes);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('copies when there is nothing to do, and always gives a new array', () => {
    const pixels = Uint8Array.of(3, 1, 2);
    const copy = prepareImage(pixels, { stretch: null });
    expect(copy).toEqual(pixels);
    copy[0] = 9;
    prepareImage(pixels, { stretch: { low: 0, high: 100 } });
    prepareImage(pixels, { stretch: null, code: 'gray' });
    expect([...pixels]).toEqual([3, 1, 2]);
  });

  it('does not mind an empty image', () => {
    expect(prepareImage(new Uint8Array(0), { stretch: { low: 1, high: 99 } }).length).toBe(0);
  });
});

describe('prepareInto', () => {
  it('works in place', () => {
    fc.assert(
      fc.property(images, percentiles, (pixels, stretch) => {
        const input = { stretch, code: 'thermometer' } as const;
        const expected = prepareImage(pixels, input);
        expect(prepareInto(pixels, input, pixels)).toBe(pixels);
        expect(pixels).toEqual(expected);
      }),
    );
  });

  it('refuses room of another size', () => {
    expect(() => prepareInto(new Uint8Array(3), null, new Uint8Array(4))).toThrow(
      /expected room for 3 values, got 4/,
    );
  });
});
