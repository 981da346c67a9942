import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from './random.js';
import { errorInterval, normalQuantile, pairedInterval, tangoInterval } from './statistics.js';

describe('paired interval', () => {
  // [only A wrong, only B wrong, images, level, low, high]
  test.each([
    // airway hyper-responsiveness, Fagerland, Lydersen & Laake, Stat Methods Med Res 2014 (Bentur et al. 2009)
    [7, 1, 21, 0.95, -0.517, -0.026, 3],
    // output of R's PropCIs::scoreci.mp as published in three public repositories
    [20, 60, 1000, 0.95, 0.0231, 0.0584, 4],
    [60, 20, 1000, 0.95, -0.0584, -0.0231, 4],
    [25, 28, 618, 0.9, -0.0148, 0.0247, 4],
    [41, 48, 549, 0.9, -0.0157, 0.0414, 4],
  ])(
    'of %i against %i discordant images of %i at level %f is the published one',
    (a, b, n, level, low, high, digits) => {
      const interval = tangoInterval(a, b, n, level);
      expect(interval.difference).toBeCloseTo((100 * (b - a)) / n, 10);
      expect(interval.low / 100).toBeCloseTo(low, digits);
      expect(interval.high / 100).toBeCloseTo(high, digits);
    },
  );

  test('keeps its width when no image is in disagreement', () => {
    const z = normalQuantile(0.975);
    const { difference, low, high } = tangoInterval(0, 0, 1000);
    expect(difference).toBe(0);
    expect(high).toBeCloseTo((100 * z * z) / (1000 + z * z), 8);
    expect(low).toBeCloseTo(-high, 8);
  });

  test('reaches the ends of the scale when every image is in disagreement', () => {
    expect(tangoInterval(0, 50, 50).high).toBeCloseTo(100, 6);
    expect(tangoInterval(50, 0, 50).low).toBeCloseTo(-100, 6);
    expect(tangoInterval(50, 0, 50).high).toBeLessThan(0);
  });

  test('is near the normal interval when there are many discordant images', () => {
    const [a, b, n] = [900, 1000, 20000];
    const wald = (1.959964 * Math.sqrt(a + b - (b - a) ** 2 / n)) / n;
    const { low, high } = tangoInterval(a, b, n);
    expect(low).toBeCloseTo(100 * ((b - a) / n - wald), 2);
    expect(high).toBeCloseTo(100 * ((b - a) / n + wald), 2);
  });

  test('holds the difference, turns around with the roles, and widens with the level', () => {
    fc.assert(
      fc.property(fc.nat(60), fc.nat(60), fc.integer({ min: 0, max: 500 }), (a, b, agreed) => {
        fc.pre(a + b + agreed > 0);
        const n = a + b + agreed;
        const interval = tangoInterval(a, b, n);
        const mirrored = tangoInterval(b, a, n);
        expect(interval.low).toBeLessThanOrEqual(interval.difference + 1e-9);
        expect(interval.high).toBeGreaterThanOrEqual(interval.difference - 1e-9);
        expect(interval.high - interval.low).toBeGreaterThan(0);
        expect(mirrored.low).toBeCloseTo(-interval.high, 7);
        expect(mirrored.high).toBeCloseTo(-interval.low, 7);
        expect(tangoInterval(a, b, n, 0.99).high).toBeGreaterThanOrEqual(interval.high - 1e-9);
      }),
    );
  });

  test('holds the true difference about 95 times in 100', () => {
    const random = new Random(11);
    const [pa, pb, n] = [0.02, 0.03, 400];
    let held = 0;
    for (let trial = 0; trial < 2000; trial++) {
      let a = 0;
      let b = 0;
      for (let i = 0; i < n; i++) {
        const u = random.uniform();
        if (u < pa) a++;
        else if (u < pa + pb) b++;
      }
      const { low, high } = tangoInterval(a, b, n);
      if (low <= 100 * (pb - pa) && high >= 100 * (pb - pa)) held++;
    }
    expect(held / 2000).toBeGreaterThan(0.93);
    expect(held / 2000).toBeLessThan(0.97);
  });

  test('counts only the images on which the two disagree', () => {
    const wrongA = Uint8Array.of(1, 1, 0, 0, 0, 1);
    const wrongB = Uint8Array.of(1, 0, 1, 1, 0, 1);
    expect(pairedInterval(wrongA, wrongB)).toEqual(tangoInterval(1, 2, 6));
  });

  test('refuses different images', () => {
    expect(() => pairedInterval(new Uint8Array(3), new Uint8Array(4))).toThrow('expected two equal counts');
    expect(() => pairedInterval(new Uint8Array(0), new Uint8Array(0))).toThrow('above 0');
  });
});

describe('error interval', () => {
  // Newcombe, Stat Med 17, 1998, p. 857, table I: Wilson's interval without continuity correction
  test.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])('of %i wrong in %i is the published one', (wrong, images, low, high) => {
    const interval = errorInterval(wrong, images);
    expect(interval.error).toBeCloseTo((100 * wrong) / images, 10);
    expect(interval.low / 100).toBeCloseTo(low, 4);
    expect(interval.high / 100).toBeCloseTo(high, 4);
  });

  test('ends at 100 when everything is wrong', () => {
    expect(errorInterval(20, 20).high).toBe(100);
    expect(errorInterval(20, 20).low).toBeCloseTo(83.89, 2);
  });

  test('refuses more wrong images than there are', () => {
    expect(() => errorInterval(3, 2)).toThrow('expected 0..2');
    expect(() => errorInterval(0, 0)).toThrow('at least one image');
  });
});

test.each([
  [0.5, 0],
  [0.975, 1.959964],
  [0.995, 2.575829],
  [0.9, 1.281552],
  [0.025, -1.959964],
  [1e-9, -5.997807],
  [1e-12, -7.034484],
])('the normal quantile of %f is %f', (p, x) => {
  expect(normalQuantile(p)).toBeCloseTo(x, 5);
});
