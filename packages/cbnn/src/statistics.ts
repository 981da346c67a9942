/**
 * How sure an error rate, or a difference of two, is.
 *
 * One error rate: Wilson's score interval (E. B. Wilson, JASA 22, 1927, p. 209), which stays inside 0..100 % and has
 * a width above zero even when nothing is wrong.
 *
 * Two networks on the same images: what matters are the images on which they disagree. With
 *   b = images only B gets wrong, c = images only A gets wrong, n = all images,
 * the difference of the error rates (B - A) is (b - c) / n. Its interval is Tango's score interval (T. Tango,
 * Statistics in Medicine 17, 1998, p. 891): all differences d that the score test does not reject,
 *   |b - c - n d| <= z sqrt(n (2 q + d (1 - d))),
 * where q is the most likely probability of "only A wrong" under the hypothesis that the difference is d, the larger
 * root of 2n q^2 + B q + C = 0 with B = (2n - b + c) d - b - c and C = -c d (1 - d).
 * Unlike the normal (Wald) interval it does not shrink to a point when no image is in disagreement: with b = c = 0 it is
 * +-z^2 / (n + z^2). A set of images that could not have shown a difference is then not mistaken for proof of none.
 */
import { internalError } from '@cbnn/runtime';

export interface PairedInterval {
  /** error rate of B minus error rate of A, in percentage points */
  readonly difference: number;
  readonly low: number;
  readonly high: number;
}

export interface ErrorInterval {
  /** percent */
  readonly error: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Difference of the error rates of two networks (B - A) on the same images.
 * `wrongA[i]`, `wrongB[i]`: not 0 where image i is classified wrongly. `level` is two-sided, 0..1.
 */
export function pairedInterval(wrongA: Uint8Array, wrongB: Uint8Array, level = 0.95): PairedInterval {
  if (wrongA.length !== wrongB.length || wrongA.length === 0)
    throw internalError(
      `paired images: expected two equal counts above 0, got ${wrongA.length} and ${wrongB.length}`,
    );
  let onlyA = 0;
  let onlyB = 0;
  for (let i = 0; i < wrongA.length; i++) {
    if (wrongA[i] && !wrongB[i]) onlyA++;
    if (wrongB[i] && !wrongA[i]) onlyB++;
  }
  return tangoInterval(onlyA, onlyB, wrongA.length, level);
}

/** `pairedInterval` from the counts themselves: images only A gets wrong, only B gets wrong, and all images. */
export function tangoInterval(onlyA: number, onlyB: number, images: number, level = 0.95): PairedInterval {
  const z = normalQuantile((1 + level) / 2);
  const discordance = onlyB - onlyA;
  /** the score statistic; it falls as the hypothesis d rises */
  const score = (d: number): number => {
    const b = (2 * images - discordance) * d - onlyA - onlyB;
    const c = -onlyA * d * (1 - d);
    const q = (Math.sqrt(Math.max(0, b * b - 8 * images * c)) - b) / (4 * images);
    const variance = images * (2 * q + d * (1 - d));
    const excess = discordance - images * d;
    // at d = 0 without any discordant pair both are 0: nothing speaks against the hypothesis
    return excess === 0 ? 0 : excess / Math.sqrt(Math.max(variance, 0));
  };
  const difference = discordance / images;
  return {
    difference: 100 * difference,
    low: 100 * bisect((d) => score(d) - z, -1, difference),
    high: 100 * bisect((d) => score(d) + z, difference, 1),
  };
}

/** Wilson's interval of an error rate, in percent. */
export function errorInterval(wrong: number, images: number, level = 0.95): ErrorInterval {
  if (!(images > 0) || wrong < 0 || wrong > images)
    throw internalError(`error rate: expected 0..${images} wrong of at least one image, got ${wrong}`);
  const z = normalQuantile((1 + level) / 2);
  const rate = wrong / images;
  const shrink = 1 + (z * z) / images;
  const centre = (rate + (z * z) / (2 * images)) / shrink;
  const half = (z / shrink) * Math.sqrt((rate * (1 - rate)) / images + (z * z) / (4 * images * images));
  return {
    error: 100 * rate,
    // the clamps only remove rounding: at 0 and at 100 % the bound is exact
    low: wrong === 0 ? 0 : 100 * (centre - half),
    high: wrong === images ? 100 : 100 * (centre + half),
  };
}

/** The zero of a falling function between `low` and `high`, to the last bits. */
function bisect(f: (x: number) => number, low: number, high: number): number {
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (f(middle) > 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** x with P(normal <= x) = p, for 0 < p < 1: PPND7 of algorithm AS 241 (M. J. Wichura, 1988), 7 digits. */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw internalError(`probability: expected 0..1, exclusive, got ${p}`);
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    const numerator = ((59.10937472 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179;
    return (q * numerator) / (((67.1875636 * r + 78.757757664) * r + 17.895169469) * r + 1);
  }
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const x =
    r <= 5
      ? polynomial(r - 1.6, [0.17023821103, 1.3067284816, 2.75681539, 1.4234372777]) /
        polynomial(r - 1.6, [0.12021132975, 0.7370016425, 1])
      : polynomial(r - 5, [0.017337203997, 0.42868294337, 3.081226386, 6.657905115]) /
        polynomial(r - 5, [0.012258202635, 0.24197894225, 1]);
  return q < 0 ? -x : x;
}

/** Horner's rule, highest power first. */
const polynomial = (x: number, coefficients: readonly number[]): number =>
  coefficients.reduce((sum, coefficient) => sum * x + coefficient);
