/** Writes IDX files, for tests of the reader. */

/** A file of uint8 values; they need not be as many as the dimensions say. */
export function writeIdx(dimensions: readonly number[], values: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + dimensions.length * 4);
  header[2] = 8;
  header[3] = dimensions.length;
  for (const [i, side] of dimensions.entries()) header.writeUInt32BE(side, 4 + i * 4);
  return Buffer.concat([header, values]);
}

/** 0, 1, 2, ... */
export const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i);

/** The four files of a tiny MNIST: three training images and one test image of 2x4. */
export const idxFiles = (): Record<string, Uint8Array> => ({
  'train-images-idx3-ubyte': writeIdx([3, 2, 4], counting(24)),
  'train-labels-idx1-ubyte': writeIdx([3], Uint8Array.of(9, 0, 4)),
  't10k-images-idx3-ubyte': writeIdx([1, 2, 4], counting(8)),
  't10k-labels-idx1-ubyte': writeIdx([1], Uint8Array.of(4)),
});
