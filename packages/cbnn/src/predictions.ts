/** From scores to classes to error rates. */

/** Index of the largest score of row `n`; the first wins ties. */
export function argmax(scores: ArrayLike<number>, n: number, classes: number): number {
  let best = 0;
  for (let c = 1; c < classes; c++) if (scores[n * classes + c]! > scores[n * classes + best]!) best = c;
  return best;
}

/** Percent of `predictions` that are not the label. */
export function errorRate(predictions: Uint16Array, labels: Uint16Array): number {
  let wrong = 0;
  for (let n = 0; n < labels.length; n++) if (predictions[n] !== labels[n]) wrong++;
  return (100 * wrong) / labels.length;
}

/** Percent of images that are marked as wrong (not 0). */
export const percentWrong = (wrong: Uint8Array): number =>
  (100 * wrong.reduce((sum, mark) => sum + (mark ? 1 : 0), 0)) / wrong.length;
