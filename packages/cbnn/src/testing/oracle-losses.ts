/** The oracle's losses, each with its gradient; float64, plain loops. */

export type OracleLoss = 'squared-hinge' | 'cross-entropy';

export interface LossResult {
  value: number;
  /** dL/dscore, `[N][classes]` */
  gradient: Float64Array;
}

/** Loss of `scores` `[N][classes]` against class numbers. */
export function lossOf(
  loss: OracleLoss,
  scores: Float64Array,
  labels: ArrayLike<number>,
  classes: number,
): LossResult {
  return loss === 'squared-hinge'
    ? squaredHinge(scores, labels, classes)
    : crossEntropy(scores, labels, classes);
}

/** Mean over images and classes of max(0, 1 - t score)^2; t = +1 for the label's class, -1 for the others. */
function squaredHinge(scores: Float64Array, labels: ArrayLike<number>, classes: number): LossResult {
  const gradient = new Float64Array(scores.length);
  let value = 0;
  for (let n = 0; n < labels.length; n++)
    for (let k = 0; k < classes; k++) {
      const i = n * classes + k;
      const t = labels[n] === k ? 1 : -1;
      const shortfall = Math.max(0, 1 - t * scores[i]!);
      value += shortfall ** 2 / scores.length;
      gradient[i] = (-2 * t * shortfall) / scores.length;
    }
  return { value, gradient };
}

/** Mean over images of -log softmax(scores)[label]. */
function crossEntropy(scores: Float64Array, labels: ArrayLike<number>, classes: number): LossResult {
  const gradient = new Float64Array(scores.length);
  const count = labels.length;
  let value = 0;
  for (let n = 0; n < count; n++) {
    const row = scores.subarray(n * classes, (n + 1) * classes);
    const largest = row.reduce((a, b) => Math.max(a, b));
    const total = row.reduce((sum, score) => sum + Math.exp(score - largest), 0);
    for (let k = 0; k < classes; k++) {
      const probability = Math.exp(row[k]! - largest) / total;
      gradient[n * classes + k] = (probability - (labels[n] === k ? 1 : 0)) / count;
    }
    value += (Math.log(total) + largest - row[labels[n]!]!) / count;
  }
  return { value, gradient };
}
