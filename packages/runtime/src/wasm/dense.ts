/** Dense layers of bits: mismatches counted by popcount, thresholds and scores outside (a few hundred numbers). */
import { readBits, rowBytes } from '../bits.js';
import type { KernelLayer } from '../model.js';
import type { KernelShape } from '../shapes.js';
import { rowsOf } from './counting-kernels.js';
import { type Arena, aligned, type Kernels, notValidated, type Views } from './memory.js';
import { BYTE_GROUP, countedPlanes, type Planes } from './planes.js';

/** Compares sums with thresholds: bits, the first in the lowest bit of the first byte. */
export function thresholdBits(sums: Int32Array, thresholds: Int32Array, bytes: Uint8Array): void {
  bytes.fill(0);
  for (let o = 0; o < sums.length; o++) if (sums[o]! >= thresholds[o]!) bytes[o >> 3]! |= 1 << (o & 7);
}

export class DenseLayer {
  readonly input: Planes;
  readonly sums: Int32Array;
  /** of a row, a multiple of 16 */
  private readonly rowBytes: number;
  private readonly weights: number;
  private readonly counts: number;

  constructor(
    arena: Arena,
    private readonly shape: KernelShape,
  ) {
    this.input = countedPlanes(arena, shape.input);
    this.rowBytes = aligned(this.input.groups * this.input.groupStride);
    const rows = rowsOf(shape.output.channels);
    this.weights = arena.take(rows * this.rowBytes);
    this.counts = arena.take(4 * rows);
    this.sums = new Int32Array(shape.output.channels);
  }

  /** Weights in the order of the input: by group of channels, then by pixel. */
  prepare({ u8 }: Views, { weights }: KernelLayer): void {
    if (weights.type !== 'binary') throw notValidated();
    const { fanIn, input, output } = this.shape;
    const { channels } = input;
    const fileBytes = rowBytes(fanIn);
    const area = input.height * input.width;
    for (let o = 0; o < output.channels; o++) {
      let to = this.weights + o * this.rowBytes;
      for (let channel = 0; channel < channels; channel += BYTE_GROUP) {
        const count = Math.min(BYTE_GROUP, channels - channel);
        for (let pixel = 0; pixel < area; pixel++)
          u8[to++] = readBits(weights.bits, o * fileBytes, pixel * channels + channel, count);
      }
    }
  }

  /** Leaves its sums in `sums`. */
  run(kernels: Kernels, { u8, i32 }: Views): void {
    const { address, groups, groupStride } = this.input;
    const { sums, counts, rowBytes } = this;
    // Kernels before may have written behind the last row.
    u8.fill(0, address + groups * groupStride, address + rowBytes);
    kernels['count']!(address, rowBytes, 1, this.weights, counts, 0, counts + 4 * sums.length);
    for (let o = 0; o < sums.length; o++) sums[o] = this.shape.fanIn - 2 * i32[counts / 4 + o]!;
  }
}
