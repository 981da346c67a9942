/**
 * A streaming reader for the part of MATLAB's version 5 files that SVHN uses: real numeric arrays, plain or compressed,
 * little endian. `extra_32x32.mat` unpacks to 1.6 GB, so neither the file nor an array is ever held here: values are
 * handed on as the file is read and inflated.
 *
 * Layout: 128 bytes of header, then elements. An element is a tag (type, byte count), its data, and padding to 8 bytes.
 * Data of up to 4 bytes may be packed with their tag into 8 bytes ("small": the byte count is in the upper half of the
 * first word). An array is an element that holds four more: flags, dimensions, name, values. A compressed element
 * (not padded) is a zlib stream of one element. The values' own type may be narrower than the array's class: SVHN's
 * labels are doubles stored as uint8. Source: MathWorks, "MAT-File Format", level 5.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { dataError } from '@cbnn/runtime';
import { ByteStream } from './byte-stream.js';
import { shortPath } from './files.js';

const HEADER_BYTES = 128;
const TAG_BYTES = 8;

const MATRIX = 14;
const COMPRESSED = 15;

interface NumberType {
  readonly id: number;
  readonly bytes: number;
  get(view: DataView, at: number): number;
}

/** Types of stored values. */
const INT8: NumberType = { id: 1, bytes: 1, get: (view, at) => view.getInt8(at) };
const UINT8: NumberType = { id: 2, bytes: 1, get: (view, at) => view.getUint8(at) };
const INT16: NumberType = { id: 3, bytes: 2, get: (view, at) => view.getInt16(at, true) };
const UINT16: NumberType = { id: 4, bytes: 2, get: (view, at) => view.getUint16(at, true) };
const INT32: NumberType = { id: 5, bytes: 4, get: (view, at) => view.getInt32(at, true) };
const UINT32: NumberType = { id: 6, bytes: 4, get: (view, at) => view.getUint32(at, true) };
const SINGLE: NumberType = { id: 7, bytes: 4, get: (view, at) => view.getFloat32(at, true) };
const DOUBLE: NumberType = { id: 9, bytes: 8, get: (view, at) => view.getFloat64(at, true) };
const TYPES = [INT8, UINT8, INT16, UINT16, INT32, UINT32, SINGLE, DOUBLE];

/** Array classes that are read, and the flag of complex numbers. */
const CLASS_DOUBLE = 6;
const CLASS_UINT8 = 9;
const FLAG_COMPLEX = 0x0800;

/** zlib packs at most this many bytes into one: a count beyond it is damage, and must not be allocated. */
const MAX_INFLATION = 1032;

/** One array of a file; its values must be read before the next array is asked for, or not at all. */
export interface MatArray {
  readonly name: string;
  /** column-major: the first index runs fastest */
  readonly dimensions: readonly number[];
  /** The next `target.length` values, which must be stored as uint8; returns how many there were before the file ended. */
  readBytes(target: Uint8Array): Promise<number>;
  /** All values. Throws a data error where the file ends before. */
  readNumbers(): Promise<Float64Array>;
  /** whether all values were read: only then are the end and the checksum of the array looked at */
  isRead(): boolean;
  /** where reading stands, for errors, e.g. `byte 2686976` */
  position(): string;
}

/** The arrays of a file, one after another. Throws a data error, with the offset, for anything outside the subset. */
export async function* matArrays(path: string, signal?: AbortSignal): AsyncGenerator<MatArray> {
  const name = shortPath(path);
  const size = statSync(path).size;
  const header = readView(path, name, 0, HEADER_BYTES);
  const version = header.getUint16(124, true);
  const endian = String.fromCharCode(header.getUint8(126), header.getUint8(127));
  if (version !== 0x0100 || endian !== 'IM')
    throw dataError(
      `${name}: expected a little-endian MATLAB 5 file (version 0x100 and "IM" at byte 124), got 0x${version.toString(16)} and ${JSON.stringify(endian)}; ` +
        'save it with -v7 or -v6',
    );

  for (let at = HEADER_BYTES; at < size; ) {
    const tag = readView(path, name, at, TAG_BYTES);
    const type = tag.getUint32(0, true);
    const end = at + TAG_BYTES + tag.getUint32(4, true);
    if (type !== MATRIX && type !== COMPRESSED)
      throw dataError(`${name}: expected an array at byte ${at}, got an element of type ${type}`);
    const compressed = type === COMPRESSED;
    const range = {
      path,
      start: compressed ? at + TAG_BYTES : at,
      end: Math.min(end, size),
      signal,
      truncated: end > size,
    };
    const stream = new ByteStream(range, name, compressed);
    try {
      const limit = (range.end - range.start) * (compressed ? MAX_INFLATION : 1);
      // A compressed array of a truncated file ends with the file, which says more than an inflated offset.
      const array = await readArray(stream, name, compressed && end > size ? `byte ${size}` : null, limit);
      yield array;
      if (array.isRead()) {
        if (end > size)
          throw dataError(
            `${name}: expected array ${array.name} to end at byte ${end}, got ${size} bytes; the file is truncated`,
          );
        if (compressed) await stream.finish(TAG_BYTES - 1);
      }
    } finally {
      await stream.close();
    }
    at = compressed ? end : end + padding(end);
  }
}

/** A few bytes at a place of the file. */
function readView(path: string, name: string, start: number, count: number): DataView {
  const bytes = new Uint8Array(count);
  const file = openSync(path, 'r');
  try {
    const got = readSync(file, bytes, 0, count, start);
    if (got < count)
      throw dataError(`${name}: expected ${count} bytes at byte ${start}, got ${got}; the file is truncated`);
  } finally {
    closeSync(file);
  }
  return new DataView(bytes.buffer);
}

/** Reads an array up to its values. `limit`: an upper bound of all its bytes, were the file complete. */
async function readArray(
  stream: ByteStream,
  name: string,
  fileEnd: string | null,
  limit: number,
): Promise<MatArray> {
  const fail = (problem: string) =>
    dataError(`${name}: ${problem} before ${stream.position()}; the file is damaged or no SVHN`);
  const outer = await readTag(stream);
  if (outer.type !== MATRIX) throw fail(`expected an array, got an element of type ${outer.type}`);
  const [flags = 0] = await readSmallElement(stream, UINT32, 'array flags', fail);
  const arrayClass = flags & 0xff;
  if ((arrayClass !== CLASS_DOUBLE && arrayClass !== CLASS_UINT8) || flags & FLAG_COMPLEX)
    throw fail(
      `expected a real array of class ${CLASS_DOUBLE} (double) or ${CLASS_UINT8} (uint8), got class ${arrayClass}`,
    );
  const dimensions = await readSmallElement(stream, INT32, 'dimensions', fail);
  const arrayName = String.fromCharCode(...(await readSmallElement(stream, INT8, 'a name', fail)));

  const values = await readTag(stream);
  const type = TYPES.find(({ id }) => id === values.type);
  const count = dimensions.reduce((product, side) => product * side, 1);
  if (
    !type ||
    dimensions.length < 2 ||
    dimensions.some((side) => side < 0) ||
    count * type.bytes !== values.bytes
  )
    throw fail(
      `expected the values of an array of ${dimensions.join('x')}, got ${values.bytes} bytes of type ${values.type}`,
    );

  const position = () => fileEnd ?? stream.position();
  let left = values.bytes;
  return {
    name: arrayName,
    dimensions,
    position,
    isRead: () => left === 0,
    async readBytes(target) {
      if (type !== UINT8)
        throw fail(`expected ${arrayName} to be stored as uint8 (type 2), got type ${type.id}`);
      const got = await stream.fill(target);
      left -= got;
      return got;
    },
    async readNumbers() {
      if (values.bytes > limit)
        throw dataError(
          `${name}: expected ${count} values of ${arrayName}, the file is too short to hold them; it is truncated`,
        );
      const bytes = new Uint8Array(values.bytes);
      const got = await stream.fill(bytes);
      left -= got;
      if (got < bytes.length)
        throw dataError(
          `${name}: expected ${count} values of ${arrayName}, got ${Math.floor(got / type.bytes)} at ${position()}; the file is truncated`,
        );
      const view = new DataView(bytes.buffer);
      return Float64Array.from({ length: count }, (_, i) => type.get(view, i * type.bytes));
    },
  };
}

interface Tag {
  readonly type: number;
  readonly bytes: number;
  /** bytes of padding after the data */
  readonly padding: number;
}

const padding = (bytes: number) => (TAG_BYTES - (bytes % TAG_BYTES)) % TAG_BYTES;

/** Reads a tag up to where its data begin. */
async function readTag(stream: ByteStream): Promise<Tag> {
  const word = (await stream.exactly(4, 'a tag')).getUint32(0, true);
  const small = word >>> 16;
  if (small > 0) return { type: word & 0xffff, bytes: small, padding: 4 - small };
  const bytes = (await stream.exactly(4, 'a byte count')).getUint32(0, true);
  return { type: word, bytes, padding: padding(bytes) };
}

/** Reads an element of a few numbers of a known type. */
async function readSmallElement(
  stream: ByteStream,
  type: NumberType,
  what: string,
  fail: (problem: string) => Error,
): Promise<number[]> {
  const tag = await readTag(stream);
  if (tag.type !== type.id || tag.bytes % type.bytes !== 0 || tag.bytes > 256 || tag.padding < 0)
    throw fail(`expected ${what} (type ${type.id}), got ${tag.bytes} bytes of type ${tag.type}`);
  const view = await stream.exactly(tag.bytes + tag.padding, what);
  return Array.from({ length: tag.bytes / type.bytes }, (_, i) => type.get(view, i * type.bytes));
}
