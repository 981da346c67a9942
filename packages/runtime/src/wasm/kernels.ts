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
/**
 * Lookups before the nibbles are added up in wider lanes: 45 * 5 <= 255 in bytes, and 15 threes of at most 0xfff in 16 bits.
 */
export const LOOKUPS = 45;

/** `variable` becomes as much more. */
export const add = (variable: Variable, value: number | Code): Code =>
  variable.set(i32.add(variable.get, typeof value === 'number' ? i32.constant(value) : value));
/** The sum of four lanes. */
export const laneSum = (vector: Code): Code =>
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
    x.set(i32.constant(0)),
    until(x, width, v128.store(i32.add(to.get, x.get), v128.load(i32.add(from.get, x.get))), add(x, 16)),
    add(from, fromPitch.get),
    add(to, toPitch.get),
  );
const splat = (value: number): Code => i8x16.splat(i32.constant(value));

/**
 * Tables of some groups, one after the other, for one tile.
 * `acts`, `mask`: planes of bits (channel j of the group = bit j of a byte) and of 0xff inside the image, at the tile's first
 * pixel; `copies` planes each, `copyStride` apart. `neutral`: i32 per group, what a pixel outside counts for.
 * Entry e, `vectors` * 16 bytes per copy, has popcount(bits ^ e) of every pixel.
 */
export const tableFunction = (
  name: string,
  { copies, copyStride, vectors }: { copies: number; copyStride: number; vectors: number },
): WasmFunction =>
  wasmFunction(name, 6, ([acts, groupStride, mask, neutral, table, end], local) => {
    const [act, inside, copyEnd, rowEnd] = [local(I32), local(I32), local(I32), local(I32)];
    const vectorBytes = 16 * vectors;
    const entryBytes = copies * vectorBytes;
    const [low, high, lowInside, highInside, within, ones, sum] = Array.from({ length: 7 }, () =>
      local(V128),
    ) as [Variable, Variable, Variable, Variable, Variable, Variable, Variable];
    const steps = Array.from({ length: GROUP }, () => local(V128));
    // Low nibbles are positions of the first half of the tile, high ones of the second.
    const bitOf = (j: number): Code => {
      const first = j === 0 ? low.get : i16x8.shiftRight(low.get, i32.constant(j));
      const second = j === 4 ? high.get : i16x8.shiftLeft(high.get, i32.constant(4 - j));
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
        entries.push(sum.set(move(sum.get, steps[j]!.get)));
      }
      entries.push(v128.store(table!.get, sum.get, pattern * entryBytes));
    }
    return until(
      table!,
      end!,
      act.set(acts!.get),
      inside.set(mask!.get),
      copyEnd.set(i32.add(table!.get, i32.constant(entryBytes))),
      until(
        table!,
        copyEnd,
        rowEnd.set(i32.add(table!.get, i32.constant(vectorBytes))),
        until(
          table!,
          rowEnd,
          lowInside.set(v128.load(inside.get)),
          highInside.set(v128.load(inside.get, TILE / 2)),
          low.set(v128.and(v128.load(act.get), lowInside.get)),
          high.set(v128.and(v128.load(act.get, TILE / 2), highInside.get)),
          within.set(v128.or(v128.and(lowInside.get, splat(0x01)), v128.and(highInside.get, splat(0x10)))),
          // At most 3 for each nibble outside: products of 16 bits keep bytes apart.
          sum.set(i16x8.mul(i8x16.sub(splat(0x11), within.get), i16x8.splat(i32.load(neutral!.get)))),
          // Setting bit j of the pattern adds a mismatch where the pixel's bit is 0, and removes one where it is 1.
          ...steps.flatMap((step, j) => [
            ones.set(bitOf(j)),
            sum.set(i8x16.add(sum.get, ones.get)),
            step.set(i8x16.sub(i8x16.sub(within.get, ones.get), ones.get)),
          ]),
          ...entries,
          add(table!, 16),
          add(act, 16),
          add(inside, 16),
        ),
        add(act, copyStride - vectorBytes),
        add(inside, copyStride - vectorBytes),
      ),
      // `table` has walked over the first entry; the other ones follow it.
      add(table!, (ENTRIES - 1) * entryBytes),
      add(acts!, groupStride!.get),
      add(neutral!, 4),
    );
  });

/**
 * Adds up table entries: for each output, `count` 16-bit offsets from `tables` (a multiple of 3, at most `LOOKUPS`) are read
 * at `index`, and the sums of 64 pixels are added to its 64 unsigned 16-bit sums at `sums` (to `end`).
 */
export const lookupFunction = (tables: number): WasmFunction =>
  wasmFunction('lookup', 4, ([index, count, sums, end], local) => {
    const [stop, ...at] = [local(I32), local(I32), local(I32), local(I32)];
    // Two vectors only, and no unrolling: V8 up to 12.4 hoists loads and runs out of registers with more.
    const halves = [0, 1].map((v) => ({ v, three: local(V128), low: local(V128), wide: local(V128) }));
    const nibble = splat(15);
    const shift = i32.constant(4);
    const accumulate = (value: Code, position: number): Code =>
      v128.store(sums!.get, i16x8.add(v128.load(sums!.get, 16 * position), value), 16 * position);
    return until(
      sums!,
      end!,
      ...halves.flatMap(({ low, wide }) => [low.set(v128.zero), wide.set(v128.zero)]),
      stop.set(i32.add(index!.get, i32.shiftLeft(count!.get, i32.constant(1)))),
      until(
        index!,
        stop,
        ...at.map((variable, i) => variable.set(i32.load16(index!.get, 2 * i))),
        ...halves.flatMap(({ v, three, low, wide }) => {
          const [a, b, c] = at.map(({ get }) => v128.load(get, tables + 16 * v));
          return [
            three.set(i8x16.add(i8x16.add(a!, b!), c!)),
            low.set(i8x16.add(low.get, v128.and(three.get, nibble))),
            wide.set(i16x8.add(wide.get, i16x8.shiftRight(three.get, shift))),
          ];
        }),
        add(index!, 6),
      ),
      // `wide` holds the high nibbles of both bytes, and the low nibble of the upper byte between them.
      ...halves.map(({ low, wide }) =>
        wide.set(
          i16x8.sub(wide.get, v128.and(i16x8.shiftRight(low.get, shift), i16x8.splat(i32.constant(0x0ff0)))),
        ),
      ),
      ...halves.flatMap(({ v, low, wide }) => [
        accumulate(i16x8.extendLow(low.get), 2 * v),
        accumulate(i16x8.extendHigh(low.get), 2 * v + 1),
        accumulate(i16x8.extendLow(wide.get), 4 + 2 * v),
        accumulate(i16x8.extendHigh(wide.get), 4 + 2 * v + 1),
      ]),
      add(sums!, 2 * TILE),
    );
  });

/** Copies 64 starting sums to each output, from the address that `starts` has for it, plus `offset`. */
export const startFunction = (): WasmFunction =>
  wasmFunction('start', 4, ([starts, offset, sums, end], local) => {
    const from = local(I32);
    return until(
      sums!,
      end!,
      from.set(i32.add(i32.load(starts!.get), offset!.get)),
      ...Array.from({ length: 8 }, (_, i) => v128.store(sums!.get, v128.load(from.get, 16 * i), 16 * i)),
      add(starts!, 4),
      add(sums!, 2 * TILE),
    );
  });

/**
 * Sums of 64 pixels to bits: byte planes `stride` apart with `bits` outputs each, 1 where the sum of mismatches is below the
 * output's unsigned 16-bit limit at `limits` (to `end`).
 */
export const thresholdFunction = (): WasmFunction =>
  wasmFunction('threshold', 6, ([limits, end, sums, bits, plane, stride], local) => {
    const [stop] = [local(I32)];
    const [bit, limit] = [local(V128), local(V128)];
    const bytes = Array.from({ length: 4 }, () => local(V128));
    const below = (i: number) => i16x8.lessUnsigned(v128.load(sums!.get, 16 * i), limit.get);
    const groupEnd = i32.add(limits!.get, i32.shiftLeft(bits!.get, i32.constant(1)));
    return until(
      limits!,
      end!,
      ...bytes.map((variable) => variable.set(v128.zero)),
      bit.set(splat(1)),
      stop.set(i32.select(groupEnd, end!.get, i32.lessUnsigned(groupEnd, end!.get))),
      until(
        limits!,
        stop,
        limit.set(v128.load16Splat(limits!.get)),
        ...bytes.map((variable, i) =>
          variable.set(
            v128.or(variable.get, v128.and(bit.get, i8x16.narrow(below(2 * i), below(2 * i + 1)))),
          ),
        ),
        bit.set(i8x16.shiftLeft(bit.get, i32.constant(1))),
        add(limits!, 2),
        add(sums!, 2 * TILE),
      ),
      ...bytes.map(({ get }, i) => v128.store(plane!.get, get, 16 * i)),
      add(plane!, stride!.get),
    );
  });

/** Copies `planes` planes of `rows` rows of `width` bytes, in whole vectors. */
export const copyFunction = (): WasmFunction =>
  wasmFunction(
    'copy',
    9,
    ([from, to, planes, fromStride, toStride, rows, fromPitch, toPitch, width], local) => {
      const [x, left, source, target] = [local(I32), local(I32), local(I32), local(I32)];
      return times(
        planes!,
        source.set(from!.get),
        target.set(to!.get),
        left.set(rows!.get),
        copyRows(x, [source, fromPitch!], [target, toPitch!], left, width!),
        add(from!, fromStride!.get),
        add(to!, toStride!.get),
      );
    },
  );

const EVEN = Array.from({ length: 16 }, (_, i) => 2 * i);

/** The same with a maximum (OR of bits) over windows of 2x2; `width` counts windows. */
export const pool2Function = (): WasmFunction =>
  wasmFunction('pool2', 6, ([from, to, rows, fromPitch, toPitch, width], local) => {
    const x = local(I32);
    const [left, right] = [local(V128), local(V128)];
    const source = i32.add(from!.get, i32.shiftLeft(x.get, i32.constant(1)));
    const below = i32.add(source, fromPitch!.get);
    const both = (offset: number) => v128.or(v128.load(source, offset), v128.load(below, offset));
    return times(
      rows!,
      x.set(i32.constant(0)),
      until(
        x,
        width!,
        left.set(both(0)),
        right.set(both(16)),
        v128.store(
          i32.add(to!.get, x.get),
          v128.or(
            v128.shuffle(left.get, right.get, EVEN),
            v128.shuffle(
              left.get,
              right.get,
              EVEN.map((lane) => lane + 1),
            ),
          ),
        ),
        add(x, 16),
      ),
      add(from!, i32.shiftLeft(fromPitch!.get, i32.constant(1))),
      add(to!, toPitch!.get),
    );
  });

/**
 * The same for any window and stride of the convolution before it, byte by byte: a window is `pool` x `pool` pixels that
 * lie `stride` apart.
 */
export const poolFunction = (): WasmFunction =>
  wasmFunction('pool', 8, ([from, to, rows, fromPitch, toPitch, width, pool, stride], local) => {
    const [x, dx, dy, at, row, bits] = [
      local(I32),
      local(I32),
      local(I32),
      local(I32),
      local(I32),
      local(I32),
    ];
    const windowBytes = i32.mul(pool!.get, stride!.get);
    return times(
      rows!,
      x.set(i32.constant(0)),
      until(
        x,
        width!,
        bits.set(i32.constant(0)),
        row.set(i32.add(from!.get, i32.mul(x.get, windowBytes))),
        dy.set(pool!.get),
        times(
          dy,
          at.set(row.get),
          dx.set(pool!.get),
          times(dx, bits.set(i32.or(bits.get, i32.load8(at.get))), add(at, stride!.get)),
          add(row, i32.mul(stride!.get, fromPitch!.get)),
        ),
        i32.store8(i32.add(to!.get, x.get), bits.get),
        add(x, 1),
      ),
      add(from!, i32.mul(windowBytes, fromPitch!.get)),
      add(to!, toPitch!.get),
    );
  });

/**
 * The first layer, a block of outputs (4 vectors of `lanes`) at all positions of one row: sums of table entries of 64 bytes,
 * compared with thresholds. `index`: per pixel of the padded image, `nibbles` byte offsets into a table of 17 entries
 * (16 values of 4 slices, and nothing). A position reads `run` of them (kernel * nibbles) in each of `kernel` rows
 * `rowBytes` apart, and the next position starts `stepBytes` further. Each gives one bit per output at `to`, whose rows
 * are `pixelBytes` long.
 */
export const firstLayerFunction = (name: string, lanes: 4 | 8): WasmFunction =>
  wasmFunction(
    name,
    10,
    ([table, thresholds, index, positions, run, kernel, rowBytes, stepBytes, to, pixelBytes], local) => {
      const [entry, row, at, rowEnd, rowsLeft] = [local(I32), local(I32), local(I32), local(I32), local(I32)];
      const sums = Array.from({ length: 4 }, () => local(V128));
      const ops = lanes === 8 ? i16x8 : i32x4;
      const address = i32.add(entry.get, i32.load16(at.get));
      const on = (i: number) => ops.greaterEqual(sums[i]!.get, v128.load(thresholds!.get, 16 * i));
      const mask =
        lanes === 8
          ? i32.or(
              i8x16.bitmask(i8x16.narrow(on(0), on(1))),
              i32.shiftLeft(i8x16.bitmask(i8x16.narrow(on(2), on(3))), i32.constant(16)),
            )
          : i8x16.bitmask(i8x16.narrow(i16x8.narrow(on(0), on(1)), i16x8.narrow(on(2), on(3))));
      const pointer = local(I32);
      return times(
        positions!,
        ...sums.map((variable) => variable.set(v128.zero)),
        entry.set(table!.get),
        row.set(index!.get),
        rowsLeft.set(kernel!.get),
        times(
          rowsLeft,
          at.set(row.get),
          rowEnd.set(i32.add(row.get, i32.shiftLeft(run!.get, i32.constant(1)))),
          until(
            at,
            rowEnd,
            pointer.set(address),
            ...sums.map((variable, i) => variable.set(ops.add(variable.get, v128.load(pointer.get, 16 * i)))),
            add(entry, 17 * 64),
            add(at, 2),
          ),
          add(row, rowBytes!.get),
        ),
        lanes === 8 ? i32.store(to!.get, mask) : i32.store16(to!.get, mask),
        add(index!, stepBytes!.get),
        add(to!, pixelBytes!.get),
      );
    },
  );

/**
 * What each pixel of one image channel looks up: 16-bit numbers at `to`, `step` bytes from pixel to pixel and `rowBytes` from row
 * to row, from a table of 256 by its value; added to the bits `keep` of what is there.
 */
export const indexFunction = (): WasmFunction =>
  wasmFunction('index', 9, ([pixel, channels, to, width, rows, step, rowBytes, table, keep], local) => {
    const [x, at] = [local(I32), local(I32)];
    const offset = i32.load16(i32.add(table!.get, i32.shiftLeft(i32.load8(pixel!.get), i32.constant(1))));
    return times(
      rows!,
      at.set(to!.get),
      x.set(width!.get),
      times(
        x,
        i32.store16(at.get, i32.add(i32.and(i32.load16(at.get), keep!.get), offset)),
        add(pixel!, channels!.get),
        add(at, step!.get),
      ),
      add(to!, rowBytes!.get),
    );
  });

/** Bits of a pixel's outputs, `pixelBytes` apart, to a byte plane: `mask` of those from bit `shift` of the two bytes at `from`. */
export const planeFunction = (): WasmFunction =>
  wasmFunction('plane', 6, ([from, pixelBytes, pixels, shift, mask, to]) =>
    times(
      pixels!,
      i32.store8(to!.get, i32.and(i32.shiftRight(i32.load16(from!.get), shift!.get), mask!.get)),
      add(from!, pixelBytes!.get),
      add(to!, 1),
    ),
  );

/** Signed 16-bit dot products: `bytes` bytes (a multiple of 16) at `input` with each row at `weights`: i32 each, to `sums`. */
export const dotFunction = (): WasmFunction =>
  wasmFunction('dot', 5, ([input, bytes, weights, sums, end], local) => {
    const [at, inputEnd] = [local(I32), local(I32)];
    const sum = local(V128);
    return until(
      sums!,
      end!,
      sum.set(v128.zero),
      at.set(input!.get),
      inputEnd.set(i32.add(input!.get, bytes!.get)),
      until(
        at,
        inputEnd,
        sum.set(i32x4.add(sum.get, i32x4.dot(v128.load(at.get), v128.load(weights!.get)))),
        add(at, 16),
        add(weights!, 16),
      ),
      i32.store(sums!.get, laneSum(sum.get)),
      add(sums!, 4),
    );
  });
