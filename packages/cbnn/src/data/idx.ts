/**
 * The IDX format: two zero bytes, a type (8 = uint8), the number of dimensions, the dimensions as big-endian 32-bit
 * integers, then the values, last axis fastest. Files may be gzipped.
 * Source: http://yann.lecun.com/exdb/mnist/ (section "File formats").
 */
import { constants, gunzipSync } from 'node:zlib';
import { dataError } from '@cbnn/runtime';
import { reason } from './files.js';

const UINT8 = 8;

/** Gzipped bytes that hold the longest IDX header (1024 bytes) for certain. */
const PACKED_HEADER_BYTES = 4096;

/** The largest gzipped array that is unpacked: a header may claim any size, and a few megabytes can inflate to it. */
const MAX_VALUES = 2 ** 31;

/** An array of an IDX file. */
export interface IdxArray {
  readonly dimensions: readonly number[];
  readonly values: Uint8Array;
}

interface IdxHeader {
  readonly dimensions: readonly number[];
  /** byte of the first value */
  readonly start: number;
  /** values that should follow */
  readonly count: number;
}

/** Reads an IDX file, gzipped or not. Throws a data error, with the byte offset, for a wrong header or length. */
export function readIdx(file: Uint8Array, name: string): IdxArray {
  const isPacked = file[0] === 0x1f && file[1] === 0x8b;
  const header = readHeader(isPacked ? unpackHeader(file, name) : file, name);
  const bytes = isPacked ? unpack(file, name, header) : file;
  const { dimensions, start, count } = header;
  const got = bytes.length - start;
  if (got !== count) throw wrongLength(name, header, String(got), got < count);
  // A plain array: a Buffer's `slice` is no copy, and images are sliced to be changed.
  return { dimensions, values: new Uint8Array(bytes.buffer, bytes.byteOffset + start, count) };
}

function readHeader(bytes: Uint8Array, name: string): IdxHeader {
  if (bytes.length < 4)
    throw dataError(`${name}: expected an IDX header of 4 bytes, got ${bytes.length}; the file is truncated`);
  const [zero0, zero1, type, rank] = bytes;
  if (zero0 !== 0 || zero1 !== 0 || type !== UINT8 || rank === 0)
    throw dataError(
      `${name}: expected the IDX header 00 00 08 (uint8) and a rank at byte 0, got ${Buffer.from(bytes.subarray(0, 4)).toString('hex')}`,
    );
  const start = 4 + rank! * 4;
  if (bytes.length < start)
    throw dataError(
      `${name}: expected ${rank} dimensions up to byte ${start}, got ${bytes.length} bytes; the file is truncated`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, start);
  const dimensions = Array.from({ length: rank! }, (_, i) => view.getUint32(4 + i * 4));
  return { dimensions, start, count: dimensions.reduce((product, side) => product * side, 1) };
}

const wrongLength = (name: string, { dimensions, start, count }: IdxHeader, got: string, isShort: boolean) =>
  dataError(
    `${name}: expected ${count} values (${dimensions.join('x')}) from byte ${start}, got ${got}; ` +
      `the file is ${isShort ? 'truncated' : 'too long'}`,
  );

/** What the first bytes of a gzip file unpack to: the header, so that it is known how much may follow. */
function unpackHeader(file: Uint8Array, name: string): Uint8Array {
  try {
    return gunzipSync(file.subarray(0, PACKED_HEADER_BYTES), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (error) {
    throw notUnpacked(name, file.subarray(0, PACKED_HEADER_BYTES), error);
  }
}

/** Unpacks a gzip file, never more of it than its IDX header claims. */
function unpack(file: Uint8Array, name: string, header: IdxHeader): Uint8Array {
  const { dimensions, start, count } = header;
  if (count > MAX_VALUES)
    throw dataError(
      `${name}: expected at most ${MAX_VALUES} values in a gzipped file, got a header at byte 0 that claims ${count} (${dimensions.join('x')}); unpack it yourself if that is right`,
    );
  try {
    return gunzipSync(file, { maxOutputLength: start + count });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE')
      throw wrongLength(name, header, `more at byte ${start + count} of what it unpacks to`, false);
    throw notUnpacked(name, file, error);
  }
}

const notUnpacked = (name: string, file: Uint8Array, error: unknown) =>
  dataError(
    `${name}: cannot be unpacked beyond byte ${unpackable(file)} (${reason(error)}); the file is damaged or truncated`,
  );

/** How many bytes of a gzip file can be unpacked, which zlib does not say: found by halving. */
function unpackable(file: Uint8Array): number {
  let good = 0;
  let bad = file.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    try {
      gunzipSync(file.subarray(0, middle), {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: MAX_VALUES,
      });
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return good;
}
