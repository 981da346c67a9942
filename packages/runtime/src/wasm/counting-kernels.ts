/**
 * The inner loops that count bits instead of looking sums up (kernels.ts): of dense layers, and of convolutions that have too few
 * places or outputs to pay for tables, or for which tables have no room. What is counted is one run of bits, so that any shape can be.
 */

import {
  I32,
  i8x16,
  i16x8,
  i32,
  i32x4,
  times,
  until,
  V128,
  v128,
  type WasmFunction,
  wasmFunction,
} from './emitter.js';
import { add, copyRows, laneSum } from './kernels.js';

/** Vectors of bytes whose counts fit a byte: 31 * 8 <= 255. */
const COUNTED = 31;
/** Rows of weights counted together. */
const ROWS = 4;
/** Rows of weights, and counts, that are there for so many outputs. */
export const rowsOf = (outputs: number): number => ROWS * Math.ceil(outputs / ROWS);

/**
 * Mismatches of `positions` runs of `bytes` bytes (a multiple of 16), one behind the other at `input`, with each of the rows at
 * `weights`, four at a time: i32 each, the first position's from `counts` to `end`, each other's `pitch` bytes after the one before.
 */
export const countFunction = (): WasmFunction =>
  wasmFunction('count', ([input, bytes, positions, weights, counts, pitch, end], local) => {
    const [at, inputEnd, stop, left, to] = local(I32);
    const [vector] = local(V128);
    const rows = Array.from({ length: ROWS }, () => {
      const [address] = local(I32);
      const [few, many] = local(V128);
      return { address, few, many };
    });
    const limit = i32.add(at, 16 * COUNTED);
    return until(
      counts,
      end,
      at.set(input),
      to.set(counts),
      left.set(positions),
      times(
        left,
        inputEnd.set(i32.add(at, bytes)),
        ...rows.flatMap(({ address, many }, i) => [
          address.set(i32.add(weights, i32.mul(bytes, i))),
          many.set(v128.zero),
        ]),
        until(
          at,
          inputEnd,
          ...rows.map(({ few }) => few.set(v128.zero)),
          stop.set(i32.select(limit, inputEnd, i32.lessUnsigned(limit, inputEnd))),
          until(
            at,
            stop,
            vector.set(v128.load(at)),
            ...rows.flatMap(({ address, few }) => [
              few.set(i8x16.add(few, i8x16.popcount(v128.xor(vector, v128.load(address))))),
              add(address, 16),
            ]),
            add(at, 16),
          ),
          ...rows.map(({ few, many }) => many.set(i32x4.add(many, i32x4.pairSums(i16x8.pairSums(few))))),
        ),
        ...rows.map(({ many }, i) => i32.store(to, laneSum(many), 4 * i)),
        add(to, pitch),
      ),
      add(weights, i32.shiftLeft(bytes, 2)),
      add(counts, 4 * ROWS),
    );
  });

/** Bytes of a plane, one behind the other at `from`, to every `step`-th at `to`, whose rows of `width` begin `pitch` bytes apart. */
export const spreadFunction = (): WasmFunction =>
  wasmFunction('spread', ([from, to, rows, width, step, pitch], local) => {
    const [at, left] = local(I32);
    return times(
      rows,
      at.set(to),
      left.set(width),
      times(left, i32.store8(at, i32.load8(from)), add(from, 1), add(at, step)),
      add(to, pitch),
    );
  });

/**
 * The windows of `positions` outputs, each `bytes` long (a multiple of 16), one behind the other at `to`: `rows` runs of `run` bytes,
 * `pitch` apart, from `from` and every `step` bytes after it, and zeros.
 */
export const gatherFunction = (): WasmFunction =>
  wasmFunction('gather', ([from, step, positions, run, rows, pitch, to, bytes], local) => {
    const [row, left, at, x] = local(I32);
    return times(
      positions,
      row.set(from),
      at.set(to),
      left.set(rows),
      copyRows(x, [row, pitch!], [at, run!], left, run),
      v128.store(at, v128.zero),
      add(from, step),
      add(to, bytes),
    );
  });

/**
 * Counts of `positions` outputs, `pitch` bytes apart, to bits: byte planes `stride` apart at `to`, of 8 or fewer (`group`) outputs
 * each, 1 where a count is at most the output's limit; `limits` has the address of each position's.
 */
export const compareFunction = (): WasmFunction =>
  wasmFunction('compare', ([counts, pitch, limits, positions, group, planes, to, stride], local) => {
    const [count, limit, plane, left] = local(I32);
    const bits = (offset: number) =>
      i32x4.bitmask(i32x4.greaterEqual(v128.load(limit, offset), v128.load(count, offset)));
    const groupBytes = i32.shiftLeft(group, 2);
    const mask = i32.sub(i32.shiftLeft(1, group), 1);
    return times(
      positions,
      count.set(counts),
      limit.set(i32.load(limits)),
      plane.set(to),
      left.set(planes),
      times(
        left,
        i32.store8(plane, i32.and(i32.or(bits(0), i32.shiftLeft(bits(16), 4)), mask)),
        add(count, groupBytes),
        add(limit, groupBytes),
        add(plane, stride),
      ),
      add(counts, pitch),
      add(limits, 4),
      add(to, 1),
    );
  });
