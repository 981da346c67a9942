/**
 * Runs fixed-point networks of at most 8 bits on ONNX Runtime's integer kernels, exactly: every sum is an integer, and what is done
 * to it is what the network's own graph does, in float32 and in the same order.
 *
 * Activations are codes from 0 up, which 8 unsigned bits hold with their zero at 0, so that saturation is the ReLU; weights are
 * signed codes. A convolution is one product of matrices: its windows are gathered from the map `[pixel][channel]`, those of a pooling
 * window side by side. The operators made for this are either slow (ConvInteger: ten times as long) or inexact: QLinearConv rounds
 * what batch norm adds to whole units of the sum, and one flipped code turns others, so that 268 of 10,000 CIFAR-10 images got another
 * class (the paper's network on Zen 4: 4.2 ms an image against 4.6 here and 14 in float32; the default one 0.31, 0.60 and 1.1).
 * The image's first layer is in float32: 2x - 255 has 9 bits.
 */
import type { KernelShape } from '@cbnn/runtime';
import { type Evaluator, evaluatorOf } from '../graph/evaluator.js';
import { Graph, type Value } from '../graph/graph.js';
import { names } from '../graph/names.js';
import { batchNorm } from '../graph/operations/batch-norm.js';
import { convolution } from '../graph/operations/convolution.js';
import { dense, flatten } from '../graph/operations/dense.js';
import { mostCode } from '../graph/operations/fixed-point.js';
import { maxPool } from '../graph/operations/pooling.js';
import type { Device } from '../graph/session.js';
import { inputChannels, planShapes } from '../nn/plan.js';
import type { StoredLayer, StoredNetwork } from '../store/network-file.js';

/** Whether the network is one of fixed point that 8 bits hold: with steps that are powers of two, scaling rounds nothing. */
export const fitsInt8 = ({ plan: { precision }, layers }: StoredNetwork): boolean =>
  precision !== undefined &&
  precision.weights <= 8 &&
  precision.activations <= 8 &&
  layers.every(({ weightStep, activationStep }) =>
    [weightStep!, ...(activationStep ?? [])].every((step) => Number.isInteger(Math.log2(step))),
  );

/** Sums of codes up to here are exact in float32, too, in any order. */
const EXACT = 2 ** 24;

/** Whether all engines give a fixed-point network the same scores to the bit, those in float32 included. */
export const isExact = ({ plan, layers }: StoredNetwork): boolean =>
  plan.precision !== undefined &&
  planShapes(plan).every(({ index, fanIn }) => {
    const { weights, weightStep } = layers[index]!;
    const most = index === 0 ? 255 : mostCode(plan.precision!.activations);
    let largest = 0;
    for (let start = 0; start < weights.length; start += fanIn) {
      let sum = 0;
      for (let i = start; i < start + fanIn; i++) sum += Math.abs(weights[i]!);
      largest = Math.max(largest, sum);
    }
    return (largest / weightStep!) * most <= EXACT;
  });

/** Opens a network that `fitsInt8`, `batch` images a call. */
export async function openStoredInt8(
  network: StoredNetwork,
  device: Device,
  batch: number,
): Promise<Evaluator> {
  const graph = int8Graph(network, batch);
  return evaluatorOf(await device.open(graph.encode()), network.plan, batch);
}

function int8Graph({ plan, layers }: StoredNetwork, batch: number): Graph {
  const g = new Graph();
  const { height, width } = plan.input;
  const most = g.typed('uint8', Uint8Array.of(mostCode(plan.precision!.activations)), []);
  const zero = g.typed('uint8', new Uint8Array(1), []);
  let x = g.input(names.images, [batch, inputChannels(plan.input), height, width]);
  let step = 0; // what 1 of x stands for
  for (const shape of planShapes(plan)) {
    const layer = layers[shape.index]!;
    x = shape.index === 0 ? firstLayer(g, x, shape, layer) : integerLayer(g, x, shape, layer, step);
    if (!layer.activationStep) break;
    step = layer.activationStep[0]!;
    const codes = g.node('QuantizeLinear', [x, g.scalar(step), zero], x.shape, {}, 'uint8');
    // Unsigned codes go up to 255, the network's own to half of that at most.
    x = g.node('Clip', [codes, null, most], x.shape, {}, 'uint8');
    if (shape.index === 0 && shape.kind === 'conv') {
      const [n, channels, ...map] = x.shape as [number, number, number, number];
      x = g.node('Transpose', [x], [n, ...map, channels], { perm: [0, 2, 3, 1] }, 'uint8');
    }
  }
  g.output(names.scores, x);
  return g;
}

/** Normalized sums `[batch][channel][y][x]`, or `[batch][output]`. */
function firstLayer(g: Graph, x: Value, shape: KernelShape, layer: StoredLayer): Value {
  const { kernel, input, output, fanIn, pool } = shape;
  const { weights } = layer;
  if (shape.kind === 'dense')
    return normalized(g, dense(g, flatten(g, x), g.constant(weights, [output.channels, fanIn])), layer);
  const kernels = g.constant(weights, [output.channels, kernel, kernel, input.channels]);
  const sums = convolution(g, x, kernels, shape);
  return normalized(g, pool > 1 ? maxPool(g, sums, pool, null) : sums, layer);
}

/** Normalized sums `[batch * y * x][output]` of codes `[batch][y][x][channel]`, or `[batch * y * x][channel]`. */
function integerLayer(g: Graph, x: Value, shape: KernelShape, layer: StoredLayer, step: number): Value {
  const { kind, input, output, fanIn, pooled, pool } = shape;
  const batch =
    x.shape.reduce((product, size) => product * size, 1) / (input.height * input.width * input.channels);
  const outputs = output.channels;
  const codes = new Int8Array(fanIn * outputs);
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < fanIn; i++)
      codes[i * outputs + o] = Math.round(layer.weights[o * fanIn + i]! / layer.weightStep!);
  const weights = g.typed('int8', codes, [fanIn, outputs]);
  const windows = kind === 'dense' ? g.reshape(x, [batch, fanIn]) : gathered(g, x, shape, batch);
  let sums = g.node('MatMulInteger', [windows, weights], [windows.shape[0]!, outputs], {}, 'int32');
  if (pool > 1) {
    const rows = batch * pooled.height * pooled.width;
    const grouped = g.reshape(sums, [rows, pool * pool, outputs]);
    sums = g.node('ReduceMax', [grouped], [rows, outputs], { axes: [1], keepdims: 0 }, 'int32');
  }
  return normalized(g, g.toFloat(sums), layer, layer.weightStep! * step);
}

/** The windows of a convolution, `[batch * window][ky][kx][channel]`, pooling window by pooling window. */
function gathered(g: Graph, x: Value, shape: KernelShape, batch: number): Value {
  const { input, kernel, stride, padStart, pool, pooled, fanIn } = shape;
  const area = input.height * input.width;
  const indices: bigint[] = [];
  for (let y = 0; y < pooled.height; y++)
    for (let left = 0; left < pooled.width; left++)
      for (let i = 0; i < pool * pool; i++)
        for (let tap = 0; tap < kernel * kernel; tap++) {
          const iy = (y * pool + Math.floor(i / pool)) * stride + Math.floor(tap / kernel) - padStart;
          const ix = (left * pool + (i % pool)) * stride + (tap % kernel) - padStart;
          const isInside = iy >= 0 && ix >= 0 && iy < input.height && ix < input.width;
          // Behind the last pixel lies one of zeros.
          indices.push(BigInt(isInside ? iy * input.width + ix : area));
        }
  const pixels = g.reshape(x, [batch, area, input.channels]);
  const padded = [batch, area + 1, input.channels];
  const framed = g.node('Pad', [pixels, g.integers(0, 0, 0, 0, 1, 0)], padded, {}, 'uint8');
  const taken = g.node(
    'Gather',
    [framed, g.typed('int64', BigInt64Array.from(indices), [indices.length])],
    [batch, indices.length, input.channels],
    { axis: 1 },
    'uint8',
  );
  return g.reshape(taken, [(batch * indices.length * input.channels) / fanIn, fanIn]);
}

/** (sum * unit - mean) * scale + beta, the power of two `unit` taken into the others, which rounds nothing. */
function normalized(g: Graph, sums: Value, { mean, scale, beta }: StoredLayer, unit = 1): Value {
  const vector = (data: Float32Array) => g.constant(data, [data.length]);
  const means = vector(mean.map((value) => value / unit));
  const scales = vector(scale.map((value) => value * unit));
  return batchNorm(g, sums, scales, vector(beta), { mode: 'given', mean: means, scale: scales }).output;
}
