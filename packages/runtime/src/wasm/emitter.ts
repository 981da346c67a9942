/**
 * Writes WebAssembly modules: the few instructions that the engine's kernels use, and the sections around them.
 *
 * The engine emits its module when a model is loaded, so that strides and sizes of that model are constants in it; there
 * is no compiler, no binary in the package, and nothing for a bundler to find. Code is a list of bytes and of lists of them, which become
 * one only at the end: loops in loops would else be copied each time. The functions below take the code of their operands and return
 * that of the whole expression. Reference: the WebAssembly core specification,
 * "Binary Format", with the fixed-width SIMD instructions (0xfd).
 */

export type Code = readonly (number | Code)[];

const bytesOf = (code: Code): number[] =>
  (code as readonly unknown[]).flat(Number.POSITIVE_INFINITY) as number[];

export const I32 = 0x7f;
export const V128 = 0x7b;
export type ValueType = typeof I32 | typeof V128;

/** A parameter or local variable of a function being written. */
export interface Variable {
  readonly get: Code;
  set(value: Operand): Code;
}

/** An i32 constant, a variable, or what leaves a value. */
export type Operand = number | Variable | Code;

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const byte = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? byte : byte | 0x80);
  } while (rest !== 0);
  return bytes;
}

/** Signed LEB128. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value | 0; ; rest >>= 7) {
    const byte = rest & 0x7f;
    if ((rest >> 7 === 0 && (byte & 0x40) === 0) || (rest >> 7 === -1 && (byte & 0x40) !== 0))
      return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

const code = (operand: Operand): Code => {
  if (typeof operand === 'number') return [0x41, signed(operand)];
  return 'get' in operand ? operand.get : operand;
};

const simd = (opcode: number): Code => [0xfd, unsigned(opcode)];
const unary =
  (opcode: Code) =>
  (a: Operand): Code => [code(a), opcode];
const binary =
  (opcode: Code) =>
  (a: Operand, b: Operand): Code => [code(a), code(b), opcode];
/** Loads at `address + offset`; alignment is only a hint, and 0 is always true. */
const load =
  (opcode: Code) =>
  (address: Operand, offset = 0): Code => [code(address), opcode, 0, unsigned(offset)];
const store =
  (opcode: Code) =>
  (address: Operand, value: Operand, offset = 0): Code => [
    code(address),
    code(value),
    opcode,
    0,
    unsigned(offset),
  ];

export const i32 = {
  add: binary([0x6a]),
  sub: binary([0x6b]),
  mul: binary([0x6c]),
  and: binary([0x71]),
  or: binary([0x72]),
  shiftLeft: binary([0x74]),
  lessUnsigned: binary([0x49]),
  load: load([0x28]),
  load8: load([0x2d]),
  load16: load([0x2f]),
  store: store([0x36]),
  store8: store([0x3a]),
  store16: store([0x3b]),
  /** `a` where `condition` is not 0, else `b` */
  select: (a: Operand, b: Operand, condition: Operand): Code => [code(a), code(b), code(condition), 0x1b],
};

export const v128 = {
  load: load(simd(0)),
  /** one value of 16 bits in all lanes */
  load16Splat: load(simd(8)),
  store: store(simd(11)),
  zero: [0xfd, 12, new Array<number>(16).fill(0)] as Code,
  /** bytes picked from the 32 of `a` and `b` */
  shuffle: (a: Operand, b: Operand, lanes: readonly number[]): Code => [code(a), code(b), 0xfd, 13, lanes],
  and: binary(simd(78)),
  or: binary(simd(80)),
  xor: binary(simd(81)),
};

export const i8x16 = {
  splat: unary(simd(15)),
  popcount: unary(simd(98)),
  bitmask: unary(simd(100)),
  /** lanes of `a` and `b` of 16 bits to 8, saturating */
  narrow: binary(simd(101)),
  shiftLeft: binary(simd(107)),
  add: binary(simd(110)),
  sub: binary(simd(113)),
};

export const i16x8 = {
  lessUnsigned: binary(simd(48)),
  greaterEqual: binary(simd(53)),
  narrow: binary(simd(133)),
  /** sums of neighbouring unsigned bytes */
  pairSums: unary(simd(125)),
  extendLow: unary(simd(137)),
  extendHigh: unary(simd(138)),
  shiftLeft: binary(simd(139)),
  shiftRight: binary(simd(141)),
  add: binary(simd(142)),
};

export const i32x4 = {
  bitmask: unary(simd(164)),
  greaterEqual: binary(simd(63)),
  /** sums of neighbouring unsigned 16-bit lanes */
  pairSums: unary(simd(127)),
  add: binary(simd(174)),
  /** products of signed 16-bit lanes, neighbours added */
  dot: binary(simd(186)),
  lane: (a: Operand, lane: number): Code => [code(a), simd(27), lane],
};

/** `body`, again and again while `condition` holds: at least once. */
const doWhile = (condition: Operand, ...body: readonly Code[]): Code => [
  0x03,
  0x40,
  body,
  code(condition),
  0x0d,
  0,
  0x0b,
];

/** `body`, `count` times: at least once, until `count` is 0. */
export const times = (count: Variable, ...body: readonly Code[]): Code =>
  doWhile(count, ...body, count.set(i32.add(count, -1)));

/** `body`, which moves `at`, until that has reached `end`: at least once. */
export const until = (at: Variable, end: Variable, ...body: readonly Code[]): Code =>
  doWhile(i32.lessUnsigned(at, end), ...body);

export interface WasmFunction {
  readonly name: string;
  readonly parameters: number;
  readonly locals: readonly ValueType[];
  readonly body: Code;
}

type Five = readonly [Variable, Variable, Variable, Variable, Variable];
/** Variables, as many as are taken: without an end, but a type has to have one. */
export type Variables = Generator<Variable, never> & readonly [...Five, ...Five];

/** The next `count` of them. */
export const take = (count: number, variables: Variables): Variable[] =>
  Array.from({ length: count }, () => variables.next().value);

/**
 * A function without result whose parameters are all i32: `write` takes first those, then locals of a type, zero at first, as many as
 * it likes.
 */
export function wasmFunction(
  name: string,
  write: (parameters: Variables, local: (type: ValueType) => Variables) => Code,
): WasmFunction {
  const types: ValueType[] = [];
  function* variables(type: ValueType): Generator<Variable, never> {
    for (;;) {
      const index = unsigned(types.push(type) - 1);
      yield { get: [0x20, index], set: (value) => [code(value), 0x21, index] };
    }
  }
  let parameters: number | undefined;
  const local = (type: ValueType): Variables => {
    parameters ??= types.length;
    return variables(type) as Variables;
  };
  const body = write(variables(I32) as Variables, local);
  parameters ??= types.length;
  return { name, parameters, locals: types.slice(parameters), body };
}

const vector = (items: readonly Code[]): Code => [unsigned(items.length), items];
/** With its length before it. */
const sized = (content: Code): Code => {
  const bytes = bytesOf(content);
  return [unsigned(bytes.length), bytes];
};
const text = (value: string): Code => sized([...new TextEncoder().encode(value)]);

/** A module that imports `env.memory` and exports `functions` by their names. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const section = (id: number, items: readonly Code[]): Code => [id, sized(vector(items))];
  const types = functions.map(({ parameters }) => [0x60, vector(new Array<Code>(parameters).fill([I32])), 0]);
  const bodies = functions.map(({ locals, body }) =>
    sized([vector(locals.map((type) => [1, type])), body, 0x0b]),
  );
  return Uint8Array.from(
    bytesOf([
      ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, types),
      section(2, [[text('env'), text('memory'), 2, 0, unsigned(1)]]),
      section(
        3,
        functions.map((_, i) => unsigned(i)),
      ),
      section(
        7,
        functions.map(({ name }, i) => [text(name), 0, unsigned(i)]),
      ),
      section(10, bodies),
    ]),
  );
}
