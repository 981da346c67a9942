/** The yardstick of browsers: the same architecture in float32 on TensorFlow.js with its WebAssembly backend, one thread. */
import { kernelShapes, type PackedModel } from '@cbnn/runtime';
import type * as TensorFlow from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type { Yardstick } from './float-network.js';

/** On a `tf` whose backend is set; null where it runs no such network. */
export function tfjsNetwork(
  tf: typeof TensorFlow,
  { input, layers }: Pick<PackedModel, 'input' | 'layers'>,
  batch: number,
): Yardstick | null {
  const { height, width, channels } = input;
  const shapes = kernelShapes({ height, width, channels }, layers);
  // Its convolution pads as TensorFlow does, which is ours for odd kernels and stride 1.
  if (shapes.some(({ stride, padStart, padEnd }) => stride > 1 || padStart !== padEnd)) return null;
  const images = tf.randomUniform([batch, height, width, channels]) as Tensor4D;
  const weights = shapes.map(({ kind, kernel, input: from, output, fanIn }) =>
    kind === 'conv'
      ? tf.randomNormal([kernel, kernel, from.channels, output.channels])
      : tf.randomNormal([fanIn, output.channels]),
  );
  return {
    async run() {
      const scores = tf.tidy(() => {
        let x: Tensor = images;
        for (const { kind, index, padStart, pool, fanIn } of shapes) {
          const w = weights[index]!;
          x =
            kind === 'conv'
              ? tf.conv2d(x as Tensor4D, w as Tensor4D, 1, padStart > 0 ? 'same' : 'valid')
              : tf.matMul(tf.reshape(x, [batch, fanIn]), w as Tensor2D);
          if (index < shapes.length - 1) x = tf.relu(x);
          if (pool > 1) x = tf.maxPool(x as Tensor4D, pool, pool, 'valid');
        }
        return x;
      });
      const data = (await scores.data()) as Float32Array;
      scores.dispose();
      return data;
    },
    async close() {
      tf.dispose([images, ...weights]);
    },
  };
}
