/** Which differences between executors pass, and which are noticed. */
import { describe, expect, it } from 'vitest';
import { openStoredNative } from '../engines/stored-native.js';
import { randomPixels, randomStored } from '../engines/testing/random-stored.js';
import { type Agreement, agreementOf, checkScores, EXACT } from './checked-scores.js';

const classes = 3;
const expected = Float32Array.from({ length: 32 * classes }, (_, i) => (i % classes === 0 ? 10 : i % 7));
/** In some images, from `start` on, the second class is raised by as much. */
const changed = (count: number, by: number, start = 0) =>
  expected.map((score, i) => {
    const image = Math.floor(i / classes) - start;
    return i % classes === 1 && image >= 0 && image < count ? score + by : score;
  });
const check = (found: Float32Array, agreement: Agreement) => () =>
  checkScores('it', 'others', expected, found, classes, agreement);
const ARCHITECTURE = '8C3-MP2-9C3-5FC';

describe('scores', () => {
  const real = agreementOf(randomStored('float', ARCHITECTURE), null);
  it.each([
    [0, 0, EXACT, true],
    [1, 1e-5, EXACT, false],
    [32, 0.0009, real, true],
    [1, 0.01, real, false],
    [1, Number.NaN, real, false],
  ])('%d images off by %d within %j: %s', (count, by, agreement, isFine) => {
    if (isFine) expect(check(changed(count, by), agreement)).not.toThrow();
    else
      expect(check(changed(count, by), agreement)).toThrow(
        /compare: it gives \d+ of 32 images other scores than others/,
      );
  });

  it('of signs may differ in few images, where a sign was next to 0', () => {
    // From image 20 on.
    const agreement = agreementOf(randomStored('xnor-net', ARCHITECTURE), (n) => (n >= 20 ? 1e-7 : 1e-5));
    expect(check(changed(32, 1e-4), agreement)).not.toThrow();
    expect(check(changed(8, 20, 20), agreement)).not.toThrow();
    expect(check(changed(9, 20, 20), agreement)).toThrow('9 of 32 images other scores than others, and 9');
    expect(check(changed(1, 0.001), agreement)).toThrow('1 of 32 images');
    expect(check(changed(2, 20, 19), agreement)).toThrow('2 of 32 images');
    expect(check(changed(1, Number.NaN, 20), agreement)).toThrow('1 of 32 images');
  });

  it('of signs may differ in two where nobody knows how near they were', () => {
    const agreement = agreementOf(randomStored('binary-activations', ARCHITECTURE), null);
    expect(check(changed(2, 20), agreement)).not.toThrow();
    expect(check(changed(3, 20), agreement)).toThrow('3 of 32 images');
  });

  it('of fixed point are exact, or within some steps of its activations', () => {
    const of = (bits: number) =>
      agreementOf(
        randomStored('fixed-point', ARCHITECTURE, { precision: { weights: bits, activations: bits } }),
        null,
      );
    expect(of(8)).toBe(EXACT);
    expect(check(changed(32, 0.002), of(16))).not.toThrow();
    expect(check(changed(1, 0.003), of(16))).toThrow('1 of 32 images');
  });
});

it('a margin is that of the value nearest to 0', async (context) => {
  const network = randomStored('xnor-net', ARCHITECTURE);
  const pixels = randomPixels(1);
  const native = await openStoredNative(network);
  if (!native) return context.skip();
  const before = native.margin(pixels);
  expect(before).toBeGreaterThan(1e-6);
  // The last channel of the first layer is always -1e-7.
  const [first, ...rest] = network.layers;
  const last = (value: number) => (old: number, i: number) => (i === 7 ? value : old);
  const near = { ...first!, scale: first!.scale.map(last(0)), beta: first!.beta.map(last(-1e-7)) };
  const other = await openStoredNative({ ...network, layers: [near, ...rest] });
  expect(other!.margin(pixels)).toBeLessThan(1e-6);
});
