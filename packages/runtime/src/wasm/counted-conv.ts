/**
 * A convolution of bits that counts mismatches window by window, as a dense layer does. Slower than looking sums up where a layer has
 * many places and outputs; but it wastes nothing on tables and tiles, and takes any shape. The arithmetic is in counting-kernels.ts.
 */
import { readBits, rowBytes } from '../bits.js';
import type { KernelLayer } from '../model.js';
import { type KernelShape, valuesOf } from '../shapes.js';
import { rowsOf } from './counting-kernels.js';
import { type Arena, aligned, type Kernels, notValidated, type Views } from './memory.js';
import { BYTE_GROUP, type Computed, computedPlanes, countedPlanes, type Planes } from './planes.js';

/** Outputs that `compare` may read behind the last. */
const BEHIND = 8;
/** Below every count. */
const NEVER = -(2 ** 31);

/** Of one axis: which kernel rows (columns) `[begin, end)` lie inside the image, each such part once, and every output's. */
interface Axis {
  readonly parts: readonly (readonly [begin: number, end: number])[];
  readonly partOf: readonly number[];
}

export class CountedConv {
  readonly input: Planes;
  readonly output: Computed;
  /** bytes of a row of the padded map, whose pixels have one per group; of a window, and a row of weights (a multiple of 16) */
  private readonly mapPitch: number;
  private readonly rowBytes: number;
  private readonly map: number;
  private readonly windows: number;
  private readonly weights: number;
  private readonly counts: number;
  private readonly countsPitch: number;
  private readonly rows: Axis;
  private readonly columns: Axis;
  /** for each part of rows and each of columns */
  private readonly limits: number;
  private readonly limitsAt: number;

  /** Vectors that are counted for one image. */
  static vectors({ input, output, kernel }: KernelShape): number {
    const bytes = kernel * kernel * Math.ceil(input.channels / BYTE_GROUP);
    return valuesOf(output) * Math.ceil(bytes / 16);
  }

  constructor(
    arena: Arena,
    private readonly shape: KernelShape,
    private readonly outputGroup: number,
  ) {
    const { input, output, kernel, padStart, padEnd } = shape;
    const { height, width } = input;
    this.input = countedPlanes(arena, input);
    const { groups } = this.input;
    this.mapPitch = (width + padStart + padEnd) * groups;
    this.map = arena.take((height + padStart + padEnd) * this.mapPitch);
    this.rowBytes = aligned(kernel * kernel * groups);
    this.windows = arena.take(output.width * this.rowBytes);
    const rows = rowsOf(output.channels);
    this.weights = arena.take(rows * this.rowBytes);
    this.countsPitch = 4 * (rows + BEHIND);
    this.counts = arena.take(output.width * this.countsPitch);
    this.rows = axisOf(output.height, height, shape);
    this.columns = axisOf(output.width, width, shape);
    this.limits = arena.take(this.rows.parts.length * this.columns.parts.length * this.countsPitch);
    this.limitsAt = arena.take(4 * output.height * output.width);
    this.output = computedPlanes(arena, shape, outputGroup);
  }

  /**
   * Everything about the model that stays as it is. Pixels outside are zeros: they count as mismatches what the weights there have of
   * ones, `ones`, and add nothing to the sum n - 2 * (count - ones) of the n inside: it is at least T where count <= (n - T) / 2 + ones.
   */
  prepare({ u8, i32 }: Views, kernel: KernelLayer): void {
    if (kernel.output !== 'bits' || kernel.weights.type !== 'binary') throw notValidated();
    const { shape, rows, columns } = this;
    const { channels } = shape.input;
    const taps = shape.kernel ** 2;
    const fileBytes = rowBytes(shape.fanIn);
    const limitsOf = (row: number, column: number) =>
      this.limits + (row * columns.parts.length + column) * this.countsPitch;
    i32.fill(NEVER, this.limits / 4, limitsOf(rows.parts.length, 0) / 4);
    const ones = new Int32Array(taps);
    for (let o = 0; o < shape.output.channels; o++) {
      let at = this.weights + o * this.rowBytes;
      for (let tap = 0; tap < taps; tap++) {
        ones[tap] = 0;
        for (let channel = 0; channel < channels; channel += BYTE_GROUP) {
          const count = Math.min(BYTE_GROUP, channels - channel);
          const bits = readBits(kernel.weights.bits, o * fileBytes, tap * channels + channel, count);
          u8[at++] = bits;
          for (let rest = bits; rest !== 0; rest &= rest - 1) ones[tap]!++;
        }
      }
      for (const [r, y] of rows.parts.entries())
        for (const [c, x] of columns.parts.entries()) {
          let outside = ones.reduce((sum, count) => sum + count);
          for (let ky = y[0]; ky < y[1]; ky++)
            for (let kx = x[0]; kx < x[1]; kx++) outside -= ones[ky * shape.kernel + kx]!;
          const inside = (y[1] - y[0]) * (x[1] - x[0]) * channels;
          i32[limitsOf(r, c) / 4 + o] = Math.floor((inside - kernel.thresholds[o]!) / 2) + outside;
        }
    }
    let at = this.limitsAt / 4;
    for (const row of rows.partOf) for (const column of columns.partOf) i32[at++] = limitsOf(row, column);
  }

  run(kernels: Kernels): void {
    const { shape, input, output, rowBytes, counts, countsPitch } = this;
    const { groups } = input;
    const { kernel, stride, padStart } = shape;
    const { height, width, channels } = shape.output;
    const inner = this.map + padStart * (this.mapPitch + groups);
    for (let g = 0; g < groups; g++)
      kernels['spread']!(
        input.address + g * input.groupStride,
        inner + g,
        input.height,
        input.width,
        groups,
        this.mapPitch,
      );
    const planes = Math.ceil(channels / this.outputGroup);
    const end = counts + 4 * channels;
    for (let y = 0; y < height; y++) {
      const from = this.map + y * stride * this.mapPitch;
      kernels['gather']!(
        from,
        stride * groups,
        width,
        kernel * groups,
        kernel,
        this.mapPitch,
        this.windows,
        rowBytes,
      );
      kernels['count']!(this.windows, rowBytes, width, this.weights, counts, countsPitch, end);
      kernels['compare']!(
        counts,
        countsPitch,
        this.limitsAt + 4 * y * width,
        width,
        this.outputGroup,
        planes,
        output.address + y * width,
        output.stride,
      );
    }
  }
}

/** Of `outputs` windows along an axis of `size` pixels. */
function axisOf(outputs: number, size: number, { kernel, stride, padStart }: KernelShape): Axis {
  const parts: [number, number][] = [];
  const partOf = Array.from({ length: outputs }, (_, position) => {
    const first = position * stride - padStart;
    const [begin, end] = [Math.max(0, -first), Math.min(kernel, size - first)];
    const known = parts.findIndex((part) => part[0] === begin && part[1] === end);
    return known < 0 ? parts.push([begin, end]) - 1 : known;
  });
  return { parts, partOf };
}
