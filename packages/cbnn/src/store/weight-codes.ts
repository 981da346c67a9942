/**
 * Weights in as many bits as they need. Every code gives back exactly the numbers that went in: quantized weights take few
 * values per output, which are stored once, as *levels*.
 *
 *     32 bits   the numbers themselves
 *      1 bit    -s (0) or +s (1), one level s for each output
 *      2 bits   0 (0) or one of two other numbers (1, 2), the levels of each output, the larger first
 *
 * Rows of codes are padded to whole bytes, lowest bits first. Where all outputs have the same levels they are stored once.
 */
import { internalError, modelError } from '@cbnn/runtime';

export type CodeBits = 1 | 2 | 32;

export interface WeightCodes {
  readonly bits: CodeBits;
  /** `[outputs][ceil(fanIn * bits / 8)]`; of 32 bits the numbers, little endian */
  readonly codes: Uint8Array;
  /** `[outputs or 1][1 or 2]`; none of 32 bits */
  readonly levels: Float32Array;
}

const levelsOf = (bits: CodeBits): number => (bits === 32 ? 0 : bits);

/** Levels that these weights take, or null where there are more. */
function findLevels(weights: Float32Array, bits: 1 | 2): number[] | null {
  const found = new Set<number>();
  for (const value of weights) {
    if (bits === 1) found.add(Math.abs(value));
    else if (value !== 0) found.add(value);
    if (found.size > bits) return null;
  }
  const levels = [...found].sort((a, b) => b - a);
  // One number alone keeps its side, so that a layer's outputs agree.
  if (bits === 2 && levels.length === 1 && levels[0]! < 0) levels.unshift(0);
  while (levels.length < bits) levels.push(0);
  return levels;
}

/** Bytes of a row of `fanIn` weights. */
export const rowBytes = (fanIn: number, bits: CodeBits): number => Math.ceil((fanIn * bits) / 8);

/** Throws an internal error for weights that take more values than the code has. */
export function encodeWeights(weights: Float32Array, outputs: number, bits: CodeBits): WeightCodes {
  if (bits === 32) {
    const codes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength).slice();
    return { bits, codes, levels: new Float32Array(0) };
  }
  const fanIn = weights.length / outputs;
  const pitch = rowBytes(fanIn, bits);
  const codes = new Uint8Array(outputs * pitch);
  const shared = findLevels(weights, bits);
  const all: number[] = [...(shared ?? [])];
  for (let o = 0; o < outputs; o++) {
    const row = weights.subarray(o * fanIn, (o + 1) * fanIn);
    const levels = shared ?? findLevels(row, bits);
    if (!levels) throw internalError(`weights: expected ${bits}-bit values, got others in output ${o + 1}`);
    if (!shared) all.push(...levels);
    for (const [i, value] of row.entries()) {
      const code = bits === 1 ? Number(value > 0) : value === 0 ? 0 : levels.indexOf(value) + 1;
      codes[o * pitch + ((i * bits) >> 3)]! |= code << ((i * bits) & 7);
    }
  }
  return { bits, codes, levels: Float32Array.from(all) };
}

/** Throws a model error where the parts do not fit together. */
export function decodeWeights(
  { bits, codes, levels }: WeightCodes,
  outputs: number,
  fanIn: number,
): Float32Array {
  const pitch = rowBytes(fanIn, bits);
  const each = levelsOf(bits);
  if (codes.length !== outputs * pitch)
    throw modelError(`weights: expected ${outputs * pitch} bytes of codes, got ${codes.length}`);
  if (levels.length !== each && levels.length !== outputs * each)
    throw modelError(`weights: expected ${each} or ${outputs * each} levels, got ${levels.length}`);
  if (bits === 32) return new Float32Array(codes.slice().buffer);
  const weights = new Float32Array(outputs * fanIn);
  const step = levels.length === each ? 0 : each;
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < fanIn; i++) {
      const code = (codes[o * pitch + ((i * bits) >> 3)]! >> ((i * bits) & 7)) & ((1 << bits) - 1);
      if (code === 3) throw modelError(`weights: expected codes of 0, 1 or 2, got 3 in output ${o + 1}`);
      const at = o * step;
      if (bits === 1) weights[o * fanIn + i] = code ? levels[at]! : -levels[at]!;
      else weights[o * fanIn + i] = code === 0 ? 0 : levels[at + code - 1]!;
    }
  return weights;
}
