/**
 * Weights in as many bits as they need. Every code gives back exactly the numbers that went in.
 *
 *     real       32 bits: the numbers themselves
 *     sparse     32 bits for each that is not 0, and how far it lies behind the one before: sparse-codes.ts
 *     levels     1 bit: -s (0) or +s (1), one level s for each output; 2 bits: 0 (0) or one of two other numbers (1, 2), the
 *                levels of each output, the larger first. Where all outputs have the same levels they are stored once.
 *     integers   2 to 16 bits: two's complement multiples of one step, stored as the one level
 *
 * Rows of codes are padded to whole bytes, lowest bits first.
 */
import { internalError, modelError } from '@cbnn/runtime';
import { decodeSparse, encodeSparse } from './sparse-codes.js';

export interface CodeForm {
  readonly kind: 'real' | 'sparse' | 'levels' | 'integers';
  readonly bits: number;
}

export interface WeightCodes extends CodeForm {
  /** `[outputs][ceil(fanIn * bits / 8)]`; of real ones the numbers, little endian */
  readonly codes: Uint8Array;
  /** `[outputs or 1][1 or 2]`, or the step, or the values of sparse ones; none of real ones */
  readonly levels: Float32Array;
}

/** Levels of an output. */
const levelsOf = ({ kind, bits }: CodeForm): number => (kind === 'real' ? 0 : kind === 'integers' ? 1 : bits);

/** Levels that these weights take, or null where there are more. */
function findLevels(weights: Float32Array, bits: number): number[] | null {
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
export const rowBytes = (fanIn: number, bits: number): number => Math.ceil((fanIn * bits) / 8);

/** Throws an internal error for weights that take more values than the code has; `step`: of integers. */
export function encodeWeights(
  weights: Float32Array,
  outputs: number,
  form: CodeForm,
  step?: number,
): WeightCodes {
  const { kind, bits } = form;
  const odd = weights.findIndex((value) => !Number.isFinite(value));
  if (odd >= 0)
    throw modelError(
      `weights: expected finite numbers, got ${weights[odd]} at ${odd}: the training went astray`,
    );
  if (kind === 'real') {
    const codes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength).slice();
    return { ...form, codes, levels: new Float32Array(0) };
  }
  if (kind === 'sparse') {
    const { codes, values } = encodeSparse(weights);
    return { ...form, codes, levels: values };
  }
  const fanIn = weights.length / outputs;
  const all = Array.from({ length: outputs }, (_, o) => weights.subarray(o * fanIn, (o + 1) * fanIn));
  const shared = kind === 'integers' ? [step!] : findLevels(weights, bits);
  const levels: number[] = [...(shared ?? [])];
  const writer = new BitWriter(outputs, rowBytes(fanIn, bits));
  for (const [o, row] of all.entries()) {
    const own = shared ?? findLevels(row, bits);
    if (!own) throw internalError(`weights: expected ${bits}-bit values, got others in output ${o + 1}`);
    if (!shared) levels.push(...own);
    for (const [i, value] of row.entries()) writer.put(o, i, bits, codeOf(value, form, own));
  }
  return { ...form, codes: writer.bytes, levels: Float32Array.from(levels) };
}

function codeOf(value: number, { kind, bits }: CodeForm, levels: readonly number[]): number {
  if (kind === 'levels') return bits === 1 ? Number(value > 0) : value === 0 ? 0 : levels.indexOf(value) + 1;
  const code = value / levels[0]!;
  if (!Number.isInteger(code) || code < -(2 ** (bits - 1)) || code >= 2 ** (bits - 1))
    throw internalError(`weights: expected ${bits}-bit multiples of ${levels[0]}, got ${value}`);
  return code & (2 ** bits - 1);
}

/** Throws a model error where the parts do not fit together. */
export function decodeWeights(
  { kind, bits, codes, levels }: WeightCodes,
  outputs: number,
  fanIn: number,
): Float32Array {
  if (kind === 'sparse') return decodeSparse({ codes, values: levels }, outputs * fanIn);
  const pitch = rowBytes(fanIn, bits);
  const each = levelsOf({ kind, bits });
  if (codes.length !== outputs * pitch)
    throw modelError(`weights: expected ${outputs * pitch} bytes of codes, got ${codes.length}`);
  if (levels.length !== each && (kind === 'integers' || levels.length !== outputs * each))
    throw modelError(`weights: expected ${each} or ${outputs * each} levels, got ${levels.length}`);
  if (kind === 'real') return new Float32Array(codes.slice().buffer);
  const weights = new Float32Array(outputs * fanIn);
  const step = levels.length === each ? 0 : each;
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < fanIn; i++) {
      const code = readBits(codes, 8 * o * pitch + i * bits, bits);
      const own = levels.subarray(o * step, o * step + each);
      weights[o * fanIn + i] =
        kind === 'integers'
          ? (code - (code >> (bits - 1)) * 2 ** bits) * own[0]!
          : levelOf(code, bits, own, o);
    }
  return weights;
}

function levelOf(code: number, bits: number, levels: Float32Array, o: number): number {
  if (bits === 1) return code ? levels[0]! : -levels[0]!;
  if (code === 3) throw modelError(`weights: expected codes of 0, 1 or 2, got 3 in output ${o + 1}`);
  return code === 0 ? 0 : levels[code - 1]!;
}

class BitWriter {
  readonly bytes: Uint8Array;

  constructor(
    rows: number,
    private readonly pitch: number,
  ) {
    this.bytes = new Uint8Array(rows * pitch);
  }

  put(row: number, index: number, bits: number, code: number): void {
    const start = 8 * row * this.pitch + index * bits;
    for (let bit = 0; bit < bits; bit++)
      this.bytes[(start + bit) >> 3]! |= ((code >> bit) & 1) << ((start + bit) & 7);
  }
}

function readBits(bytes: Uint8Array, start: number, bits: number): number {
  let code = 0;
  for (let bit = 0; bit < bits; bit++)
    code |= ((bytes[(start + bit) >> 3]! >> ((start + bit) & 7)) & 1) << bit;
  return code;
}
