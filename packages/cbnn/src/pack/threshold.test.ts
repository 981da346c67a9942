import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldScores, foldThreshold } from './threshold.js';

const f32 = Math.fround;
const real = (size: number) => fc.double({ min: -size, max: size, noNaN: true }).map(f32);

describe('a folded threshold', () => {
  it('gives the bit of batch norm and sign in float32 for every sum', () => {
    fc.assert(
      fc.property(real(60), real(2), real(3), fc.integer({ min: 1, max: 50 }), (mean, scale, beta, bound) => {
        const { threshold, inverted } = foldThreshold(mean, scale, beta, bound);
        for (let p = -bound; p <= bound; p++) {
          // The graph's order of operations: centre, scale (amplified), shift, compare.
          const gain = f32(scale * f32(1e20));
          const amplified = f32(f32(f32(p - mean) * gain) + f32(f32(beta * f32(1e20)) + 1));
          expect(p >= threshold !== inverted).toBe(amplified >= 0);
        }
      }),
    );
  });

  it.each([
    { mean: 2, scale: 0.5, beta: 0, bound: 9, threshold: 2, inverted: false, why: 'sign(0) is +1' },
    { mean: 2, scale: -0.5, beta: 0, bound: 9, threshold: 3, inverted: true, why: 'negative scale: p <= 2' },
    { mean: 0, scale: 0, beta: 1, bound: 9, threshold: -9, inverted: false, why: 'zero scale: always on' },
    { mean: 0, scale: 0, beta: -1, bound: 9, threshold: 10, inverted: false, why: 'zero scale: always off' },
    { mean: 100, scale: 1, beta: 0, bound: 9, threshold: 10, inverted: false, why: 'out of reach' },
  ])('is $threshold where $why', ({ mean, scale, beta, bound, threshold, inverted }) => {
    expect(foldThreshold(mean, scale, beta, bound)).toEqual({ threshold, inverted });
  });
});

describe('folded scores', () => {
  it('stay in int32 and order classes as the real scores do, up to rounding', () => {
    const row = fc.tuple(real(500), real(5), real(20));
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 2, maxLength: 6 }),
        fc.integer({ min: 1, max: 9000 }),
        (rows, bound) => {
          const [mean, scale, beta] = [0, 1, 2].map((i) => Float32Array.from(rows, (r) => r[i]!));
          const folded = foldScores(mean!, scale!, beta!, bound);
          const integer = (c: number, p: number) => p * folded.scale[c]! + folded.bias[c]!;
          const exact = (c: number, p: number) => (p - mean![c]!) * scale![c]! + beta![c]!;
          // What one unit of the integer scores is worth: the power of two that both were multiplied with.
          const largest = Math.max(
            ...rows.map(
              (_, c) => Math.abs(scale![c]!) * bound + Math.abs(beta![c]! - mean![c]! * scale![c]!),
            ),
            1e-30,
          );
          const unit = largest / 2 ** 29;
          for (const p of [-bound, -1, 0, 1, bound])
            for (let c = 0; c < rows.length; c++) {
              expect(Math.abs(integer(c, p))).toBeLessThan(2 ** 31);
              for (let d = 0; d < c; d++) {
                const apart = exact(c, p) - exact(d, p);
                // Rounding moves a score by at most (bound + 1) / 2 units.
                if (Math.abs(apart) > (bound + 2) * Math.max(unit, 2 ** -29))
                  expect(Math.sign(integer(c, p) - integer(d, p))).toBe(Math.sign(apart));
              }
            }
        },
      ),
    );
  });
});
