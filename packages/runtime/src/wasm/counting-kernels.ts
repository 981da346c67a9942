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
  wasmFunction('count', 7, ([input, bytes, positions, weights, counts, pitch, end], local) => {
    const [at, inputEnd, stop, left, to] = [local(I32), local(I32), local(I32), local(I32), local(I32)];
    const vector = local(V128);
    const rows = Array.from({ length: ROWS }, () => ({
      address: local(I32),
      few: local(V128),
      many: local(V128),
    }));
    const limit = i32.add(at.get, i32.constant(16 * COUNTED));
    return until(
      counts!,
      end!,
      at.set(input!.get),
      to.set(counts!.get),
      left.set(positions!.get),
      times(
        left,
        inputEnd.set(i32.add(at.get, bytes!.get)),
        ...rows.flatMap(({ address, many }, i) => [
          address.set(i32.add(weights!.get, i32.mul(bytes!.get, i32.constant(i)))),
          many.set(v128.zero),
        ]),
        until(
          at,
          inputEnd,
          ...rows.map(({ few }) => few.set(v128.zero)),
          stop.set(i32.select(limit, inputEnd.get, i32.lessUnsigned(limit, inputEnd.get))),
          until(
            at,
            stop,
            vector.set(v128.load(at.get)),
            ...rows.flatMap(({ address, few }) => [
              few.set(i8x16.add(few.get, i8x16.popcount(v128.xor(vector.get, v128.load(address.get))))),
              add(address, 16),
            ]),
            add(at, 16),
          ),
          ...rows.map(({ few, many }) =>
            many.set(i32x4.add(many.get, i32x4.pairSums(i16x8.pairSums(few.get)))),
          ),
        ),
        ...rows.map(({ many }, i) => i32.store(to.get, laneSum(many.get), 4 * i)),
        add(to, pitch!.get),
      ),
      add(weights!, i32.shiftLeft(bytes!.get, i32.constant(2))),
      add(counts!, 4 * ROWS),
    );
  });

/** Bytes of a plane, one behind the other at `from`, to every `step`-th at `to`, whose rows of `width` begin `pitch` bytes apart. */
export const spreadFunction = (): WasmFunction =>
  wasmFunction('spread', 6, ([from, to, rows, width, step, pitch], local) => {
    const [at, left] = [local(I32), local(I32)];
    return times(
      rows!,
      at.set(to!.get),
      left.set(width!.get),
      times(left, i32.store8(at.get, i32.load8(from!.get)), add(from!, 1), add(at, step!.get)),
      add(to!, pitch!.get),
    );
  });

/**
 * The windows of `positions` outputs, each `bytes` long (a multiple of 16), one behind the other at `to`: `rows` runs of `run` bytes,
 * `pitch` apart, from `from` and every `step` bytes after it, and zeros.
 */
export const gatherFunction = (): WasmFunction =>
  wasmFunction('gather', 8, ([from, step, positions, run, rows, pitch, to, bytes], local) => {
    const [row, left, at, x] = [local(I32), local(I32), local(I32), local(I32)];
    return times(
      positions!,
      row.set(from!.get),
      at.set(to!.get),
      left.set(rows!.get),
      copyRows(x, [row, pitch!], [at, run!], left, run!),
      v128.store(at.get, v128.zero),
      add(from!, step!.get),
      add(to!, bytes!.get),
    );
  });

/**
 * Counts of `positions` outputs, `pitch` bytes apart, to bits: byte planes `stride` apart at `to`, of 8 or fewer (`group`) outputs
 * each, 1 where a count is at most the output's limit; `limits` has the address of each position's.
 */
export const compareFunction = (): WasmFunction =>
  wasmFunction('compare', 8, ([counts, pitch, limits, positions, group, planes, to, stride], local) => {
    const [count, limit, plane, left] = [local(I32), local(I32), local(I32), local(I32)];
    const bits = (offset: number) =>
      i32x4.bitmask(i32x4.greaterEqual(v128.load(limit.get, offset), v128.load(count.get, offset)));
    const groupBytes = i32.shiftLeft(group!.get, i32.constant(2));
    const mask = i32.sub(i32.shiftLeft(i32.constant(1), group!.get), i32.constant(1));
    return times(
      positions!,
      count.set(counts!.get),
      limit.set(i32.load(limits!.get)),
      plane.set(to!.get),
      left.set(planes!.get),
      times(
        left,
        i32.store8(plane.get, i32.and(i32.or(bits(0), i32.shiftLeft(bits(16), i32.constant(4))), mask)),
        add(count, groupBytes),
        add(limit, groupBytes),
        add(plane, stride!.get),
      ),
      add(counts!, pitch!.get),
      add(limits!, 4),
      add(to!, 1),
    );
  });
