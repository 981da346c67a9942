/**
 * Runs a packed model as an ONNX graph: exact, for models that the WebAssembly engine refuses.
 *
 * All sums are integers below 2^24, so float32 computes them exactly whatever the order; thresholds, pooling and bits
 * follow docs/model-format.md. The last layer's integer scores are computed outside, where int32 is exact.
 */
import {
  configError,
  type KernelLayer,
  type KernelShape,
  layerBound,
  modelShapes,
  type PackedModel,
  unpackRows,
} from '@cbnn/runtime';
import { Graph, type Value } from '../graph/graph.js';
import { flatten } from '../graph/operations/dense.js';
import type { Device } from '../graph/session.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels } from '../nn/plan.js';
import { inParts, type PackedEngine } from './packed-engine.js';

/** float32 holds every integer up to here, and a threshold may be one above the bound. */
const EXACT = 2 ** 24;

export async function openPackedOnnx(model: PackedModel, device: Device, batch = 200): Promise<PackedEngine> {
  const shapes = modelShapes(model);
  for (const shape of shapes)
    if (layerBound(model.input, shape, model.kernels[shape.index]!.weights) + 1 > EXACT)
      throw configError(
        `engine onnx: sums of layer ${shape.index + 1} can reach 2^24 and float32 would round them`,
      );
  const g = new Graph();
  const { height, width } = model.input;
  const channels = inputChannels(model.input);
  let x = g.input('images', [batch, channels, height, width]);
  for (const shape of shapes) x = layer(g, x, shape, model.kernels[shape.index]!, model);
  g.output('sums', x);
  const session = await device.open(g.encode());

  const { input } = model;
  const images = {
    shape: [batch, channels, height, width],
    data: new Float32Array(batch * channels * height * width),
  };
  const classes = model.classes.length;
  const sums = { shape: [batch, classes], data: new Float32Array(batch * classes) };
  const output = model.kernels.at(-1)!;
  return {
    description: device.description,
    threads: device.threads,
    scores: inParts(model, batch, async (pixels, count) => {
      writeInputPlanes(pixels, count, input, images.data);
      await session.run({ images }, { sums });
      const scores = new Int32Array(count * classes);
      if (output.output === 'scores')
        for (let i = 0; i < scores.length; i++)
          scores[i] = sums.data[i]! * output.scale[i % classes]! + output.bias[i % classes]!;
      return scores;
    }),
    close: () => session.close(),
  };
}

function layer(g: Graph, x: Value, shape: KernelShape, kernel: KernelLayer, model: PackedModel): Value {
  const { kind, output, input, fanIn, pool, stride, padStart, padEnd } = shape;
  const side = shape.kernel;
  const values = Float32Array.from(weightValues(kernel, shape));
  if (shape.index === 0)
    for (let i = 0; i < values.length; i++) values[i]! *= 2 ** (model.input.shifts[i % input.channels] ?? 0);
  let p: Value;
  if (kind === 'dense') {
    const weights = g.constant(values, [output.channels, fanIn]);
    const flat = x.shape.length === 4 ? flatten(g, x) : x;
    p = g.node('Gemm', [flat, weights], [x.shape[0]!, output.channels], { transB: 1 });
  } else {
    const taps = side * side;
    const swapped = new Float32Array(values.length);
    for (let o = 0; o < output.channels; o++)
      for (let t = 0; t < taps; t++)
        for (let c = 0; c < input.channels; c++)
          swapped[(o * input.channels + c) * taps + t] = values[(o * taps + t) * input.channels + c]!;
    const weights = g.constant(swapped, [output.channels, input.channels, side, side]);
    p = g.node('Conv', [x, weights], [x.shape[0]!, output.channels, output.height, output.width], {
      kernel_shape: [side, side],
      strides: [stride, stride],
      pads: [padStart, padStart, padEnd, padEnd],
    });
    if (pool > 1)
      p = g.node('MaxPool', [p], [x.shape[0]!, output.channels, shape.pooled.height, shape.pooled.width], {
        kernel_shape: [pool, pool],
        strides: [pool, pool],
      });
  }
  if (kernel.output === 'scores') return p;
  const thresholds = g.constant(
    Float32Array.from(kernel.thresholds),
    p.shape.length === 4 ? [1, output.channels, 1, 1] : [output.channels],
  );
  const reached = g.node('GreaterOrEqual', [p, thresholds], p.shape, {}, 'bool');
  return g.node('Where', [reached, g.scalar(1), g.scalar(-1)], p.shape);
}

const weightValues = ({ weights }: KernelLayer, { output, fanIn }: KernelShape): Int8Array =>
  weights.type === 'integer' ? weights.values : unpackRows(weights.bits, output.channels, fanIn);
