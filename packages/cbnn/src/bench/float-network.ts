/**
 * The yardstick: a packed model's architecture in float32, as ONNX Runtime runs it best. Weights are constants, so that it
 * may arrange them as it likes; the image enters in its own channels (no slices), and ReLU stands for the sign.
 */
import { kernelShapes, type PackedModel } from '@cbnn/runtime';
import { Graph, type Value } from '../graph/graph.js';
import { flatten } from '../graph/operations/dense.js';
import type { Device } from '../graph/session.js';
import { Random } from '../random.js';

/** A network that is only timed. */
export interface Yardstick {
  /** Runs the images it was made for; the scores mean nothing, as the weights are random. */
  run(): Promise<Float32Array>;
  close(): Promise<void>;
}

export async function openFloatNetwork(
  { input, layers }: Pick<PackedModel, 'input' | 'layers'>,
  device: Device,
  batch: number,
): Promise<Yardstick> {
  const { height, width, channels } = input;
  const random = new Random(1);
  const g = new Graph();
  const shape = [batch, channels, height, width];
  let x: Value = g.input('images', shape);
  const shapes = kernelShapes({ height, width, channels }, layers);
  for (const {
    kind,
    index,
    input: from,
    output,
    kernel,
    stride,
    padStart,
    padEnd,
    pool,
    pooled,
    fanIn,
  } of shapes) {
    const scale = Math.sqrt(2 / fanIn);
    const weights = (...size: number[]) =>
      g.constant(
        Float32Array.from({ length: output.channels * fanIn }, () => scale * random.normal()),
        [output.channels, ...size],
      );
    const bias = g.constant(new Float32Array(output.channels), [output.channels]);
    if (kind === 'dense') {
      const flat = x.shape.length === 4 ? flatten(g, x) : x;
      x = g.node('Gemm', [flat, weights(fanIn), bias], [batch, output.channels], { transB: 1 });
    } else
      x = g.node(
        'Conv',
        [x, weights(from.channels, kernel, kernel), bias],
        [batch, output.channels, output.height, output.width],
        {
          kernel_shape: [kernel, kernel],
          strides: [stride, stride],
          pads: [padStart, padStart, padEnd, padEnd],
        },
      );
    if (index < shapes.length - 1) x = g.node('Relu', [x], x.shape);
    if (pool > 1)
      x = g.node('MaxPool', [x], [batch, output.channels, pooled.height, pooled.width], {
        kernel_shape: [pool, pool],
        strides: [pool, pool],
      });
  }
  g.output('scores', x);
  return openYardstick(device, g, shape, x.shape);
}

/** A graph from `images` (of `shape`, random from 0 to 1) to `scores`, ready to be timed. */
export async function openYardstick(
  device: Device,
  g: Graph,
  shape: readonly number[],
  scoresShape: readonly number[],
): Promise<Yardstick> {
  const session = await device.open(g.encode());
  const size = (sides: readonly number[]) => sides.reduce((product, side) => product * side, 1);
  const random = new Random(1);
  const images = { shape, data: Float32Array.from({ length: size(shape) }, () => random.uniform()) };
  const scores = { shape: scoresShape, data: new Float32Array(size(scoresShape)) };
  return {
    async run() {
      await session.run({ images }, { scores });
      return scores.data;
    },
    close: () => session.close(),
  };
}
