/** A convolution of bits that looks sums up: in which tables, and in which order. The arithmetic is in kernels.ts. */
import { readBits, rowBytes } from '../bits.js';
import type { KernelLayer } from '../model.js';
import type { KernelShape } from '../shapes.js';
import type { WasmFunction } from './emitter.js';
import { ENTRIES, GROUP, LOOKUPS, TILE, tableFunction } from './kernels.js';
import { type Arena, aligned, type Kernels, notValidated, type Views } from './memory.js';
import { type Computed, computedPlanes, type Planes } from './planes.js';

/** Bytes before the first table: a lookup of nothing. */
const NOTHING = 32;
/** Tables of one pass: half of a small first-level cache, so that they stay in it. */
const TABLE_BYTES = 24 * 1024;
/** Offsets of table entries are 16 bits. */
const MOST_TABLE_BYTES = 65_536 - NOTHING;
/** Sums of mismatches are 16 bits, and the limit of a unit that is always on is one more. */
const MOST_FAN_IN = 65_534;

interface Geometry {
  readonly copies: number;
  readonly pitch: number;
  /** pixels that a tile's tables cover, in vectors of 16 */
  readonly vectors: number;
  readonly tiles: number;
  /** bytes of an entry, all copies */
  readonly entryBytes: number;
}

/** Sums are computed at every pixel, also where the stride skips some. */
function geometryOf(shape: KernelShape, copies: number): Geometry {
  const { input, kernel, padStart, padEnd } = shape;
  const width = input.width + padStart + padEnd - kernel + 1;
  const height = input.height + padStart + padEnd - kernel + 1;
  const pitch = copies === 1 ? input.width + padStart + padEnd : width;
  const reach = (kernel - 1) * pitch + (copies === 1 ? kernel - 1 : 0);
  const vectors = Math.ceil((TILE / 2 + reach) / 16);
  return {
    copies,
    pitch,
    vectors,
    tiles: Math.ceil(((height - 1) * pitch + width) / TILE),
    entryBytes: copies * vectors * 16,
  };
}

/** Vector operations of a lookup of 64 sums. */
const LOOKUP_WORK = 5;

/** Vector operations of one image and group: tables, then lookups. */
function work({ tiles, copies, vectors }: Geometry, { output, kernel }: KernelShape): number {
  return tiles * (2 * ENTRIES * copies * vectors + LOOKUP_WORK * output.channels * kernel * kernel);
}

/** The one of least work. */
function bestOf(shape: KernelShape): Geometry {
  return candidates(shape).toSorted((a, b) => work(a, shape) - work(b, shape))[0]!;
}

/** Groups of channels that are looked up together, and how many lookups of each output that is, in threes. */
interface Pass {
  readonly first: number;
  readonly groups: number;
  readonly lookups: number;
}

function passesOf(groups: number, most: number, taps: number): Pass[] {
  const count = Math.ceil(groups / most);
  return Array.from({ length: count }, (_, i) => {
    const [first, end] = [Math.floor((i * groups) / count), Math.floor(((i + 1) * groups) / count)];
    return { first, groups: end - first, lookups: 3 * Math.ceil(((end - first) * taps) / 3) };
  });
}

export class LookupConv {
  readonly input: Planes;
  readonly output: Computed;
  private readonly geometry: Geometry;
  private readonly mask: number;
  private readonly neutral: number;
  private readonly indices: number;
  private readonly starts: number;
  private readonly startSums: number;
  private readonly limits: number;
  private readonly passes: readonly Pass[];

  /** Whether the tables of this layer fit. */
  static fits(shape: KernelShape): boolean {
    if (shape.fanIn > MOST_FAN_IN) return false;
    return candidates(shape).length > 0;
  }

  /** Lookups that one image takes as long as, tables included; where they fit. */
  static lookups(shape: KernelShape): number {
    return (work(bestOf(shape), shape) * Math.ceil(shape.input.channels / GROUP)) / LOOKUP_WORK;
  }

  constructor(
    arena: Arena,
    private readonly shape: KernelShape,
    private readonly outputGroup: number,
    private readonly tables: number,
    private readonly sums: number,
  ) {
    const { input, output, kernel, padStart, padEnd } = shape;
    this.geometry = bestOf(shape);
    const { copies, pitch, vectors, tiles, entryBytes } = this.geometry;
    const rows = input.height + padStart + padEnd;
    const copyStride = aligned(Math.max(rows * pitch, (tiles - 1) * TILE + TILE / 2 + 16 * vectors) + 16);
    const groups = Math.ceil(input.channels / GROUP);
    this.input = {
      address: arena.take(groups * copies * copyStride),
      group: GROUP,
      groups,
      groupStride: copies * copyStride,
      copyStride,
      copies,
      pitch,
      before: padStart,
      height: input.height,
      width: input.width,
    };
    const tableBytes = ENTRIES * entryBytes;
    // As many as fit the cache, and one run of lookups.
    const most = Math.min(TABLE_BYTES / tableBytes, LOOKUPS / kernel ** 2);
    this.passes = passesOf(groups, Math.max(1, Math.floor(most)), kernel * kernel);
    this.mask = arena.take(copies * copyStride);
    this.neutral = arena.take(4 * groups);
    this.indices = arena.take(
      2 * this.passes.reduce((sum, { lookups }) => sum + lookups, 0) * output.channels,
    );
    this.starts = arena.take(4 * output.channels);
    this.startSums = arena.take(2 * 2 * TILE * tiles);
    this.limits = arena.take(2 * output.channels);
    this.output = computedPlanes(arena, shape, outputGroup, {
      stride: TILE * tiles,
      pitch,
      step: shape.stride,
    });
  }

  get tableName(): string {
    const { copies, vectors } = this.geometry;
    return `table-${copies}-${vectors}-${this.input.copyStride}`;
  }

  tableFunction(): WasmFunction {
    return tableFunction(this.tableName, { ...this.geometry, copyStride: this.input.copyStride });
  }

  /** Everything about the model that stays as it is. */
  prepare({ u8, u16, i32 }: Views, kernel: KernelLayer): void {
    if (kernel.output !== 'bits' || kernel.weights.type !== 'binary') throw notValidated();
    const { shape, input, geometry } = this;
    const { copies, pitch } = geometry;
    const channels = shape.input.channels;
    for (let c = 0; c < copies; c++)
      for (let y = 0; y < shape.input.height; y++)
        for (let x = 0; x < shape.input.width; x++) {
          const column = x + shape.padStart - c;
          if (column >= 0 && column < pitch)
            u8[this.mask + c * input.copyStride + (y + shape.padStart) * pitch + column] = 0xff;
        }
    for (let g = 0; g < input.groups; g++) {
      const [from, to] = [g * GROUP, Math.min(channels, (g + 1) * GROUP)];
      i32[this.neutral / 4 + g] = Math.floor(to / 2) - Math.floor(from / 2);
    }
    this.prepareIndices(u16, kernel.weights.bits);
    this.prepareStarts(u16, i32, kernel.thresholds);
  }

  private prepareIndices(u16: Uint16Array, bits: Uint8Array): void {
    const { shape, geometry } = this;
    const { kernel, fanIn } = shape;
    const channels = shape.input.channels;
    const bytes = rowBytes(fanIn);
    const taps = kernel * kernel;
    const offsets = Uint16Array.from({ length: taps }, (_, tap) => {
      const ky = Math.floor(tap / kernel);
      const kx = tap % kernel;
      return geometry.copies === 1
        ? ky * geometry.pitch + kx
        : kx * 16 * geometry.vectors + ky * geometry.pitch;
    });
    // A few hundred thousand times, before any of it is compiled well: no arrays, no closures.
    let at = this.indices / 2;
    for (const { first, groups, lookups } of this.passes)
      for (let begin = 0; begin < lookups; begin += LOOKUPS)
        for (let output = 0; output < shape.output.channels; output++)
          for (let i = begin; i < lookups && i < begin + LOOKUPS; i++) {
            const group = Math.floor(i / taps);
            if (group >= groups) {
              u16[at++] = 0;
              continue;
            }
            const tap = i - group * taps;
            const channel = (first + group) * GROUP;
            const column = tap * channels + channel;
            const pattern = readBits(bits, output * bytes, column, Math.min(GROUP, channels - channel));
            u16[at++] = NOTHING + (group * ENTRIES + pattern) * geometry.entryBytes + offsets[tap]!;
          }
  }

  /**
   * A pixel outside counts floor(channels / 2) mismatches, so that inside and outside n - 2 * mismatches is the sum, n being
   * the fan-in. With an odd number of channels that is one too few for every tap outside: sum = n - 2 * mismatches - taps,
   * and sum >= T is mismatches + taps / 2 <= (n - T) / 2, rounded as n - T is even or odd.
   */
  private prepareStarts(u16: Uint16Array, i32: Int32Array, thresholds: Int32Array): void {
    const { shape, geometry } = this;
    const { tiles, pitch } = geometry;
    const { kernel, padStart, input } = shape;
    if (input.channels % 2 === 1)
      for (let position = 0; position < tiles * TILE; position++) {
        const [y, x] = [Math.floor(position / pitch) - padStart, (position % pitch) - padStart];
        const inside = (at: number, size: number) =>
          Math.max(0, Math.min(size, at + kernel) - Math.max(0, at));
        const outside = kernel ** 2 - inside(y, input.height) * inside(x, input.width);
        u16[this.startSums / 2 + position] = Math.ceil(outside / 2);
        u16[this.startSums / 2 + tiles * TILE + position] = Math.floor(outside / 2);
      }
    for (const [o, threshold] of thresholds.entries()) {
      const room = shape.fanIn - threshold;
      i32[this.starts / 4 + o] = this.startSums + (room % 2 === 0 ? 0 : 2 * tiles * TILE);
      u16[this.limits / 2 + o] = Math.floor(room / 2) + 1;
    }
  }

  run(kernels: Kernels): void {
    const { shape, input, geometry, tables, sums, output } = this;
    const outputs = shape.output.channels;
    const end = sums + 2 * TILE * outputs;
    const table = kernels[this.tableName]!;
    const isOdd = shape.input.channels % 2 === 1;
    for (let tile = 0; tile < geometry.tiles; tile++) {
      if (isOdd) kernels['start']!(this.starts, 2 * TILE * tile, sums, end);
      let lookup = isOdd ? 'lookup' : 'first';
      let index = this.indices;
      for (const { first, groups, lookups } of this.passes) {
        table(
          input.address + first * input.groupStride + TILE * tile,
          input.groupStride,
          this.mask + TILE * tile,
          this.neutral + 4 * first,
          tables + NOTHING,
          tables + NOTHING + groups * ENTRIES * geometry.entryBytes,
        );
        for (let begin = 0; begin < lookups; begin += LOOKUPS) {
          const count = Math.min(LOOKUPS, lookups - begin);
          kernels[lookup]!(index, count, sums, end);
          lookup = 'lookup';
          index += 2 * count * outputs;
        }
      }
      kernels['threshold']!(
        this.limits,
        this.limits + 2 * outputs,
        sums,
        this.outputGroup,
        output.address + TILE * tile,
        output.stride,
      );
    }
  }
}

/** Geometries whose tables have room: in one plane with padding, and in a copy per kernel column. */
function candidates(shape: KernelShape): Geometry[] {
  return [1, shape.kernel]
    .map((copies) => geometryOf(shape, copies))
    .filter(({ entryBytes }) => ENTRIES * entryBytes <= MOST_TABLE_BYTES);
}

/** Bytes that the tables of any of these layers can take. */
export const tableBytes = MOST_TABLE_BYTES + NOTHING;
