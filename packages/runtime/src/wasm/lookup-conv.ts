/** A convolution of bits that looks sums up: in which tables, and in which order. The arithmetic is in kernels.ts. */
import { readBits, rowBytes } from '../bits.js';
import type { KernelLayer } from '../model.js';
import type { KernelShape } from '../shapes.js';
import type { WasmFunction } from './emitter.js';
import {
  ENTRIES,
  GROUP,
  LOOKUPS,
  lookupFunction,
  TILE,
  tableFunction,
  thresholdFunction,
} from './kernels.js';
import { type Arena, aligned, type Kernels, notValidated, type Views } from './memory.js';
import { type Computed, computedPlanes, type Planes } from './planes.js';
import { bestTiles, lookupsOf, MOST_TABLE_BYTES, type Tiles } from './tiles.js';

/** Bytes before the first table: a lookup of nothing. */
const NOTHING = 64;
/** Tables of one pass: three quarters of a small first-level cache, so that they stay in it. */
const TABLE_BYTES = 24 * 1024;
/** Sums of mismatches are 16 bits, and the limit of a unit that is always on is one more. */
const MOST_FAN_IN = 65_534;

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
  private readonly tiles: Tiles;
  private readonly mask: number;
  private readonly indices: number;
  private readonly starts: number;
  private readonly startSums: number;
  private readonly limits: number;
  private readonly passes: readonly Pass[];
  /** pixels of a row, where windows of 2x2 are pooled in tiles of whole rows; else 0 */
  private readonly pooledRow: number;
  private made?: readonly WasmFunction[];

  /** Lookups that one image takes as long as, tables included; undefined where the tables of this layer do not fit. */
  static lookups(shape: KernelShape): number | undefined {
    const tiles = shape.fanIn > MOST_FAN_IN ? undefined : bestTiles(shape);
    return tiles && lookupsOf(tiles, shape) * Math.ceil(shape.input.channels / GROUP);
  }

  constructor(
    arena: Arena,
    private readonly shape: KernelShape,
    private readonly outputGroup: number,
    private readonly tables: number,
    private readonly sums: number,
  ) {
    const { input, output, kernel, padStart, padEnd } = shape;
    this.tiles = bestTiles(shape)!;
    const { copies, pitch, half, step, count, vectors, entryBytes, outputPitch } = this.tiles;
    const rows = input.height + padStart + padEnd;
    const copyStride = aligned(Math.max(rows * pitch, (count - 1) * step + half + 16 * vectors) + 16);
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
    this.indices = arena.take(
      2 * this.passes.reduce((sum, { lookups }) => sum + lookups, 0) * output.channels,
    );
    this.starts = arena.take(4 * output.channels);
    this.startSums = arena.take(2 * 2 * TILE * count);
    this.limits = arena.take(2 * output.channels);
    this.pooledRow =
      shape.pool === 2 && shape.stride === 1 && [8, 16, 32].includes(outputPitch) ? outputPitch : 0;
    const pool = this.pooledRow ? 2 : 1;
    const wide = { stride: (TILE / pool ** 2) * count, pitch: outputPitch / pool, step: shape.stride };
    this.output = { ...computedPlanes(arena, shape, outputGroup, wide), pool: shape.pool / pool };
  }

  /** The kernels of this layer, and of others like it: of tables, of a tile's first lookups and of those after them, and of bits. */
  get functions(): readonly WasmFunction[] {
    const { tables, tiles, input } = this;
    this.made ??= [
      tableFunction({ ...tiles, copyStride: input.copyStride }),
      lookupFunction(tables, tiles.apart, true),
      lookupFunction(tables, tiles.apart, false),
      thresholdFunction(this.pooledRow),
    ];
    return this.made;
  }

  /** Everything about the model that stays as it is. */
  prepare({ u8, u16, i32 }: Views, kernel: KernelLayer): void {
    if (kernel.output !== 'bits' || kernel.weights.type !== 'binary') throw notValidated();
    const { shape, input } = this;
    const { copies, pitch } = this.tiles;
    for (let c = 0; c < copies; c++)
      for (let y = 0; y < shape.input.height; y++)
        for (let x = 0; x < shape.input.width; x++) {
          const column = x + shape.padStart - c;
          if (column >= 0 && column < pitch)
            u8[this.mask + c * input.copyStride + (y + shape.padStart) * pitch + column] = 0xff;
        }
    this.prepareIndices(u16, kernel.weights.bits);
    this.prepareStarts(u16, i32, kernel.thresholds);
  }

  private prepareIndices(u16: Uint16Array, bits: Uint8Array): void {
    const { shape, tiles } = this;
    const { kernel, fanIn } = shape;
    const channels = shape.input.channels;
    const bytes = rowBytes(fanIn);
    const taps = kernel * kernel;
    const offsets = Uint16Array.from({ length: taps }, (_, tap) => {
      const ky = Math.floor(tap / kernel);
      const kx = tap % kernel;
      return tiles.copies === 1 ? ky * tiles.pitch + kx : kx * 16 * tiles.vectors + ky * tiles.pitch;
    });
    // A million times for the paper's network, before any of it is compiled well: no arrays, no closures, no divisions.
    let at = this.indices / 2;
    for (const { first, groups, lookups } of this.passes)
      for (let output = 0; output < shape.output.channels; output++) {
        const end = at + lookups;
        for (let group = 0; group < groups; group++) {
          const channel = (first + group) * GROUP;
          const count = Math.min(GROUP, channels - channel);
          const table = NOTHING + group * ENTRIES * tiles.entryBytes;
          for (let tap = 0; tap < taps; tap++) {
            const pattern = readBits(bits, output * bytes, tap * channels + channel, count);
            u16[at++] = table + pattern * tiles.entryBytes + offsets[tap]!;
          }
        }
        while (at < end) u16[at++] = 0;
      }
  }

  /**
   * A pixel outside counts no mismatch; where a sum starts with half of the products outside, n - 2 * mismatches is the sum of those
   * inside, n being the fan-in, and sum >= T is mismatches <= (n - T) / 2. Halves are rounded up or down as n - T is even or odd.
   */
  private prepareStarts(u16: Uint16Array, i32: Int32Array, thresholds: Int32Array): void {
    const { kernel, padStart, input, fanIn } = this.shape;
    const { count, outputPitch } = this.tiles;
    for (let position = 0; position < count * TILE; position++) {
      const [y, x] = [Math.floor(position / outputPitch) - padStart, (position % outputPitch) - padStart];
      const inside = (at: number, size: number) => Math.max(0, Math.min(size, at + kernel) - Math.max(0, at));
      const outside = fanIn - inside(y, input.height) * inside(x, input.width) * input.channels;
      u16[this.startSums / 2 + position] = Math.ceil(outside / 2);
      u16[this.startSums / 2 + count * TILE + position] = Math.floor(outside / 2);
    }
    for (const [o, threshold] of thresholds.entries()) {
      const room = fanIn - threshold;
      i32[this.starts / 4 + o] = this.startSums + (room % 2 === 0 ? 0 : 2 * TILE * count);
      u16[this.limits / 2 + o] = Math.floor(room / 2) + 1;
    }
  }

  run(kernels: Kernels): void {
    const { shape, input, tiles, tables, sums, output } = this;
    const [table, begin, goOn, threshold] = this.functions.map(({ name }) => kernels[name]!);
    const outputs = shape.output.channels;
    const end = sums + 2 * TILE * outputs;
    for (let tile = 0; tile < tiles.count; tile++) {
      let lookup = begin!;
      let index = this.indices;
      for (const { first, groups, lookups } of this.passes) {
        table!(
          input.address + first * input.groupStride + tiles.step * tile,
          input.groupStride,
          this.mask + tiles.step * tile,
          tables + NOTHING,
          tables + NOTHING + groups * ENTRIES * tiles.entryBytes,
        );
        lookup(index, lookups, sums, end, this.starts, 2 * TILE * tile);
        lookup = goOn!;
        index += 2 * lookups * outputs;
      }
      threshold!(
        this.limits,
        this.limits + 2 * outputs,
        sums,
        this.outputGroup,
        output.address + (output.stride / tiles.count) * tile,
        output.stride,
      );
    }
  }
}

/** Bytes that the tables of any of these layers can take. */
export const tableBytes = MOST_TABLE_BYTES + NOTHING;
