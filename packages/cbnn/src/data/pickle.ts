/**
 * A reader for the one kind of pickle that CIFAR-10 is published in: protocol 2, written by Python 2, holding
 * dictionaries, lists, strings, numbers and uint8 numpy arrays.
 *
 * A pickle is a program for a stack machine, and Python runs whatever it calls. This machine knows only the opcodes
 * that build those values, and three names: numpy's `_reconstruct`, `ndarray` and `dtype`. Nothing is ever called;
 * `REDUCE` and `BUILD` are pattern-matched against the two sequences numpy writes. Everything else is refused by name
 * and offset. Source: CPython's pickletools.py, which documents every opcode.
 */
import { dataError } from '@cbnn/runtime';

/** A uint8 numpy array. */
export interface NumpyArray {
  readonly kind: 'ndarray';
  shape: readonly number[];
  /** `[shape...]`, last axis fastest unless `fortran` */
  data: Uint8Array;
  /** first axis fastest */
  fortran: boolean;
}

/** A tuple, as opposed to a list. */
export interface PickleTuple {
  readonly kind: 'tuple';
  readonly items: readonly PickleValue[];
}

interface Constructor {
  readonly kind: 'constructor';
  readonly name: 'reconstruct' | 'ndarray' | 'dtype';
}

interface Dtype {
  readonly kind: 'dtype';
}

/** Python 2 strings are bytes: they stay views of the file. */
export type PickleValue =
  | null
  | boolean
  | number
  | Uint8Array
  | NumpyArray
  | PickleTuple
  | Constructor
  | Dtype
  | PickleValue[]
  | Map<string, PickleValue>;

const CONSTRUCTORS: Readonly<Record<string, Constructor['name']>> = {
  'numpy.core.multiarray _reconstruct': 'reconstruct',
  'numpy ndarray': 'ndarray',
  'numpy dtype': 'dtype',
};

/** Names of the opcodes that are refused, for the error message. */
const REFUSED: Readonly<Record<number, string>> = {
  48: 'POP',
  49: 'POP_MARK',
  50: 'DUP',
  70: 'FLOAT',
  71: 'BINFLOAT',
  73: 'INT',
  76: 'LONG',
  80: 'PERSID',
  81: 'BINPERSID',
  83: 'STRING',
  86: 'UNICODE',
  88: 'BINUNICODE',
  66: 'BINBYTES',
  67: 'SHORT_BINBYTES',
  100: 'DICT',
  103: 'GET',
  105: 'INST',
  108: 'LIST',
  111: 'OBJ',
  112: 'PUT',
  129: 'NEWOBJ',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  138: 'LONG1',
  139: 'LONG4',
  140: 'SHORT_BINUNICODE',
  141: 'BINUNICODE8',
  142: 'BINBYTES8',
  143: 'EMPTY_SET',
  144: 'ADDITEMS',
  145: 'FROZENSET',
  146: 'NEWOBJ_EX',
  147: 'STACK_GLOBAL',
  148: 'MEMOIZE',
  149: 'FRAME',
  150: 'BYTEARRAY8',
  151: 'NEXT_BUFFER',
  152: 'READONLY_BUFFER',
};

/** Python 2 strings hold bytes; names and numbers in them are ASCII. */
export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** Reads one pickle. `name` is used in errors. Throws a data error that names the byte offset. */
export function readPickle(bytes: Uint8Array, name: string): PickleValue {
  return new Machine(bytes, name).run();
}

class Machine {
  private at = 0;
  /** where the current opcode began */
  private opcodeAt = 0;
  private readonly stack: PickleValue[] = [];
  /** stack heights at which MARKs lie */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly name: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private fail(problem: string) {
    return dataError(
      `${this.name}: ${problem} at byte ${this.opcodeAt}; the file is damaged, or no CIFAR-10 batch of the Python version`,
    );
  }

  run(): PickleValue {
    for (;;) {
      this.opcodeAt = this.at;
      const opcode = this.byte();
      if (opcode === 0x2e) {
        if (this.stack.length !== 1 || this.marks.length !== 0)
          throw this.fail(`expected one value at the end of the pickle, got ${this.stack.length}`);
        return this.stack[0]!;
      }
      this.step(opcode);
    }
  }

  private step(opcode: number): void {
    switch (opcode) {
      case 0x80: {
        const protocol = this.byte();
        if (protocol !== 2) throw this.fail(`expected pickle protocol 2, got ${protocol}`);
        return;
      }
      case 0x28: // MARK
        this.marks.push(this.stack.length);
        return;
      case 0x7d: // EMPTY_DICT
        this.push(new Map());
        return;
      case 0x5d: // EMPTY_LIST
        this.push([]);
        return;
      case 0x29: // EMPTY_TUPLE
        this.push({ kind: 'tuple', items: [] });
        return;
      case 0x74: // TUPLE
        this.push({ kind: 'tuple', items: this.popMarked() });
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.push({ kind: 'tuple', items: this.pop(opcode - 0x84) });
        return;
      case 0x61: // APPEND
        this.append(this.pop(1));
        return;
      case 0x65: // APPENDS
        this.append(this.popMarked());
        return;
      case 0x73: // SETITEM
        this.setItems(this.pop(2));
        return;
      case 0x75: // SETITEMS
        this.setItems(this.popMarked());
        return;
      case 0x4e: // NONE
        this.push(null);
        return;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        this.push(opcode === 0x88);
        return;
      case 0x4b: // BININT1
        this.push(this.byte());
        return;
      case 0x4d: // BININT2
        this.push(this.view.getUint16(this.skip(2), true));
        return;
      case 0x4a: // BININT
        this.push(this.view.getInt32(this.skip(4), true));
        return;
      case 0x55: // SHORT_BINSTRING
        this.push(this.take(this.byte()));
        return;
      case 0x54: // BINSTRING
        this.push(this.take(this.view.getInt32(this.skip(4), true)));
        return;
      case 0x71: // BINPUT
        this.memo.set(this.byte(), this.top());
        return;
      case 0x72: // LONG_BINPUT
        this.memo.set(this.view.getUint32(this.skip(4), true), this.top());
        return;
      case 0x68: // BINGET
        this.push(this.recall(this.byte()));
        return;
      case 0x6a: // LONG_BINGET
        this.push(this.recall(this.view.getUint32(this.skip(4), true)));
        return;
      case 0x63: // GLOBAL
        this.push(this.constructorNamed(`${this.line()} ${this.line()}`));
        return;
      case 0x52: // REDUCE
        this.reduce();
        return;
      case 0x62: // BUILD
        this.build();
        return;
      default:
        throw this.fail(`refused opcode ${REFUSED[opcode] ?? 'unknown'} (0x${opcode.toString(16)})`);
    }
  }

  /** Moves over `count` bytes and returns where they begin. */
  private skip(count: number): number {
    const start = this.at;
    if (count < 0 || start + count > this.bytes.length)
      throw this.fail(`expected ${count} bytes from byte ${start}, got ${this.bytes.length - start},`);
    this.at += count;
    return start;
  }

  private byte(): number {
    return this.bytes[this.skip(1)]!;
  }

  private take(count: number): Uint8Array {
    const start = this.skip(count);
    return this.bytes.subarray(start, start + count);
  }

  private line(): string {
    const end = this.bytes.indexOf(10, this.at);
    if (end < 0 || end - this.at > 100) throw this.fail('expected a name');
    const text = latin1(this.bytes.subarray(this.at, end));
    this.at = end + 1;
    return text;
  }

  private push(value: PickleValue): void {
    this.stack.push(value);
  }

  private top(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) throw this.fail('expected a value on the stack');
    return this.stack.at(-1)!;
  }

  private pop(count: number): PickleValue[] {
    if (this.stack.length - count < (this.marks.at(-1) ?? 0))
      throw this.fail('expected a value on the stack');
    return this.stack.splice(this.stack.length - count, count);
  }

  private popMarked(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.fail('expected a MARK before');
    return this.stack.splice(mark);
  }

  private recall(slot: number): PickleValue {
    const value = this.memo.get(slot);
    if (value === undefined) throw this.fail(`expected a value in memo ${slot}`);
    return value;
  }

  private append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.fail('expected a list to append to');
    for (const item of items) list.push(item);
  }

  private setItems(items: readonly PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0) throw this.fail('expected a dictionary and pairs');
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (!(key instanceof Uint8Array)) throw this.fail('expected a string as key');
      map.set(latin1(key), items[i + 1]!);
    }
  }

  private constructorNamed(name: string): Constructor {
    const known = Object.hasOwn(CONSTRUCTORS, name) ? CONSTRUCTORS[name] : undefined;
    if (known === undefined) throw this.fail(`refused name "${name.replace(' ', '.')}"`);
    return { kind: 'constructor', name: known };
  }

  /** `_reconstruct(ndarray, (0,), 'b')` makes an empty array, `dtype('u1', 0, 1)` the type uint8. */
  private reduce(): void {
    const [callable, argument] = this.pop(2);
    const items = isKind(argument, 'tuple') ? argument.items : [];
    if (isKind(callable, 'constructor') && callable.name === 'reconstruct') {
      if (!isKind(items[0], 'constructor') || items[0].name !== 'ndarray')
        throw this.fail('expected numpy.ndarray');
      this.push({ kind: 'ndarray', shape: [0], data: new Uint8Array(0), fortran: false });
    } else if (isKind(callable, 'constructor') && callable.name === 'dtype') {
      const type = items[0] instanceof Uint8Array ? latin1(items[0]) : '?';
      if (type !== 'u1') throw this.fail(`expected an array of type u1 (uint8), got "${type}"`);
      this.push({ kind: 'dtype' });
    } else throw this.fail('refused call (REDUCE)');
  }

  /** Fills an array from `(1, shape, dtype, fortran order, bytes)`; a dtype's state says nothing about uint8. */
  private build(): void {
    const [state] = this.pop(1);
    const target = this.top();
    const items = isKind(state, 'tuple') ? state.items : [];
    if (isKind(target, 'dtype')) return;
    if (!isKind(target, 'ndarray')) throw this.fail('refused object state (BUILD)');
    const [version, shape, type, fortran, data] = items;
    const sides = isKind(shape, 'tuple') ? shape.items : [];
    if (
      version !== 1 ||
      sides.length === 0 ||
      !sides.every((side) => typeof side === 'number') ||
      !isKind(type, 'dtype') ||
      typeof fortran !== 'boolean' ||
      !(data instanceof Uint8Array)
    )
      throw this.fail('expected the state of a uint8 array');
    const count = sides.reduce((product, side) => product * side, 1);
    if (data.length !== count)
      throw this.fail(`expected ${count} bytes for an array of ${sides.join('x')}, got ${data.length},`);
    target.shape = sides;
    target.data = data;
    target.fortran = fortran;
  }
}

/** Whether a value is one of the tagged kinds. */
export function isKind<K extends 'ndarray' | 'tuple' | 'constructor' | 'dtype'>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleValue, { readonly kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}
