import type { Graph, Value } from '../graph/graph.js';
import { batchNorm, type Normalization } from '../graph/operations/batch-norm.js';
import { convolution } from '../graph/operations/convolution.js';
import { binarizeScaled, signThrough } from '../graph/operations/quantizers.js';
import { type Activated, hasRealWeights, type LayerContext, type Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** alpha * sign(w) in the layers between the first and the last, which stay real. */
const scaledWeights =
  (ends: Pick<Technique, 'realLast'>): Technique['quantizeWeights'] =>
  (g, weights, layer) => {
    if (layer.shape.index === 0) return firstLayerWeights(g, weights, layer.plan, binarizeScaled);
    return hasRealWeights(ends, layer) ? weights : binarizeScaled(g, weights);
  };

const realEnds = { realLast: true };
const binaryEnds = { realLast: false };

/** Binary weights with one scale per output, real activations. */
export const bwn: Technique = {
  name: 'bwn',
  title: 'Binary-weight network',
  source: 'Rastegari, Ordonez, Redmon, Farhadi 2016, section 3.1',
  latentWeights: true,
  ...realEnds,
  firstLayers: ['real', 'binary'],
  input: '8-bit',
  weightBits: 1,
  binarySums: false,
  integerSums: false,
  nativeStep: 'bfloat16',
  quantizeWeights: scaledWeights(realEnds),
  activation: () => 'relu',
};

/** Binary weights and activations, scaled by alpha per output alone. */
export const xnorNetWithoutK: Technique = {
  ...bwn,
  name: 'xnor-net-without-k',
  title: 'XNOR-Net without its map of input scales',
  binarySums: true,
  source: 'Rastegari, Ordonez, Redmon, Farhadi 2016, section 3.2; K left out as in their table 3',
  activation: ({ beforeReal }) => (beforeReal ? 'relu' : 'sign'),
};

/**
 * Binary weights and activations, scaled by alpha per output and by K per position: the mean magnitude of what was binarized, over
 * channels and the window (equation 11). The gradient goes through K
 * as well: taken as constant it trains worse (docs/results). The order batch norm, sign, convolution, pooling of
 * the paper is the order here, seen from one layer to the next.
 */
export const xnorNet: Technique = {
  ...xnorNetWithoutK,
  name: 'xnor-net',
  title: 'XNOR-Net',
  source: 'Rastegari, Ordonez, Redmon, Farhadi 2016, section 3.2',
  nativeStep: null,
  activation: ({ beforeReal }) => (beforeReal ? 'relu' : signWithMagnitude),
  scaleSums,
};

/** The same with binary weights in the first and the last layer, too. */
export const xnorNetBinary: Technique = {
  ...xnorNet,
  ...binaryEnds,
  name: 'xnor-net-binary',
  title: 'XNOR-Net, binary first and last layer',
  firstLayers: ['binary'],
  quantizeWeights: scaledWeights(binaryEnds),
};

function signWithMagnitude(g: Graph, ...inputs: [Value, Value, Value, Normalization]): Activated {
  const normalized = batchNorm(g, ...inputs);
  return {
    ...normalized,
    output: signThrough(g, normalized.output),
    magnitude: meanMagnitude(g, normalized.output),
  };
}

/** Mean |y| over channels: `[N][1][H][W]` of a map, `[N][1]` of a vector. */
function meanMagnitude(g: Graph, y: Value): Value {
  const [n, channels, ...map] = y.shape as [number, number, ...number[]];
  const total = g.sum(g.node('Abs', [y], y.shape), [1]);
  const mean = g.reshape(g.scale(total, 1 / channels), [n, 1, ...map]);
  return g.differentiable([y], mean, (d) => [g.scale(g.mul(g.node('Sign', [y], y.shape), d), 1 / channels)]);
}

/** sums * K; K is the mean of the magnitudes in each window, zeros outside counted, as by convolving with a box of 1 / (k * k). */
function scaleSums(g: Graph, sums: Value, magnitude: Value, shape: LayerContext['shape']): Value {
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
