/**
 * The inner loops, written with the emitter. What the numbers in memory mean is laid out in memory.ts and planes.ts.
 *
 * Convolutions of bits look sums up ("Four Russians"): the mismatches of 5 input channels with each of the 32 possible
 * weight patterns are put in a table once per tile of 64 pixels, and every output channel then adds table entries instead
 * of counting bits: 3 loads and 6 operations for 480 products, four times the rate of WebAssembly's popcount, which is
 * of bytes only and which V8 emulates on x64. Two pixels share a byte (low and high nibble), so entries of up to 5 are added in
 * threes (15 at most) before the nibbles are parted.
 */
import {
  type Code,
  I32,
  i8x16,
  i16x8,
  i32,
  i32x4,
  type Operand,
  take,
  times,
  until,
  V128,
  type Variable,
  v128,
  type WasmFunction,
  wasmFunction,
} from './emitter.js';

/** Input channels per table: 32 entries. */
export const GROUP = 5;
export const ENTRIES = 2 ** GROUP;
/** Pixels computed together: 32 in the low nibbles, 32 in the high ones. */
export const TILE = 64;
/** Lookups of an output before its bytes may overflow: no kernel has more than 7x7 taps, so a group of channels fits. */
export const LOOKUPS = 255 / GROUP;

/** `variable` becomes as much more. */
export const add = (variable: Variable, value: Operand): Code => variable.set(i32.add(variable, value));
/** The sum of four lanes. */
export const laneSum = (vector: Operand): Code =>
  i32.add(
    i32.add(i32x4.lane(vector, 0), i32x4.lane(vector, 1)),
    i32.add(i32x4.lane(vector, 2), i32x4.lane(vector, 3)),
  );
/**
 * Copies `rows` rows of `width` bytes, in whole vectors, and moves both variables on: what a row carries too far, the next one,
 * copied later, overwrites. `x` is for its use, and `rows` counts to 0.
 */
export const copyRows = (
  x: Variable,
  [from, fromPitch]: readonly [Variable, Variable],
  [to, toPitch]: readonly [Variable, Variable],
  rows: Variable,
  width: Variable,
): Code =>
  times(
    rows,
    x.set(0),
    until(x, width, v128.store(i32.add(to, x), v128.load(i32.add(from, x))), add(x, 16)),
    add(from, fromPitch),
    add(to, toPitch),
  );
const splat = (value: number): Code => i8x16.splat(value);

export interface TableShape {
  readonly copies: number;
  readonly copyStride: number;
  readonly vectors: number;
  readonly half: number;
}

/**
 * Tables of some groups, one after the other, for one tile.
 * `acts`, `mask`: planes of bits (channel j of the group = bit j of a byte) and of 0xff inside the image, at the tile's first
 * pixel; `copies` planes each, `copyStride` apart. What is in the high nibbles lies `half` bytes on.
 * Entry e, `vectors` * 16 bytes per copy, has popcount(bits ^ e) of every pixel inside, 0 of those outside.
 */
export const tableFunction = ({ copies, copyStride, vectors, half }: TableShape): WasmFunction =>
  wasmFunction(
    `table-${[copies, copyStride, vectors, half]}`,
    ([acts, groupStride, mask, table, end], local) => {
      const [act, inside, copyEnd, rowEnd] = local(I32);
      const vectorBytes = 16 * vectors;
      const entryBytes = copies * vectorBytes;
      const [low, high, lowInside, highInside, within, ones, sum] = local(V128);
      const steps = take(GROUP, local(V128));
      // Low nibbles are positions of the first half of the tile, high ones of the second.
      const bitOf = (j: number): Code => {
        const first = j === 0 ? low : i16x8.shiftRight(low, j);
        const second = j === 4 ? high : i16x8.shiftLeft(high, 4 - j);
        return v128.or(v128.and(first, splat(0x01)), v128.and(second, splat(0x10)));
      };
      // Patterns in Gray code: one step each.
      const entries: Code[] = [];
      let pattern = 0;
      for (let i = 0; i < ENTRIES; i++) {
        if (i > 0) {
          const j = Math.log2(i & -i);
          pattern ^= 1 << j;
          const move = (pattern >> j) & 1 ? i8x16.add : i8x16.sub;
          entries.push(sum.set(move(sum, steps[j]!)));
        }
        entries.push(v128.store(table, sum, pattern * entryBytes));
      }
      return until(
        table,
        end,
        act.set(acts),
        inside.set(mask),
        copyEnd.set(i32.add(table, entryBytes)),
        until(
          table,
          copyEnd,
          rowEnd.set(i32.add(table, vectorBytes)),
          until(
            table,
            rowEnd,
            lowInside.set(v128.load(inside)),
            highInside.set(v128.load(inside, half)),
            low.set(v128.and(v128.load(act), lowInside)),
            high.set(v128.and(v128.load(act, half), highInside)),
            within.set(v128.or(v128.and(lowInside, splat(0x01)), v128.and(highInside, splat(0x10)))),
            sum.set(v128.zero),
            // Setting bit j of the pattern adds a mismatch where the pixel's bit is 0, and removes one where it is 1.
            ...steps.flatMap((step, j) => [
              ones.set(bitOf(j)),
              sum.set(i8x16.add(sum, ones)),
              step.set(i8x16.sub(i8x16.sub(within, ones), ones)),
            ]),
            ...entries,
            add(table, 16),
            add(act, 16),
            add(inside, 16),
          ),
          add(act, copyStride - vectorBytes),
          add(inside, copyStride - vectorBytes),
        ),
        // `table` has walked over the first entry; the other ones follow it.
        add(table, (ENTRIES - 1) * entryBytes),
        add(acts, groupStride),
      );
    },
  );

/**
 * Adds up table entries: for each output, `count` 16-bit offsets from `tables` (a multiple of 3, at most `LOOKUPS`) are read
 * at `index`, and what they add to 64 pixels is added to its 64 unsigned 16-bit sums at `sums` (to `end`); the second vector of pixels lies
 * `apart` bytes after the first. Where it `begins`, what is added to lies `offset` after the address that `starts` has for the output.
 */
export const lookupFunction = (tables: number, apart: number, begins: boolean): WasmFunction =>
  wasmFunction(`lookup-${[apart, begins]}`, ([index, count, sums, end, starts, offset], local) => {
    const [stop, from] = local(I32);
    const at = take(3, local(I32));
    // Two vectors only, and no unrolling: V8 up to 12.4 hoists loads and runs out of registers with more.
    const halves = [0, 1].map((v) => {
      const [three, all, high] = local(V128);
      return { v, three, all, high };
    });
    const shift = 4;
    const accumulate = (value: Code, position: number): Code =>
      v128.store(sums, i16x8.add(v128.load(from, 16 * position), value), 16 * position);
    return until(
      sums,
      end,
      from.set(begins ? i32.add(i32.load(starts), offset) : sums.get),
      ...(begins ? [add(starts, 4)] : []),
      ...halves.flatMap(({ all, high }) => [all.set(v128.zero), high.set(v128.zero)]),
      stop.set(i32.add(index, i32.shiftLeft(count, 1))),
      until(
        index,
        stop,
        ...at.map((variable, i) => variable.set(i32.load16(index, 2 * i))),
        ...halves.flatMap(({ v, three, all, high }) => {
          const [a, b, c] = at.map((one) => v128.load(one, tables + apart * v));
          return [
            three.set(i8x16.add(i8x16.add(a!, b!), c!)),
            all.set(i8x16.add(all, three)),
            high.set(i8x16.add(high, v128.and(i16x8.shiftRight(three, shift), splat(15)))),
          ];
        }),
        add(index, 6),
      ),
      // What is left of all, modulo 256, is of the low nibbles.
      ...halves.map(({ all, high }) =>
        all.set(i8x16.sub(all, v128.and(i16x8.shiftLeft(high, shift), splat(0xf0)))),
      ),
      ...halves.flatMap(({ v, all, high }) => [
        accumulate(i16x8.extendLow(all), 2 * v),
        accumulate(i16x8.extendHigh(all), 2 * v + 1),
        accumulate(i16x8.extendLow(high), 4 + 2 * v),
        accumulate(i16x8.extendHigh(high), 4 + 2 * v + 1),
      ]),
      add(sums, 2 * TILE),
    );
  });

const EVEN = Array.from({ length: 16 }, (_, i) => 2 * i);

/** The maximum (OR of bits) of neighbouring lanes of 32. */
const pooledLanes = (left: Operand, right: Operand): Code =>
  v128.or(
    v128.shuffle(left, right, EVEN),
    v128.shuffle(
      left,
      right,
      EVEN.map((lane) => lane + 1),
    ),
  );

/**
 * Sums of 64 pixels to bits: byte planes `stride` apart with `bits` outputs each, 1 where the sum of mismatches is below the
 * output's unsigned 16-bit limit at `limits` (to `end`). Where they are whole rows of `row` pixels, 8, 16 or 32, windows of 2x2 are pooled.
 */
export const thresholdFunction = (row: number): WasmFunction =>
  wasmFunction(`threshold-${row}`, ([limits, end, sums, bits, plane, stride], local) => {
    const [stop] = local(I32);
    const [bit, limit] = local(V128);
    const bytes = take(4, local(V128));
    const below = (i: number) => i16x8.lessUnsigned(v128.load(sums, 16 * i), limit);
    const groupEnd = i32.add(limits, i32.shiftLeft(bits, 1));
    /** the maximum of two rows: of two vectors, or of their halves */
    const twoRows = (i: number): Code => {
      const [a, b] = row === 32 ? [bytes[i]!, bytes[i + 2]!] : [bytes[2 * i]!, bytes[2 * i + 1]!];
      const halves = (first: number) =>
        v128.shuffle(
          a,
          b,
          EVEN.map((_, lane) => first + lane + (lane & 8)),
        );
      return row === 8 ? v128.or(halves(0), halves(8)) : v128.or(a, b);
    };
    return until(
      limits,
      end,
      ...bytes.map((variable) => variable.set(v128.zero)),
      bit.set(splat(1)),
      stop.set(i32.select(groupEnd, end, i32.lessUnsigned(groupEnd, end))),
      until(
        limits,
        stop,
        limit.set(v128.load16Splat(limits)),
        ...bytes.map((variable, i) =>
          variable.set(v128.or(variable, v128.and(bit, i8x16.narrow(below(2 * i), below(2 * i + 1))))),
        ),
        bit.set(i8x16.shiftLeft(bit, 1)),
        add(limits, 2),
        add(sums, 2 * TILE),
      ),
      ...(row
        ? [limit.set(twoRows(0)), bit.set(twoRows(1)), v128.store(plane, pooledLanes(limit, bit))]
        : bytes.map((one, i) => v128.store(plane, one, 16 * i))),
      add(plane, stride),
    );
  });

/** Copies `planes` planes of `rows` rows of `width` bytes, in whole vectors. */
export const copyFunction = (): WasmFunction =>
  wasmFunction('copy', ([from, to, planes, fromStride, toStride, rows, fromPitch, toPitch, width], local) => {
    const [x, left, source, target] = local(I32);
    return times(
      planes,
      source.set(from),
      target.set(to),
      left.set(rows),
      copyRows(x, [source, fromPitch!], [target, toPitch!], left, width),
      add(from, fromStride),
      add(to, toStride),
    );
  });

/** The same with a maximum (OR of bits) over windows of 2x2; `width` counts windows. */
export const pool2Function = (): WasmFunction =>
  wasmFunction('pool2', ([from, to, rows, fromPitch, toPitch, width], local) => {
    const [x] = local(I32);
    const [left, right] = local(V128);
    const source = i32.add(from, i32.shiftLeft(x, 1));
    const below = i32.add(source, fromPitch);
    const both = (offset: number) => v128.or(v128.load(source, offset), v128.load(below, offset));
    return times(
      rows,
      x.set(0),
      until(
        x,
        width,
        left.set(both(0)),
        right.set(both(16)),
        v128.store(i32.add(to, x), pooledLanes(left, right)),
        add(x, 16),
      ),
      add(from, i32.shiftLeft(fromPitch, 1)),
      add(to, toPitch),
    );
  });

/**
 * The same for any window and stride of the convolution before it, byte by byte: a window is `pool` x `pool` pixels that
 * lie `stride` apart.
 */
export const poolFunction = (): WasmFunction =>
  wasmFunction('pool', ([from, to, rows, fromPitch, toPitch, width, pool, stride], local) => {
    const [x, dx, dy, at, row, bits] = local(I32);
    const windowBytes = i32.mul(pool, stride);
    return times(
      rows,
      x.set(0),
      until(
        x,
        width,
        bits.set(0),
        row.set(i32.add(from, i32.mul(x, windowBytes))),
        dy.set(pool),
        times(
          dy,
          at.set(row),
          dx.set(pool),
          times(dx, bits.set(i32.or(bits, i32.load8(at))), add(at, stride)),
          add(row, i32.mul(stride, fromPitch)),
        ),
        i32.store8(i32.add(to, x), bits),
        add(x, 1),
      ),
      add(from, i32.mul(windowBytes, fromPitch)),
      add(to, toPitch),
    );
  });

/**
 * The first layer, a block of outputs (4 vectors of `lanes`) at all positions of one row: sums of table entries of 64 bytes,
 * compared with thresholds. `index`: per pixel of the padded image, `nibbles` byte offsets into a table of 17 entries
 * (16 values of 4 slices, and nothing). A position reads `run` of them (kernel * nibbles) in each of `kernel` rows
 * `rowBytes` apart, and the next position starts `stepBytes` further. Each gives one bit per output in words of 16 bits, one a
 * position at `to`, those of the next 16 outputs `wordBytes` after.
 */
export const firstLayerFunction = (name: string, lanes: 4 | 8): WasmFunction =>
  wasmFunction(
    name,
    ([table, thresholds, index, positions, run, kernel, rowBytes, stepBytes, to, wordBytes], local) => {
      const [entry, row, at, rowEnd, rowsLeft] = local(I32);
      const sums = take(4, local(V128));
      const ops = lanes === 8 ? i16x8 : i32x4;
      const address = i32.add(entry, i32.load16(at));
      const on = (i: number) => ops.greaterEqual(sums[i]!, v128.load(thresholds, 16 * i));
      const store = (at: Operand, low: Code, high: Code) =>
        i32.store16(at, i8x16.bitmask(i8x16.narrow(low, high)));
      const stores =
        lanes === 8
          ? [store(to, on(0), on(1)), store(i32.add(to, wordBytes), on(2), on(3))]
          : [store(to, i16x8.narrow(on(0), on(1)), i16x8.narrow(on(2), on(3)))];
      const [pointer] = local(I32);
      return times(
        positions,
        ...sums.map((variable) => variable.set(v128.zero)),
        entry.set(table),
        row.set(index),
        rowsLeft.set(kernel),
        times(
          rowsLeft,
          at.set(row),
          rowEnd.set(i32.add(row, i32.shiftLeft(run, 1))),
          until(
            at,
            rowEnd,
            pointer.set(address),
            ...sums.map((variable, i) => variable.set(ops.add(variable, v128.load(pointer, 16 * i)))),
            add(entry, 17 * 64),
            add(at, 2),
          ),
          add(row, rowBytes),
        ),
        ...stores,
        add(index, stepBytes),
        add(to, 2),
      );
    },
  );

/**
 * What each pixel of one image channel looks up: 16-bit numbers at `to`, `step` bytes from pixel to pixel and `rowBytes` from row
 * to row, from a table of 256 by its value; added to the bits `keep` of what is there.
 */
export const indexFunction = (): WasmFunction =>
  wasmFunction('index', ([pixel, channels, to, width, rows, step, rowBytes, table, keep], local) => {
    const [x, at] = local(I32);
    const offset = i32.load16(i32.add(table, i32.shiftLeft(i32.load8(pixel), 1)));
    return times(
      rows,
      at.set(to),
      x.set(width),
      times(
        x,
        i32.store16(at, i32.add(i32.and(i32.load16(at), keep), offset)),
        add(pixel, channels),
        add(at, step),
      ),
      add(to, rowBytes),
    );
  });

/**
 * Bits of outputs, in a word of 16 bits of each pixel at `from` and one of the next outputs `wordBytes` after, to a byte plane from `to`
 * to `end`: `mask` of those from bit `shift` on. Sixteen pixels at a time, so that something is written behind the end.
 */
export const planeFunction = (): WasmFunction =>
  wasmFunction('plane', ([from, wordBytes, shift, mask, to, end]) => {
    const eight = (offset: number): Code =>
      v128.or(
        i16x8.shiftRight(v128.load(from, offset), shift),
        // By 16 - shift, which may be 16.
        i16x8.shiftLeft(i16x8.shiftLeft(v128.load(i32.add(from, wordBytes), offset), 1), i32.sub(15, shift)),
      );
    return until(
      to,
      end,
      v128.store(to, v128.and(i8x16.splat(mask), v128.shuffle(eight(0), eight(16), EVEN))),
      add(from, 32),
      add(to, 16),
    );
  });

/** Signed 16-bit dot products: `bytes` bytes (a multiple of 16) at `input` with each row at `weights`: i32 each, to `sums`. */
export const dotFunction = (): WasmFunction =>
  wasmFunction('dot', ([input, bytes, weights, sums, end], local) => {
    const [at, inputEnd] = local(I32);
    const [sum] = local(V128);
    return until(
      sums,
      end,
      sum.set(v128.zero),
      at.set(input),
      inputEnd.set(i32.add(input, bytes)),
      until(
        at,
        inputEnd,
        sum.set(i32x4.add(sum, i32x4.dot(v128.load(at), v128.load(weights)))),
        add(at, 16),
        add(weights, 16),
      ),
      i32.store(sums, laneSum(sum)),
      add(sums, 4),
    );
  });
