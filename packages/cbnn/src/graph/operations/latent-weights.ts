/** What is done to latent weights before their sign is taken, each output by itself; w `[outputs][...]`. */
import type { Graph, Value } from '../graph.js';
import { meanPerOutput } from './quantizers.js';

/** Keeps an output of equal weights finite. */
const VARIANCE_FLOOR = 1e-10;

/**
 * (w - mean) / deviation of each output (libra parameter binarization, IR-Net: Qin et al. 2020, equation 8). Half of the signs are +1 then, and
 * a layer's bits carry the most information. Gradient: (d - mean(d) - q * mean(d * q)) / deviation.
 */
export function standardize(g: Graph, w: Value): Value {
  const centred = g.sub(w, meanPerOutput(g, w));
  const variance = meanPerOutput(g, g.mul(centred, centred));
  const deviation = g.node('Sqrt', [g.add(variance, g.scalar(VARIANCE_FLOOR))], variance.shape);
  const q = g.div(centred, deviation);
  return g.differentiable([w], q, (d) => {
    const along = g.mul(q, meanPerOutput(g, g.mul(d, q)));
    return [g.div(g.sub(g.sub(d, meanPerOutput(g, d)), along), deviation)];
  });
}

/** Quantile that outliers are drawn back to, at the beginning and at the end. */
const RECU_FROM = 0.85;
const RECU_TO = 0.99;

/**
 * Clamps to +-Q, Q = -mean |w| * ln(2 - 2 tau), the quantile tau of a Laplace distribution, tau growing exponentially from
 * 0.85 to 0.99 (rectified clamp unit, ReCU: Xu et al. 2021, equations 8 and 9). No sign changes; weights beyond get no gradient.
 */
export function clampOutliers(g: Graph, w: Value): Value {
  const growth = g.scale(g.progress(), Math.log(RECU_TO / RECU_FROM));
  const tau = g.scale(g.node('Exp', [growth], []), RECU_FROM);
  const factor = g.node('Neg', [g.node('Log', [g.scale(g.sub(g.scalar(1), tau), 2)], [])], []);
  const limit = g.mul(meanPerOutput(g, g.node('Abs', [w], w.shape)), factor);
  const size = g.node('Abs', [w], w.shape);
  const inside = g.toFloat(g.node('LessOrEqual', [size, limit], w.shape, {}, 'bool'));
  const q = g.mul(g.node('Sign', [w], w.shape), g.node('Min', [size, limit], w.shape));
  return g.differentiable([w], q, (d) => [g.mul(d, inside)]);
}
