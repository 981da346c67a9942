/** Numbers rounded to powers of two, which multiply by shifts. */
import type { Graph, Value } from '../graph.js';

/** sign(x) * 2^round(log2 |x|), 0 of 0 (Hubara, Courbariaux et al. 2016, section 3.3: AP2). Of numbers. */
export const powerOfTwo = (x: number): number =>
  x === 0 ? 0 : Math.sign(x) * 2 ** Math.round(Math.log2(Math.abs(x)));

/** Keeps the logarithm of 0 finite; its sign makes it 0 again. */
const TINY = 1e-30;

/** The same of every entry; no gradient of its own: what uses it names one. */
export function powersOfTwo(g: Graph, x: Value): Value {
  const size = g.node('Max', [g.node('Abs', [x], x.shape), g.scalar(TINY)], x.shape);
  const exponent = g.node('Round', [g.scale(g.node('Log', [size], x.shape), Math.LOG2E)], x.shape);
  return g.mul(g.node('Sign', [x], x.shape), g.node('Pow', [g.scalar(2), exponent], x.shape));
}
