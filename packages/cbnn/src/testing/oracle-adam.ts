/**
 * One Adam update in place (Kingma and Ba 2014, the form with the bias correction folded into the rate, so that
 * epsilon is added to the uncorrected root). `step` counts from 1; `clip` keeps the parameter in [-1, 1].
 */
export function oracleAdam(
  parameter: Float64Array,
  gradient: Float64Array,
  m: Float64Array,
  v: Float64Array,
  step: number,
  rate: number,
  clip: boolean,
): void {
  const beta1 = 0.9;
  const beta2 = 0.999;
  const epsilon = 1e-8;
  const corrected = (rate * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step);
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i]!;
    m[i] = beta1 * m[i]! + (1 - beta1) * g;
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    const updated = parameter[i]! - (corrected * m[i]!) / (Math.sqrt(v[i]!) + epsilon);
    parameter[i] = clip ? Math.min(1, Math.max(-1, updated)) : updated;
  }
}
