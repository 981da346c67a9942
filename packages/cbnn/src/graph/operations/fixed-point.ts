/**
 * Fixed point: b-bit two's complement numbers of a common step, a power of two. Q(m, f) has the step 2^-f.
 *
 *     q = clamp(round(x / step), -2^(b-1), 2^(b-1) - 1) * step          round: halves to even
 *
 * Suda et al. 2016 (FPGA, uniform rounding of trained weights and activations).
 */
import type { Graph, Value } from '../graph.js';

export const leastCode = (bits: number): number => -(2 ** (bits - 1));
export const mostCode = (bits: number): number => 2 ** (bits - 1) - 1;

/** Steps beside the one that holds the largest value: smaller ones cut it, and round the many finer. */
const SMALLER_STEPS = 4;

/** x in `bits` bits of `step`, a scalar. For answering: it has no gradient. */
export function toFixedPoint(g: Graph, x: Value, step: Value, bits: number): Value {
  const codes = g.node('Round', [g.div(x, step)], x.shape);
  const kept = g.node('Clip', [codes, g.scalar(leastCode(bits)), g.scalar(mostCode(bits))], x.shape);
  return g.mul(kept, step);
}

/** The step, a power of two, that loses least of `values` in the mean square. All zeros give 1. */
export function bestStep(values: Float32Array, bits: number): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  if (largest === 0) return 1;
  let step = 2 ** Math.ceil(Math.log2(largest / mostCode(bits)));
  let best = { step, loss: Number.POSITIVE_INFINITY };
  for (let i = 0; i <= SMALLER_STEPS; i++, step /= 2) {
    let loss = 0;
    for (const value of values) {
      const code = Math.min(mostCode(bits), Math.max(leastCode(bits), Math.round(value / step)));
      loss += (code * step - value) ** 2;
    }
    if (loss < best.loss) best = { step, loss };
  }
  return best.step;
}
