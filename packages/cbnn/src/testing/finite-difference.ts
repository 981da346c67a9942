/**
 * Gradients checked by central differences: (f(w + h) - f(w - h)) / 2h.
 *
 * The networks of the tests are smooth almost everywhere, not everywhere: activations, max pooling and the hinge
 * have kinks, and a batch holds enough values that some probe steps over one. A smaller step then stays on one side
 * of it, at the price of more rounding error. So an entry is first tried with the large step and, if it disagrees,
 * again with smaller ones; a wrong gradient agrees with none of them.
 */

const STEPS = [1e-5, 1e-6, 1e-7] as const;

/** The entry of a gradient that agrees least with central differences. */
export interface GradientCheck {
  index: number;
  analytic: number;
  numeric: number;
  /** |analytic - numeric|, divided by the largest numeric entry of the whole gradient (at least 1e-3) */
  error: number;
}

/** (f(w + h) - f(w - h)) / 2h with w = values[index]; `values` is as before when this returns. */
export function centralDifference(
  evaluate: () => number,
  values: Float64Array,
  index: number,
  step: number,
): number {
  const value = values[index]!;
  const above = value + step;
  const below = value - step;
  values[index] = above;
  const high = evaluate();
  values[index] = below;
  const low = evaluate();
  values[index] = value;
  // What was really added and taken away, after rounding.
  return (high - low) / (above - below);
}

/**
 * Compares `gradient` with central differences of `evaluate`, which must read `values` (changed in place while this
 * runs) each time it is called. Returns the worst entry; a right gradient of an O(1) function stays below 1e-5.
 */
export function checkGradient(
  evaluate: () => number,
  values: Float64Array,
  gradient: Float64Array,
): GradientCheck {
  if (values.length !== gradient.length)
    return { index: -1, analytic: gradient.length, numeric: values.length, error: Number.POSITIVE_INFINITY };
  const first = values.map((_, i) => centralDifference(evaluate, values, i, STEPS[0]));
  const unit = first.reduce((largest, g) => Math.max(largest, Math.abs(g)), 1e-3);
  let worst: GradientCheck = { index: -1, analytic: 0, numeric: 0, error: 0 };
  for (const [index, analytic] of gradient.entries()) {
    let numeric = first[index]!;
    let error = Math.abs(analytic - numeric) / unit;
    // `!(<)` rather than `>=`, so that NaN counts as disagreement.
    for (const step of STEPS.slice(1)) {
      if (error < 1e-7) break;
      const again = centralDifference(evaluate, values, index, step);
      const smaller = Math.abs(analytic - again) / unit;
      if (!(smaller >= error)) {
        numeric = again;
        error = smaller;
      }
    }
    if (!(error <= worst.error)) worst = { index, analytic, numeric, error };
  }
  return worst;
}
