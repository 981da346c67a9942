/**
 * Convolution and its two gradients, in the forms that ONNX Runtime's CPU kernels run fastest (measured: at 136-225
 * GFLOP/s against 63-105 for the textbook forms).
 *
 * Layouts. Activations are NCHW. Weights are OHWI (`[outputs][ky][kx][inputs]`), because then:
 * - the gradient of the weights is ONE dilated convolution without im2col: view x as `[1][N][H][W * inputs]` (the batch
 *   takes the place of the channels) and slide dz, as a kernel `[outputs][N][oH][oW]` whose taps lie `inputs` apart, over
 *   it. The result `[1][outputs][K][K * inputs]` is the gradient in OHWI;
 * - the gradient of the input is a plain convolution of dz with the weights flipped and their channels swapped.
 */
import type { KernelShape } from '@cbnn/runtime';
import type { Graph, Value } from '../graph.js';
import { convolve } from './convolve.js';

/** z = x * w with zero padding; x `[N][inputs][H][W]`, w OHWI, z `[N][outputs][oH][oW]`. */
export function convolution(g: Graph, x: Value, w: Value, shape: KernelShape): Value {
  const { kernel, stride, padStart, padEnd, input, output } = shape;
  const batch = x.shape[0]!;
  const kernelMajor = g.transpose(w, [0, 3, 1, 2]);
  const z = convolve(g, x, kernelMajor, [output.height, output.width], {
    strides: [stride, stride],
    pads: [padStart, padStart, padEnd, padEnd],
  });
  // Rows and columns at the end that no window reaches, when the stride does not divide the map.
  const restY = input.height + padStart + padEnd - kernel - (output.height - 1) * stride;
  const restX = input.width + padStart + padEnd - kernel - (output.width - 1) * stride;

  return g.differentiable([x, w], z, (dz, wanted) => [
    wanted(x) ? inputGradient(dz) : null,
    wanted(w) ? weightGradient(dz) : null,
  ]);

  function weightGradient(dz: Value): Value {
    const inputs = input.channels;
    const wide = g.reshape(g.transpose(x, [0, 2, 3, 1]), [1, batch, input.height, input.width * inputs]);
    const taps = g.transpose(dz, [1, 0, 2, 3]);
    const height = kernel + restY;
    const width = kernel + restX;
    const full = g.node('Conv', [wide, taps], [1, output.channels, height, width * inputs], {
      kernel_shape: [output.height, output.width],
      dilations: [stride, stride * inputs],
      pads: [padStart, padStart * inputs, padEnd, padEnd * inputs],
    });
    const kept =
      restY || restX
        ? g.node(
            'Slice',
            [full, g.integers(0, 0), g.integers(kernel, kernel * inputs), g.integers(2, 3)],
            [1, output.channels, kernel, kernel * inputs],
          )
        : full;
    return g.reshape(kept, w.shape);
  }

  function inputGradient(dz: Value): Value {
    const taps = kernel * kernel;
    const reversed = g.integers(...Array.from({ length: taps }, (_, i) => taps - 1 - i));
    const flat = g.reshape(w, [output.channels, taps, input.channels]);
    const flipped = g.node('Gather', [flat, reversed], flat.shape, { axis: 1 });
    const swapped = g.reshape(g.transpose(flipped, [2, 0, 1]), [
      input.channels,
      output.channels,
      kernel,
      kernel,
    ]);
    const spread = stride === 1 ? dz : insertZeros(g, dz, stride);
    return convolve(g, spread, swapped, [input.height, input.width], {
      pads: [
        kernel - 1 - padStart,
        kernel - 1 - padStart,
        kernel - 1 - padEnd + restY,
        kernel - 1 - padEnd + restX,
      ],
    });
  }
}

/** `[N][C][H][W]` with stride - 1 zeros between neighbours: `[N][C][(H-1)*stride+1][(W-1)*stride+1]`. */
function insertZeros(g: Graph, dz: Value, stride: number): Value {
  const [n, c, h, w] = dz.shape as [number, number, number, number];
  const cells = g.reshape(dz, [n, c, h, 1, w, 1]);
  const padded = g.node(
    'Pad',
    [cells, g.integers(0, 0, 0, 0, 0, 0, 0, 0, 0, stride - 1, 0, stride - 1)],
    [n, c, h, stride, w, stride],
  );
  const full = g.reshape(padded, [n, c, h * stride, w * stride]);
  const height = (h - 1) * stride + 1;
  const width = (w - 1) * stride + 1;
  return g.node(
    'Slice',
    [full, g.integers(0, 0), g.integers(height, width), g.integers(2, 3)],
    [n, c, height, width],
  );
}
