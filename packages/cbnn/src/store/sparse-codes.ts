/**
 * Weights of which few are left, by how far each lies behind the one before (Han et al. 2016, section 2): in `gap` bits, 0 for the
 * next weight; the largest number says that so many are 0 and none is there yet. The first byte is `gap`, whichever from 2 to 8
 * takes least; then follow the codes, lowest bits first. The values are stored by themselves.
 */
import { modelError } from '@cbnn/runtime';

const LEAST_GAP = 2;
const MOST_GAP = 8;

export interface SparseCodes {
  readonly codes: Uint8Array;
  readonly values: Float32Array;
}

export function encodeSparse(weights: Float32Array): SparseCodes {
  const at: number[] = [];
  for (const [i, value] of weights.entries()) if (value !== 0) at.push(i);
  let best: number[] = [];
  let bits = 0;
  for (let gap = LEAST_GAP; gap <= MOST_GAP; gap++) {
    const codes = gapsOf(at, 2 ** gap - 1);
    if (bits > 0 && codes.length * gap >= best.length * bits) continue;
    best = codes;
    bits = gap;
  }
  const bytes = new Uint8Array(1 + Math.ceil((best.length * bits) / 8));
  bytes[0] = bits;
  for (const [i, code] of best.entries())
    for (let bit = 0; bit < bits; bit++) {
      const to = 8 + i * bits + bit;
      bytes[to >> 3]! |= ((code >> bit) & 1) << (to & 7);
    }
  return { codes: bytes, values: Float32Array.from(at, (i) => weights[i]!) };
}

function gapsOf(at: readonly number[], none: number): number[] {
  const codes: number[] = [];
  let next = 0;
  for (const i of at) {
    for (; i - next >= none; next += none) codes.push(none);
    codes.push(i - next);
    next = i + 1;
  }
  return codes;
}

/** Throws a model error for codes that lead out of `count` weights, or do not end with the last value. */
export function decodeSparse({ codes, values }: SparseCodes, count: number): Float32Array {
  const bits = codes[0] ?? 0;
  if (bits < LEAST_GAP || bits > MOST_GAP)
    throw modelError(`weights: expected gaps of ${LEAST_GAP} to ${MOST_GAP} bits, got ${bits}`);
  const none = 2 ** bits - 1;
  const weights = new Float32Array(count);
  let next = 0;
  let at = 8;
  for (const value of values) {
    for (let code = none; code === none; ) {
      if (at + bits > 8 * codes.length)
        throw modelError('weights: expected more gaps: the codes are too short');
      code = 0;
      for (let bit = 0; bit < bits; bit++, at++) code |= ((codes[at >> 3]! >> (at & 7)) & 1) << bit;
      next += code;
    }
    if (next >= count) throw modelError(`weights: expected ${count}, got a gap that leads behind them`);
    weights[next++] = value;
  }
  if (Math.ceil(at / 8) !== codes.length)
    throw modelError('weights: expected fewer gaps: the codes are too long');
  return weights;
}
