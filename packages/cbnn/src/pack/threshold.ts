/**
 * Batch norm followed by sign, folded into one integer comparison.
 *
 * The training graph in evaluation mode computes, in float32, bit(p) = ((p - mean) * gain + offset >= 0) for an integer
 * sum p (graph/operations/batch-norm.ts). Every rounding is monotone, so bit(p) changes at most once over the integers:
 * the threshold is found by asking that very expression, which makes packed and trained network agree on every sum
 * instead of almost every one.
 */

/** bit = (p >= threshold), or its opposite where `inverted`. */
export interface FoldedThreshold {
  readonly threshold: number;
  readonly inverted: boolean;
}

const f32 = Math.fround;
/** As in normalizeAndSign. */
const SIGN_GAIN = f32(1e20);

/** All arguments are float32 values of one channel; |p| <= bound. A unit that never changes gets -bound or bound + 1. */
export function foldThreshold(mean: number, scale: number, beta: number, bound: number): FoldedThreshold {
  const gain = f32(scale * SIGN_GAIN);
  const offset = f32(f32(beta * SIGN_GAIN) + 1);
  const bit = (p: number): boolean => f32(f32(f32(p - mean) * gain) + offset) >= 0;
  const inverted = scale < 0;
  const reached = (p: number): boolean => bit(p) !== inverted;
  // Smallest p in [-bound, bound] that reaches; bound + 1 when none does.
  let low = -bound;
  let high = bound + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (reached(middle)) high = middle;
    else low = middle + 1;
  }
  return { threshold: low, inverted };
}

/** Largest magnitude of a score that a packed model may reach. */
const SCORE_LIMIT = 2 ** 31 - 1;

/** The output layer's batch norm as integers: score = sum * scale + bias, one common power of two for all classes. */
export function foldScores(
  mean: Float32Array,
  scale: Float32Array,
  beta: Float32Array,
  bound: number,
): { scale: Int32Array; bias: Int32Array } {
  const real = Array.from(mean, (value, c) => ({ scale: scale[c]!, bias: beta[c]! - value * scale[c]! }));
  const largest = Math.max(...real.map((line) => Math.abs(line.scale) * bound + Math.abs(line.bias)), 1e-30);
  // Rounding adds at most (bound + 1) / 2 to a score.
  const unit = 2 ** Math.min(30, Math.floor(Math.log2((SCORE_LIMIT - bound) / largest)));
  return {
    scale: Int32Array.from(real, (line) => Math.round(line.scale * unit)),
    bias: Int32Array.from(real, (line) => Math.round(line.bias * unit)),
  };
}
