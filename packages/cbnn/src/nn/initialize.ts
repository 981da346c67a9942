/** Starting values of a network's parameters, from the seed alone. */
import type { KernelShape } from '@cbnn/runtime';
import { Random } from '../random.js';
import type { Parameter } from './plan.js';

/** Stream number of initialization (random.ts). */
const INITIALIZATION = 1;

/**
 * Latent weights uniform in [-1, 1]; real weights Glorot-uniform (paper's code, first layer); gamma and scales 1, beta 0.
 */
export function initialValue(parameter: Parameter, shape: KernelShape, seed: number): Float32Array {
  const count = parameter.shape.reduce((product, size) => product * size, 1);
  if (parameter.role !== 'weights' && parameter.role !== 'beta') return new Float32Array(count).fill(1);
  if (parameter.role === 'beta') return new Float32Array(count);
  const fanOut = shape.kernel * shape.kernel * shape.output.channels;
  const limit = parameter.group === 'binary' ? 1 : Math.sqrt(6 / (shape.fanIn + fanOut));
  const random = new Random(seed, INITIALIZATION, parameter.kernelLayer);
  return Float32Array.from({ length: count }, () => (2 * random.uniform() - 1) * limit);
}
