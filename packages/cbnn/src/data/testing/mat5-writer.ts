/** Writes MATLAB 5 files with numeric arrays, for tests of the reader. */
import { deflateSync } from 'node:zlib';

export interface ArrayToWrite {
  readonly name: string;
  readonly dimensions: readonly number[];
  /** column-major values */
  readonly values: Uint8Array | Float64Array;
  /** 9 = uint8 (the default), 6 = double; values keep their own type */
  readonly class?: number;
}

const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);

function element(type: number, data: Uint8Array): Buffer {
  const tag = Buffer.alloc(8);
  if (data.length > 0 && data.length <= 4) {
    tag.writeUInt16LE(type, 0);
    tag.writeUInt16LE(data.length, 2);
    tag.set(data, 4);
    return tag;
  }
  tag.writeUInt32LE(type, 0);
  tag.writeUInt32LE(data.length, 4);
  return Buffer.concat([tag, padded(data)]);
}

const words = (...values: number[]) => new Uint8Array(Int32Array.from(values).buffer);

function matrix(array: ArrayToWrite): Buffer {
  const { values } = array;
  const body = Buffer.concat([
    element(6, words(array.class ?? 9, 0)),
    element(5, words(...array.dimensions)),
    element(1, Buffer.from(array.name)),
    element(
      values instanceof Uint8Array ? 2 : 9,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    ),
  ]);
  const tag = Buffer.alloc(8);
  tag.writeUInt32LE(14, 0);
  tag.writeUInt32LE(body.length, 4);
  return Buffer.concat([tag, body]);
}

/** A whole file; each array is an element of its own, compressed unless told otherwise. */
export function writeMat5(arrays: readonly ArrayToWrite[], compressed = true): Uint8Array {
  const header = Buffer.alloc(128, 0x20);
  header.write('MATLAB 5.0 MAT-file, made by a test');
  header.writeUInt16LE(0x0100, 124);
  header.write('IM', 126);
  const elements = arrays.map((array) => {
    const plain = matrix(array);
    if (!compressed) return plain;
    const packed = deflateSync(plain);
    const tag = Buffer.alloc(8);
    tag.writeUInt32LE(15, 0);
    tag.writeUInt32LE(packed.length, 4);
    return Buffer.concat([tag, packed]);
  });
  return Buffer.concat([header, ...elements]);
}
