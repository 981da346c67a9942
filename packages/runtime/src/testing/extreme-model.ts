/** Models whose sums are as large as they can be: all weights alike, all inputs alike, thresholds at the ends. */
import { parseArchitecture } from '../architecture.js';
import { sumBound } from '../bounds.js';
import type { KernelLayer } from '../model.js';
import { type ModelCase, randomModel } from './random-model.js';

/** Inputs all `on` or off, bits of weights from the byte `weights`; widths of maps, for every way that rows can lie in vectors. */
export const extremes: readonly [on: boolean, weights: number, width: number][] = [8, 9, 30, 40].flatMap(
  (width) =>
    [false, true].flatMap((on) => [0x00, 0xff].map((byte): [boolean, number, number] => [on, byte, width])),
);

export function extremeCase(on: boolean, byte: number, width: number): ModelCase {
  const layers = parseArchitecture('105C3-9C3-70C3-4C7-6FC-3FC');
  const input = { height: 9, width, channels: 1, encoding: '8-bit', slices: [], shifts: [] } as const;
  const model = randomModel(1, { layers, input });
  const kernels = model.kernels.map((kernel, k): KernelLayer => {
    const n = sumBound(model, k);
    if (k === 0 && kernel.output === 'bits')
      return { ...kernel, thresholds: kernel.thresholds.map(() => (on ? -n : n + 1)) };
    if (kernel.output === 'scores' || kernel.weights.type !== 'binary') return kernel;
    const rowBytes = Math.ceil(n / 8);
    const last = n % 8 === 0 ? 0xff : 2 ** (n % 8) - 1;
    const bits = kernel.weights.bits.map((_, i) => (i % rowBytes === rowBytes - 1 ? byte & last : byte));
    // Away from the border sums are n or -n: one off, and the bit is another.
    const thresholds = kernel.thresholds.map((_, o) => [n, n - 1, -n + 1, -n][o % 4]!);
    return { ...kernel, weights: { type: 'binary', bits }, thresholds };
  });
  return { seed: 1, model: { ...model, kernels }, images: [new Uint8Array(9 * width).fill(200)] };
}
