/**
 * How far the integers of a model can reach. A layer's *bound* is the largest |sum| that any image could give one
 * of its outputs if no tap fell into the padding: the fan-in for binary inputs and weights, and the sum of
 * |input| * |weight| in the first layer. It names the thresholds of units that never change (-bound: always on;
 * bound + 1: always off) and tells an engine how wide its sums must be.
 */
import { internalError } from './errors.js';
import type { InputSpec, PackedModel, Weights } from './model.js';
import { type KernelShape, kernelShapes, type MapShape } from './shapes.js';

/** What the first layer sees: its channels are the kept slices, or the image's channels for `8-bit`. */
export function inputShape(input: InputSpec): MapShape {
  const channels = input.encoding === '8-bit' ? input.channels : input.slices.length;
  return { height: input.height, width: input.width, channels };
}

/** Shapes of all kernel layers of a model. */
export function modelShapes(model: Pick<PackedModel, 'input' | 'layers'>): KernelShape[] {
  return kernelShapes(inputShape(model.input), model.layers);
}

/** The largest |value| of each channel that the first layer sees. */
export function inputMagnitudes(input: InputSpec): number[] {
  if (input.encoding === '8-bit') return Array.from({ length: input.channels }, () => 255);
  return input.shifts.map((shift) => 2 ** shift);
}

/** The bound of kernel layer `k`, exact while it is below 2^53. */
export function sumBound(model: Pick<PackedModel, 'input' | 'layers' | 'kernels'>, k: number): number {
  const shape = modelShapes(model)[k];
  const kernel = model.kernels[k];
  if (!shape || !kernel)
    throw internalError(`sum bound: expected a kernel layer of 0..${model.kernels.length - 1}, got ${k}`);
  return layerBound(model.input, shape, kernel.weights);
}

/** The bound of the kernel layer with this shape and these weights, for a model that is still being put together. */
export function layerBound(input: InputSpec, shape: KernelShape, weights: Weights): number {
  if (shape.index > 0) return shape.fanIn;
  const magnitudes = inputMagnitudes(input);
  const channels = magnitudes.length;
  if (weights.type === 'binary') {
    const perTap = magnitudes.reduce((sum, magnitude) => sum + magnitude, 0);
    return (shape.fanIn / channels) * perTap;
  }
  let bound = 0;
  for (let start = 0; start < weights.values.length; start += shape.fanIn) {
    let sum = 0;
    for (let i = 0; i < shape.fanIn; i++)
      sum += Math.abs(weights.values[start + i]!) * magnitudes[i % channels]!;
    bound = Math.max(bound, sum);
  }
  return bound;
}
