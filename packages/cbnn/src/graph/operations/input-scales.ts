/**
 * XNOR-Net's scales of inputs (Rastegari et al. 2016, equation 11): sums of signs are multiplied by K, the mean magnitude of what was
 * binarized, over channels and the window. The gradient goes through K as well: taken as constant it trains worse (docs/results).
 */
import type { KernelShape } from '@cbnn/runtime';
import type { Graph, Value } from '../graph.js';
import { batchNorm, type Normalization, type Normalized } from './batch-norm.js';
import { convolution } from './convolution.js';
import { signThrough } from './quantizers.js';

export interface WithMagnitude extends Normalized {
  /** mean magnitude of what was binarized, over channels: `[N][1][H][W]` or `[N][1]` */
  readonly magnitude: Value;
}

/** sign(BN(p)) with sign(0) = +1, and the mean of |BN(p)| over channels. */
export function normalizeToScaledSign(
  g: Graph,
  ...inputs: [p: Value, gamma: Value, beta: Value, normalization: Normalization]
): WithMagnitude {
  const normalized = batchNorm(g, ...inputs);
  return {
    ...normalized,
    output: signThrough(g, normalized.output),
    magnitude: meanMagnitude(g, normalized.output),
  };
}

function meanMagnitude(g: Graph, y: Value): Value {
  const [n, channels, ...map] = y.shape as [number, number, ...number[]];
  const total = g.sum(g.node('Abs', [y], y.shape), [1]);
  const mean = g.reshape(g.scale(total, 1 / channels), [n, 1, ...map]);
  return g.differentiable([y], mean, (d) => [g.scale(g.mul(g.node('Sign', [y], y.shape), d), 1 / channels)]);
}

/** sums * K; K is the mean of the magnitudes in each window, zeros outside counted, as by convolving with a box of 1 / (k * k). */
export function scaleSums(g: Graph, sums: Value, magnitude: Value, shape: KernelShape): Value {
  const [n] = magnitude.shape as [number];
  let k = magnitude;
  if (shape.kind === 'conv') {
    const { kernel } = shape;
    const box = g.constant(new Float32Array(kernel ** 2).fill(1 / kernel ** 2), [1, kernel, kernel, 1]);
    k = convolution(g, magnitude, box, {
      ...shape,
      input: { ...shape.input, channels: 1 },
      output: { ...shape.output, channels: 1 },
    });
  } else if (magnitude.shape.length === 4) {
    const area = magnitude.shape[2]! * magnitude.shape[3]!;
    k = g.reshape(g.scale(g.sum(magnitude, [1, 2, 3]), 1 / area), [n, 1]);
    const ones = g.constant(new Float32Array(n * area).fill(1 / area), magnitude.shape);
    g.differentiable([magnitude], k, (d) => [g.mul(ones, g.reshape(d, [n, 1, 1, 1]))]);
  }
  const scaled = g.mul(sums, k);
  return g.differentiable([sums, k], scaled, (d) => [
    g.mul(d, k),
    g.reshape(g.sum(g.mul(d, sums), [1]), k.shape),
  ]);
}
