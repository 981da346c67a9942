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
  const session = await device.open(g.encode());
  const images = {
    shape,
    data: Float32Array.from({ length: batch * height * width * channels }, () => random.uniform()),
  };
  const scores = { shape: x.shape, data: new Float32Array(x.shape[0]! * x.shape[1]!) };
  return {
    async run() {
      await session.run({ images }, { scores });
      return scores.data;
    },
    close: () => session.close(),
  };
}
