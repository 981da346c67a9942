/**
 * Which pixels of a map are computed together: tiles of 64, two vectors of 16 in low nibbles and two in high ones.
 *
 * Tiles are whole rows where those are of 16 or 32 pixels, or little less: what the vectors read lies as far apart as rows do. Rows of 16 lie
 * 32 bytes apart, so that no load reaches over the end of a cache line, which is 1 % of the paper's network (Zen 3). Else the vectors follow
 * each other over the padded rows; or, where rows are short and much of each tile would be padding, over the rows of the output alone, in a
 * copy of the planes for every kernel column.
 */
import type { KernelShape } from '../shapes.js';
import { ENTRIES, TILE } from './kernels.js';

export interface Tiles {
  /** of the planes read */
  readonly copies: number;
  readonly pitch: number;
  /** bytes from a tile's first vector to its second, to what is in high nibbles, and to the next tile */
  readonly apart: number;
  readonly half: number;
  readonly step: number;
  readonly count: number;
  /** vectors of a table's entry in each copy, and its bytes in all */
  readonly vectors: number;
  readonly entryBytes: number;
  /** pixels from row to row of what is computed, 64 of each tile one behind the other */
  readonly outputPitch: number;
}

/** Offsets of table entries, and of the nothing before them, are 16 bits. */
export const MOST_TABLE_BYTES = 65_536 - 64;
/** Vector operations of a lookup of 64 sums. */
const LOOKUP_WORK = 5;

/** Sums are computed at every pixel, also where the stride skips some. */
function candidates({ input, kernel, padStart, padEnd }: KernelShape): Tiles[] {
  const pad = padStart + padEnd;
  const width = input.width + pad - kernel + 1;
  const height = input.height + pad - kernel + 1;
  const tiles = (
    [copies, pitch, apart, half, step]: readonly [number, number, number, number, number],
    outputPitch = pitch,
  ): Tiles => {
    const reach = apart + 16 + (kernel - 1) * (copies === 1 ? pitch + 1 : pitch);
    const vectors = Math.ceil(reach / 16);
    const count = Math.ceil(((height - 1) * outputPitch + width) / TILE);
    return {
      copies,
      pitch,
      apart,
      half,
      step,
      count,
      vectors,
      entryBytes: copies * vectors * 16,
      outputPitch,
    };
  };
  const padded = input.width + pad;
  const all = [
    tiles([1, padded, 16, 32, TILE]),
    tiles([kernel, width, 16, 32, TILE]),
    ...(width <= 16 ? [tiles([1, 32, 32, 64, 128], 16)] : []),
    ...(width <= 32 ? [tiles([1, padded, 16, padded, 2 * padded], 32)] : []),
  ];
  return all.filter(({ entryBytes }) => ENTRIES * entryBytes <= MOST_TABLE_BYTES);
}

/** Lookups that a group of one image takes as long as, tables included. */
export const lookupsOf = ({ count, copies, vectors }: Tiles, { output, kernel }: KernelShape): number =>
  count * ((2 * ENTRIES * copies * vectors) / LOOKUP_WORK + output.channels * kernel * kernel);

/** The tiles of least work; undefined where no tables have room. */
export const bestTiles = (shape: KernelShape): Tiles | undefined =>
  candidates(shape).toSorted((a, b) => lookupsOf(a, shape) - lookupsOf(b, shape))[0];
