/** Addresses in the engine's memory, given out once, and views to fill and read them. */
import { internalError } from '../errors.js';

const PAGE = 65_536;
/** Kernels read up to this much behind the end of what they were given. */
const SLACK = 64;

/** Bytes of whole vectors for so many. */
export const aligned = (bytes: number): number => 16 * Math.ceil(bytes / 16);

/** Gives out addresses; nothing is ever returned. */
export class Arena {
  private top = SLACK;

  /** The address of `size` bytes, a multiple of 16, with room behind them that kernels may read or overwrite. */
  take(size: number): number {
    const address = this.top;
    this.top += aligned(size + SLACK);
    return address;
  }

  /** given out so far */
  get bytes(): number {
    return this.top;
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

/** Of layers that `validateModel` lets nobody have. */
export const notValidated = (): Error => internalError('wasm engine: this model was not validated');

/** The emitted functions, by name. All parameters are int32. */
export type Kernels = Readonly<Record<string, (...parameters: number[]) => void>>;
