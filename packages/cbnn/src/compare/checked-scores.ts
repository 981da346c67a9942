/**
 * Answers are checked before anything is timed: what executors of one network may differ by, and an internal error where they
 * differ by more.
 *
 * Integers agree to the bit. Float32 sums may have been added up in another order. Where activations are signs, one whose sum is next
 * to 0 may then turn, and the scores of that image with it: random XNOR-Nets on ONNX Runtime and on the native engine gave one image
 * in 2,000 to 6,000 other scores, one in 96 of the paper's network on images of 32 x 32. Each had a sum within 1.2e-7 of 0, beside the
 * root mean square of its layer, and all other images were within 3e-6.
 */
import { internalError } from '@cbnn/runtime';
import { isExact } from '../engines/stored-int8.js';
import { argmax } from '../predictions.js';
import type { StoredNetwork } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';

/** How far apart the scores of two executors may be. */
export interface Agreement {
  /** difference of scores, beside an image's largest */
  readonly tolerance: number;
  /** images that may be further apart: how many at most, and whether one of them may */
  readonly exceptions?: { readonly most: number; readonly allows: (image: number) => boolean };
}

export const EXACT: Agreement = { tolerance: 0 };

/** Of scores that are real numbers. */
const TOLERANCE = 1e-4;
/** Of those between signs that are the same: what the native engine is tested with against float64. */
const SIGNED_TOLERANCE = 2e-5;
/** A sign may turn that is as near to 0 as this, beside the root mean square of its layer. */
const NEAR = 1e-6;
/** Images of a batch in which one may. */
const MOST_TURNED = 8;
/** The same where nobody can tell how near: only ONNX Runtime runs those networks, and has not differed from itself. */
const MOST_UNPROVEN = 2;
/**
 * Fixed point with sums that float32 rounds: an activation may get the code beside its own. Scales moved by a rounding error moved
 * scores by 4.3 steps of the activations at most (random networks of 6 to 16 bits).
 */
const MOST_STEPS = 8;

/** What executors of `network` may differ by; `marginOf` an image: how near to 0 a sign came there; null: nobody knows. */
export function agreementOf(network: StoredNetwork, marginOf: ((image: number) => number) | null): Agreement {
  const { technique, precision } = network.plan;
  if (precision)
    return isExact(network) ? EXACT : { tolerance: MOST_STEPS * 2 ** (1 - precision.activations) };
  const { binarySums, binaryActivations } = techniques[technique];
  if (!binarySums && !binaryActivations) return { tolerance: TOLERANCE };
  return {
    tolerance: SIGNED_TOLERANCE,
    exceptions: marginOf
      ? { most: MOST_TURNED, allows: (image) => marginOf(image) < NEAR }
      : { most: MOST_UNPROVEN, allows: () => true },
  };
}

/** Throws an internal error unless `found` are the scores `[image][class]` that `of` gives, as far as they can be. */
export function checkScores(
  executor: string,
  of: string,
  expected: ArrayLike<number>,
  found: ArrayLike<number>,
  classes: number,
  { tolerance, exceptions }: Agreement,
): void {
  const images = found.length / classes;
  const far: number[] = [];
  let other = 0;
  for (let n = 0; n < images; n++) {
    let [difference, largest, isNumber] = [0, 0, true];
    for (let i = n * classes; i < (n + 1) * classes; i++) {
      isNumber &&= Number.isFinite(found[i]!);
      difference = Math.max(difference, Math.abs(found[i]! - expected[i]!));
      largest = Math.max(largest, Math.abs(expected[i]!));
    }
    if (isNumber && difference <= tolerance * largest) continue;
    far.push(isNumber ? n : -1);
    other += Number(argmax(found, n, classes) !== argmax(expected, n, classes));
  }
  if (far.length <= (exceptions?.most ?? 0) && far.every((n) => n >= 0 && exceptions!.allows(n))) return;
  throw internalError(
    `compare: ${executor} gives ${far.length} of ${images} images other scores than ${of}, and ${other} another class`,
  );
}
