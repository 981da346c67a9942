import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CbnnError } from './errors.js';
import { decodeSafetensors, encodeSafetensors, type Tensor } from './safetensors.js';

/** A file with any header text and any data. */
function rawFile(header: string, data: Uint8Array | number = 0): Uint8Array {
  const json = new TextEncoder().encode(header);
  const body = typeof data === 'number' ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + json.length + body.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  file.set(body, 8 + json.length);
  return file;
}

const one = (member: string, data = 0) => rawFile(`{"a":${member}}`, data);

const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });
const count = (sides: readonly number[]) => sides.reduce((product, side) => product * side, 1);
const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const tensor: fc.Arbitrary<Tensor> = shape.chain((sides) =>
  bytesOf(count(sides) * 8).chain((bytes) => {
    const n = count(sides);
    return fc.constantFrom<Tensor>(
      { dtype: 'U8', shape: sides, data: bytes.slice(0, n) },
      { dtype: 'I8', shape: sides, data: new Int8Array(bytes.buffer, 0, n).slice() },
      { dtype: 'U16', shape: sides, data: new Uint16Array(bytes.buffer, 0, n).slice() },
      { dtype: 'I16', shape: sides, data: new Int16Array(bytes.buffer, 0, n).slice() },
      { dtype: 'U32', shape: sides, data: new Uint32Array(bytes.buffer, 0, n).slice() },
      { dtype: 'I32', shape: sides, data: new Int32Array(bytes.buffer, 0, n).slice() },
      { dtype: 'F32', shape: sides, data: new Float32Array(bytes.buffer, 0, n).slice() },
      { dtype: 'F64', shape: sides, data: new Float64Array(bytes.buffer, 0, n).slice() },
    );
  }),
);
const tensorName = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((name) => name !== '__proto__');
const files = fc.record({
  tensors: fc.array(fc.tuple(tensorName, tensor), { maxLength: 6 }).map((entries) => new Map(entries)),
  metadata: fc.dictionary(tensorName, fc.string({ unit: 'grapheme' }), { noNullPrototype: true }),
});

describe('safetensors', () => {
  it('reads back what it writes, at any place in memory', () => {
    fc.assert(
      fc.property(files, fc.integer({ min: 0, max: 8 }), ({ tensors, metadata }, offset) => {
        const file = encodeSafetensors(tensors, metadata);
        const moved = new Uint8Array(offset + file.length);
        moved.set(file, offset);
        const result = decodeSafetensors(moved.subarray(offset));
        expect(new Map(result.tensors)).toEqual(tensors);
        expect(result.metadata).toEqual(metadata);
        expect(encodeSafetensors(result.tensors, result.metadata)).toEqual(file);
      }),
      { numRuns: 300 },
    );
  });

  it('writes exactly these bytes', () => {
    const tensors = new Map<string, Tensor>([
      ['b', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }],
      ['a', { dtype: 'I16', shape: [1, 2], data: Int16Array.of(-2, 258) }],
    ]);
    const header =
      '{"__metadata__":{"k":"v"},"a":{"dtype":"I16","shape":[1,2],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    expect(encodeSafetensors(tensors, { k: 'v' })).toEqual(
      rawFile(padded, Uint8Array.of(0xfe, 0xff, 2, 1, 1, 2, 3)),
    );
  });

  it('reads files of other writers: any whitespace, any order, no metadata, unaligned data', () => {
    const header =
      ' {\n "z": {"shape": [2], "data_offsets": [1, 9], "dtype": "F32"}, "s": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}}'.trim();
    const data = new Uint8Array(9);
    data[0] = 7;
    new DataView(data.buffer).setFloat32(1, 1.5, true);
    for (const pad of ['', ' ', '  ', '   ']) {
      const { tensors, metadata } = decodeSafetensors(rawFile(header + pad, data));
      expect([...tensors.keys()]).toEqual(['s', 'z']);
      expect([...tensors.get('z')!.data]).toEqual([1.5, 0]);
      expect([...tensors.get('s')!.data]).toEqual([7]);
      expect(metadata).toEqual({});
    }
  });

  it('gives views of data that are aligned, and copies of data that are not', () => {
    const tensors = new Map<string, Tensor>([
      ['a', { dtype: 'F64', shape: [2], data: Float64Array.of(1, 2) }],
    ]);
    const file = encodeSafetensors(tensors, {});
    const moved = new Uint8Array(file.length + 1);
    moved.set(file, 1);
    expect(decodeSafetensors(file).tensors.get('a')!.data.buffer).toBe(file.buffer);
    const copy = decodeSafetensors(moved.subarray(1)).tensors.get('a')!;
    expect(copy.data.buffer).not.toBe(moved.buffer);
    expect([...copy.data]).toEqual([1, 2]);
  });

  it.each([
    ['an empty file', new Uint8Array(0), /expected at least 8 bytes, got 0; the file is cut short/],
    ['half a length', new Uint8Array(7), /expected at least 8 bytes, got 7/],
    ['no header', new Uint8Array(8), /expected JSON that begins with `\{`/],
    [
      'a header longer than the file',
      Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d),
      /a header of 9 bytes .* got 2/,
    ],
    ['an absurd header length', new Uint8Array(16).fill(0xff), /a header of at most 100000000 bytes/],
    ['a header that is not JSON', rawFile('{"a":'), /header at byte 8: expected JSON, got something else/],
    ['a header that is a list', rawFile('[]'), /expected JSON that begins with/],
    ['a header after a space', rawFile(' {}'), /expected JSON that begins with/],
    ['a byte order mark', rawFile('\ufeff{}'), /expected JSON that begins with/],
    ['broken UTF-8', Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d), /expected UTF-8/],
    [
      'a tensor said twice',
      rawFile(
        '{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}',
        1,
      ),
      /every name once/,
    ],
    [
      'a member said twice',
      one('{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}', 1),
      /every name once/,
    ],
    [
      'deep nesting',
      rawFile(`{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}`),
      /at most 3 levels of JSON, got 100001/,
    ],
    [
      'metadata that are not texts',
      rawFile('{"__metadata__":{"a":1}}'),
      /__metadata__: expected an object of texts/,
    ],
    ['metadata that are a list', rawFile('{"__metadata__":[]}'), /__metadata__: expected an object of texts/],
    ['a tensor that is a number', one('3'), /tensor "a": expected an object with dtype/],
    [
      'an unknown dtype',
      one('{"dtype":"F17","shape":[],"data_offsets":[0,1]}', 1),
      /tensor "a": expected a dtype of U8, .* got "F17"/,
    ],
    [
      'a dtype from the prototype',
      one('{"dtype":"toString","shape":[],"data_offsets":[0,1]}', 1),
      /expected a dtype of/,
    ],
    ['no dtype', one('{"shape":[],"data_offsets":[0,1]}', 1), /expected a dtype of .* got nothing/],
    [
      'no shape',
      one('{"dtype":"U8","data_offsets":[0,1]}', 1),
      /expected a shape of non-negative integers, got nothing/,
    ],
    [
      'a negative side',
      one('{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}', 1),
      /non-negative integers, got \[-1\]/,
    ],
    [
      'a fractional side',
      one('{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}', 1),
      /non-negative integers, got \[1.5\]/,
    ],
    [
      'a shape beyond memory',
      one('{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}'),
      /fits in memory/,
    ],
    [
      'a shape beyond memory times zero',
      one('{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}'),
      /fits in memory/,
    ],
    [
      'a shape the data do not fill',
      one('{"dtype":"I32","shape":[2],"data_offsets":[0,4]}', 4),
      /expected 8 bytes for I32 \[2\], got offsets 0 to 4/,
    ],
    [
      'data that its shape does not use up',
      one('{"dtype":"I32","shape":[1],"data_offsets":[0,6]}', 6),
      /expected 4 bytes for I32 \[1\], got offsets 0 to 6/,
    ],
    [
      'offsets the wrong way round',
      one('{"dtype":"U8","shape":[1],"data_offsets":[1,0]}', 1),
      /got offsets 1 to 0/,
    ],
    [
      'one offset',
      one('{"dtype":"U8","shape":[1],"data_offsets":[1]}', 1),
      /expected data_offsets \[begin, end\], got \[1\]/,
    ],
    ['negative offsets', one('{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}', 1), /expected data_offsets/],
    [
      'offsets beyond the file',
      one('{"dtype":"U8","shape":[2],"data_offsets":[0,2]}', 1),
      /expected 2 bytes of data from byte \d+, got 1; the file is cut short/,
    ],
    [
      'a huge tensor in a small file',
      one('{"dtype":"U8","shape":[9007199254740991],"data_offsets":[0,9007199254740991]}', 1),
      /cut short/,
    ],
    [
      'a hole at the start',
      one('{"dtype":"U8","shape":[1],"data_offsets":[1,2]}', 2),
      /tensor "a": expected data from offset 0, got 1; .* no holes/,
    ],
    [
      'bytes nobody owns',
      one('{"dtype":"U8","shape":[1],"data_offsets":[0,1]}', 2),
      /expected 1 bytes of data .* got 2; the file is too long/,
    ],
    [
      'overlapping tensors',
      rawFile(
        '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
        3,
      ),
      /tensor "b": expected data from offset 2, got 1/,
    ],
    [
      'two tensors at one place',
      rawFile(
        '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}',
        2,
      ),
      /tensor "b": expected data from offset 2, got 0/,
    ],
  ])('refuses %s', (_, file, message) => {
    expect(() => decodeSafetensors(file)).toThrow(
      expect.objectContaining({ kind: 'model', message: expect.stringMatching(message) }),
    );
  });

  it('throws nothing but model errors for any damage', () => {
    fc.assert(
      fc.property(files, fc.infiniteStream(fc.nat()), ({ tensors, metadata }, random) => {
        const file = encodeSafetensors(tensors, metadata);
        const damaged = file.slice(
          0,
          random.next().value! % 4 ? file.length : random.next().value! % file.length,
        );
        for (let i = 0; i < 3 && damaged.length > 0; i++)
          damaged[random.next().value! % damaged.length] = random.next().value! & 255;
        try {
          decodeSafetensors(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(CbnnError);
          expect(error).toHaveProperty('kind', 'model');
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('shortens what it quotes from the file', () => {
    expect(() => decodeSafetensors(rawFile(`{"${'x'.repeat(1e6)}":1}`))).toThrow(
      /^tensor "x{79}\.\.\.: expected/,
    );
  });

  it('refuses to write data that do not fill their shape', () => {
    const data = Uint8Array.of(1, 2, 3);
    expect(() => encodeSafetensors(new Map([['a', { dtype: 'U8', shape: [2], data }]]), {})).toThrow(
      /tensor `a`: expected 2 values for U8 \[2\], got 3/,
    );
  });
});
