/**
 * Bits between layers, as byte planes: a byte per pixel and group of channels, channel j of the group in bit j.
 *
 * A convolution that looks sums up takes groups of 5 (kernels.ts), in planes with its padding around them, or where rows are short in one copy
 * per kernel column, each shifted by one pixel, as narrow as the output (tiles.ts). What counts bits takes groups of 8, without padding: to
 * a dense layer they are one run of bits.
 *
 * Thresholds and packing are part of the loop over tiles, and so is pooling by 2x2 where those are whole rows. Other pooling, and copying
 * planes to where the next layer reads them, are passes of their own: copies take 0.7 % of an image of the paper's network and 1.2 % of
 * its half-width version (Zen 3).
 */
import type { KernelShape, MapShape } from '../shapes.js';
import { GROUP } from './kernels.js';
import type { Arena, Kernels } from './memory.js';

/** Channels per byte where bits are counted. */
export const BYTE_GROUP = 8;

export interface Planes {
  readonly address: number;
  /** channels per byte */
  readonly group: number;
  readonly groups: number;
  /** bytes from one group to the next, and from one copy to the next */
  readonly groupStride: number;
  readonly copyStride: number;
  /** 1, or one per kernel column */
  readonly copies: number;
  /** bytes from row to row */
  readonly pitch: number;
  /** rows and columns of padding before the first */
  readonly before: number;
  /** of the map, without padding */
  readonly height: number;
  readonly width: number;
}

/** What a layer leaves: planes of what it computed, not yet pooled. */
export interface Computed {
  readonly address: number;
  readonly stride: number;
  readonly pitch: number;
  /** pixels between neighbouring outputs: where a layer computed more than its stride asks for */
  readonly step: number;
  /** pooling that follows */
  readonly pool: number;
}

/** Planes for what counts bits: one run of bytes, and room for whole vectors. */
export function countedPlanes(arena: Arena, { height, width, channels }: MapShape): Planes {
  const groups = Math.ceil(channels / BYTE_GROUP);
  const groupStride = height * width;
  return {
    address: arena.take(groups * groupStride),
    group: BYTE_GROUP,
    groups,
    groupStride,
    copyStride: 0,
    copies: 1,
    pitch: width,
    before: 0,
    height,
    width,
  };
}

/** Planes of `group` channels for the outputs of `shape`: of those alone, or of `wide` rows, where more is computed. */
export function computedPlanes(
  arena: Arena,
  { output: { height, width, channels }, kernel, pool }: KernelShape,
  group: number,
  wide: Pick<Computed, 'stride' | 'pitch' | 'step'> = { stride: height * width, pitch: width, step: 1 },
): Computed {
  const address = arena.take(Math.ceil(channels / group) * wide.stride + 2 * wide.pitch * kernel);
  return { address, ...wide, pool };
}

/** Where the planes of a map are pooled before they are copied to their places. */
export const reserveScratch = (arena: Arena, shapes: readonly KernelShape[]): number =>
  arena.take(
    Math.max(
      16,
      ...shapes.map(({ pooled }) => pooled.height * pooled.width * Math.ceil(pooled.channels / GROUP)),
    ),
  );

/** Pools `from` and puts it where the next layer reads it. */
export function place(kernels: Kernels, from: Computed, to: Planes, scratch: number): void {
  const { height, width, pitch, before, copies, groups } = to;
  let { address: source, stride: sourceStride, pitch: sourcePitch } = from;
  if (from.pool > 1 || from.step > 1) {
    for (let g = 0; g < groups; g++) {
      const [plane, pooled] = [from.address + g * from.stride, scratch + g * height * width];
      if (from.pool === 2 && from.step === 1)
        kernels['pool2']!(plane, pooled, height, sourcePitch, width, width);
      else kernels['pool']!(plane, pooled, height, sourcePitch, width, width, from.pool, from.step);
    }
    source = scratch;
    sourceStride = height * width;
    sourcePitch = width;
  }
  const target = to.address + before * pitch;
  for (let c = 0; c < copies; c++) {
    // Column x of copy c is column x + c - before of the map; a single copy has its padding in it.
    const first = copies === 1 ? before : Math.max(0, before - c);
    const skipped = copies === 1 ? 0 : Math.max(0, c - before);
    const columns = copies === 1 ? width : Math.min(pitch - first, width - skipped);
    if (columns > 0)
      kernels['copy']!(
        source + skipped,
        target + c * to.copyStride + first,
        groups,
        sourceStride,
        to.groupStride,
        height,
        sourcePitch,
        pitch,
        columns,
      );
  }
}
