/**
 * The other yardstick: a packed model's architecture in 8-bit integers, as ONNX Runtime runs it best: unsigned activations
 * (their zero is 0, so that saturation is the ReLU), signed weights, one scale each.
 */
import { kernelShapes, type PackedModel } from '@cbnn/runtime';
import { Graph, type Value } from '../graph/graph.js';
import type { Device } from '../graph/session.js';
import { Random } from '../random.js';
import { openYardstick, type Yardstick } from './float-network.js';

export async function openInt8Network(
  { input, layers }: Pick<PackedModel, 'input' | 'layers'>,
  device: Device,
  batch: number,
): Promise<Yardstick> {
  const { height, width, channels } = input;
  const random = new Random(1);
  const g = new Graph();
  const shape = [batch, channels, height, width];
  const unsigned = (name: string, inputs: readonly Value[], size: readonly number[], attributes = {}) =>
    g.node(name, inputs, size, attributes, 'uint8');
  const zero = g.typed('uint8', new Uint8Array(1), []);
  const signedZero = g.typed('int8', new Int8Array(1), []);
  const pixel = g.scalar(1 / 255);
  // Any scale that neither saturates nor silences everything: times are the same.
  const activation = g.scalar(0.02);
  const weight = g.scalar(0.001);
  let scale = pixel;
  let x = unsigned('QuantizeLinear', [g.input('images', shape), pixel, zero], shape);
  const shapes = kernelShapes({ height, width, channels }, layers);
  for (const one of shapes) {
    const { output, kernel, stride, padStart, padEnd, pool, pooled, fanIn } = one;
    const weights = (...size: number[]): Value =>
      g.typed(
        'int8',
        Int8Array.from({ length: output.channels * fanIn }, () => random.below(255) - 127),
        size,
      );
    const ends = [activation, zero];
    if (one.kind === 'dense') {
      const flat =
        x.shape.length === 4 ? unsigned('Reshape', [x, g.integers(batch, fanIn)], [batch, fanIn]) : x;
      const inputs = [flat, scale, zero, weights(fanIn, output.channels), weight, signedZero, ...ends];
      x = unsigned('QLinearMatMul', inputs, [batch, output.channels]);
    } else {
      const kernels = weights(output.channels, one.input.channels, kernel, kernel);
      const inputs = [x, scale, zero, kernels, weight, signedZero, ...ends];
      x = unsigned('QLinearConv', inputs, [batch, output.channels, output.height, output.width], {
        kernel_shape: [kernel, kernel],
        strides: [stride, stride],
        pads: [padStart, padStart, padEnd, padEnd],
      });
    }
    if (pool > 1)
      x = unsigned('MaxPool', [x], [batch, output.channels, pooled.height, pooled.width], {
        kernel_shape: [pool, pool],
        strides: [pool, pool],
      });
    scale = activation;
  }
  g.output('scores', g.node('DequantizeLinear', [x, activation, zero], x.shape));
  return openYardstick(device, g, shape, x.shape);
}
