/** Addresses in the engine's memory, given out once, and views to fill and read them. */
import { configError } from '../errors.js';

const PAGE = 65_536;
/** Kernels read up to this much behind the end of what they were given. */
const SLACK = 64;
/** As much as a WebAssembly memory can have in every browser. */
const MOST_BYTES = 2 ** 31 - PAGE;

/** Gives out addresses; nothing is ever returned. */
export class Arena {
  private top = SLACK;

  /** The address of `bytes` bytes, a multiple of 16, with room behind them that kernels may read or overwrite. */
  take(bytes: number): number {
    const address = this.top;
    this.top += Math.ceil((bytes + SLACK) / 16) * 16;
    if (this.top > MOST_BYTES)
      throw configError(`wasm engine: the model needs more than ${MOST_BYTES} bytes of memory`);
    return address;
  }

  get pages(): number {
    return Math.ceil(this.top / PAGE);
  }
}

/** One memory, seen as numbers of each size; an index is an address divided by that size. */
export class Views {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly i32: Int32Array;

  constructor(buffer: ArrayBuffer) {
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i16 = new Int16Array(buffer);
    this.i32 = new Int32Array(buffer);
  }
}

/** The emitted functions, by name. All parameters are int32. */
export type Kernels = Readonly<Record<string, (...parameters: number[]) => void>>;
