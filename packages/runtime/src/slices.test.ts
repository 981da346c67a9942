import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { InputSpec, Slice } from './model.js';
import { allSlices, compareSlices, formatSlices, packSlices, parseSlices, unpackSlices } from './slices.js';

const inputOf = (height: number, width: number, channels: number, slices: readonly Slice[]): InputSpec => ({
  height,
  width,
  channels,
  encoding: 'bit-slices',
  slices,
  shifts: slices.map(() => 0),
  stretch: null,
});

/** An image and any subset of its slices (also none and all). */
const cases = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 9 }))
  .chain(([height, width, channels]) =>
    fc.record({
      pixels: fc.uint8Array({ minLength: height * width * channels, maxLength: height * width * channels }),
      input: fc.subarray(allSlices(channels)).map((slices) => inputOf(height, width, channels, slices)),
    }),
  );

describe('the text of slices', () => {
  it.each([
    ['0:4-7,1:4-7,2:4-7', 'top4'],
    ['0:7,1:7,2:7', 'top1'],
    ['0:0-7,1:0-7,2:0-7', 'all'],
    ['0:0,0:2-3,2:7', '2:7,0:2-3,0:0'],
    ['0:1-2', '0:2,0:1'],
  ])('%s is what %s means', (canonical, text) => {
    expect(formatSlices(parseSlices(text, 3))).toBe(canonical);
  });

  it('reads back what it writes, for any subset', () => {
    fc.assert(
      fc.property(fc.subarray(allSlices(5), { minLength: 1 }), (slices) => {
        expect(parseSlices(formatSlices(slices), 5)).toEqual(slices);
      }),
    );
  });

  it.each([
    ['', /`` ?: expected `all`, `top4`, or parts like `0:4-7`/],
    ['alll', /`alll`: expected `all`, `top4`/],
    ['top9', /`top9`: expected `all`, `top4`/],
    ['top0', /`top0`: expected/],
    ['0:4-7,1:4_7', /`1:4_7`: expected/],
    ['3:4', /`3:4`: expected a channel of 0\.\.2, got 3/],
    ['0:4-8', /`0:4-8`: expected bits of 0\.\.7 \(0 = least significant\), got 8/],
    ['0:7-4', /`0:7-4`: expected the lower bit first; write `0:4-7`/],
    ['0:4-7,0:5', /`0:5`: bit 5 of channel 0 is there twice/],
  ])('refuses `%s`', (text, message) => {
    expect(() => parseSlices(text, 3)).toThrow(
      expect.objectContaining({ kind: 'config', message: expect.stringMatching(message) }),
    );
  });
});

describe('slicing an image', () => {
  it('orders slices by channel, then from the least significant bit (Fig 3)', () => {
    const input = inputOf(1, 1, 2, allSlices(2));
    expect([...unpackSlices(Uint8Array.of(0b1000_0001, 0b0000_0110), input)]).toEqual([
      1, -1, -1, -1, -1, -1, -1, 1, -1, 1, 1, -1, -1, -1, -1, -1,
    ]);
    expect([...packSlices(Uint8Array.of(0b1000_0001, 0b0000_0110), input)]).toEqual([0b0000_0110_1000_0001]);
  });

  it('rebuilds the pixels from all slices', () => {
    fc.assert(
      fc.property(cases, ({ pixels, input }) => {
        const whole = inputOf(input.height, input.width, input.channels, allSlices(input.channels));
        const area = input.height * input.width;
        const values = unpackSlices(pixels, whole);
        const rebuilt = pixels.map((_, i) => {
          const channel = i % input.channels;
          const p = Math.floor(i / input.channels);
          let sum = 0;
          for (let bit = 0; bit < 8; bit++) sum += 2 ** bit * values[(8 * channel + bit) * area + p]!;
          return (sum + 255) / 2;
        });
        expect(rebuilt).toEqual(pixels);
      }),
    );
  });

  it('gives the same bits unpacked and packed, for any subset of slices', () => {
    fc.assert(
      fc.property(cases, ({ pixels, input }) => {
        const area = input.height * input.width;
        const words = Math.ceil(input.slices.length / 32);
        const values = unpackSlices(pixels, input);
        const packed = packSlices(pixels, input);
        expect(values.length).toBe(area * input.slices.length);
        expect(packed.length).toBe(area * words);
        const expected = new Uint32Array(area * words);
        for (let i = 0; i < input.slices.length; i++)
          for (let p = 0; p < area; p++)
            if (values[i * area + p] === 1) expected[p * words + Math.floor(i / 32)]! += 2 ** (i % 32);
        expect(packed).toEqual(expected);
      }),
    );
  });

  it('keeps exactly the slices that were asked for', () => {
    fc.assert(
      fc.property(cases, ({ pixels, input }) => {
        const area = input.height * input.width;
        const whole = unpackSlices(
          pixels,
          inputOf(input.height, input.width, input.channels, allSlices(input.channels)),
        );
        const kept = unpackSlices(pixels, input);
        for (const [i, { channel, bit }] of input.slices.entries())
          expect(kept.subarray(i * area, (i + 1) * area)).toEqual(
            whole.subarray((8 * channel + bit) * area, (8 * channel + bit + 1) * area),
          );
      }),
    );
  });

  it('refuses an image of another size', () => {
    const input = inputOf(2, 3, 3, allSlices(3));
    for (const slice of [unpackSlices, packSlices])
      expect(() => slice(new Uint8Array(17), input)).toThrow(
        /pixels: expected 18 bytes \(2 high, 3 wide, 3 channels\), got 17/,
      );
  });
});

it('compareSlices sorts any order back', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(allSlices(3), { minLength: 24 }), (slices) => {
      expect(slices.sort(compareSlices)).toEqual(allSlices(3));
    }),
  );
});
