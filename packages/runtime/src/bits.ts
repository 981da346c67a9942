/**
 * Rows of +-1 values as bits: 1 = +1, 0 = -1, least significant bit first, each row padded with zero bits to a
 * whole byte. This is the layout of binary weights in a model (`[outputs][ceil(fanIn / 8)]`).
 */

/** Bytes of one packed row. */
export const rowBytes = (columns: number): number => Math.ceil(columns / 8);

/** Packs `[rows][columns]` values; the bit is value >= 0, so sign(0) = +1. */
export function packRows(values: ArrayLike<number>, rows: number, columns: number): Uint8Array {
  const stride = rowBytes(columns);
  const bits = new Uint8Array(rows * stride);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      if (values[row * columns + column]! >= 0) bits[row * stride + (column >> 3)]! |= 1 << (column & 7);
  return bits;
}

/** The +-1 values `[rows][columns]` of packed rows. */
export function unpackRows(bits: Uint8Array, rows: number, columns: number): Int8Array {
  const stride = rowBytes(columns);
  const values = new Int8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      values[row * columns + column] = (bits[row * stride + (column >> 3)]! >> (column & 7)) & 1 ? 1 : -1;
  return values;
}

/** `count` (at most 8) bits of a packed row that begins at byte `start`, from its column `column` on; the first is the lowest. */
export function readBits(bits: Uint8Array, start: number, column: number, count: number): number {
  const at = start + (column >> 3);
  const shift = column & 7;
  // Not read where it is not needed: behind the end of an array, optimized code would have to be given up.
  const next = shift + count > 8 ? bits[at + 1]! << 8 : 0;
  return ((bits[at]! | next) >> shift) & ((1 << count) - 1);
}

/** Number of one bits of a 32-bit word (Warren, Hacker's Delight, 5-1). */
export function popcount32(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  n = (n + (n >>> 4)) & 0x0f0f0f0f;
  return Math.imul(n, 0x01010101) >>> 24;
}
