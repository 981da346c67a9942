/** Images as the first layer sees them: planes of +-1 per kept slice, or of 2x - 255 per channel. */
import type { InputSpec } from '@cbnn/runtime';
import { inputChannels } from './plan.js';

/** Pixels `[count][H][W][C]` -> `[count][channels][H][W]`, written into `out`. */
export function writeInputPlanes(
  pixels: Uint8Array,
  count: number,
  input: InputSpec,
  out: Float32Array<ArrayBufferLike>,
): void {
  const area = input.height * input.width;
  const { channels, slices } = input;
  const planes = inputChannels(input);
  for (let n = 0; n < count; n++) {
    const image = n * area * channels;
    for (let plane = 0; plane < planes; plane++) {
      const target = (n * planes + plane) * area;
      if (input.encoding === 'bit-slices') {
        const { channel, bit } = slices[plane]!;
        for (let i = 0, from = image + channel; i < area; i++, from += channels)
          out[target + i] = ((pixels[from]! >> bit) & 1) * 2 - 1;
      } else {
        for (let i = 0, from = image + plane; i < area; i++, from += channels)
          out[target + i] = 2 * pixels[from]! - 255;
      }
    }
  }
}
