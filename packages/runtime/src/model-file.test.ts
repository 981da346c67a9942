import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeNames } from './codes.js';
import { CbnnError } from './errors.js';
import type { PackedModel } from './model.js';
import { decodeModel, encodeModel } from './model-file.js';
import { decodeSafetensors, encodeSafetensors, type Tensor } from './safetensors.js';
import { sha256 } from './sha256.js';
import { workedExample } from './testing/golden.js';
import { modelCases, randomModel } from './testing/random-model.js';

const small = workedExample.model;

/** What decodeModel makes of bytes: a model, or the error it throws, which must be a model error. */
function attempt(bytes: Uint8Array): PackedModel | CbnnError {
  try {
    return decodeModel(bytes);
  } catch (error) {
    if (error instanceof CbnnError && error.kind === 'model') return error;
    throw error;
  }
}

type Edit = (json: Record<string, unknown>, tensors: Map<string, Tensor>) => void;

/** The file of the worked example with its JSON and tensors changed, and a checksum that is right again. */
function forge(edit: Edit): Uint8Array {
  const { tensors, metadata } = decodeSafetensors(encodeModel(small));
  const changed = new Map(tensors);
  const { cbnn } = metadata;
  const { sha256: _, ...json }: Record<string, unknown> = JSON.parse(cbnn!);
  edit(json, changed);
  const file = encodeSafetensors(changed, {});
  const data = file.subarray(8 + new DataView(file.buffer).getUint32(0, true));
  const covered = `${JSON.stringify(json).slice(0, -1)},"sha256":"`;
  return encodeSafetensors(changed, {
    cbnn: `${covered}${sha256(Buffer.concat([Buffer.from(covered), data]))}"}`,
  });
}

describe('encodeModel and decodeModel', () => {
  it('read back what they write, byte for byte', () => {
    fc.assert(
      fc.property(modelCases, ({ model }) => {
        const bytes = encodeModel(model);
        const copy = decodeModel(bytes);
        expect(copy).toEqual(model);
        expect(Buffer.compare(encodeModel(copy), bytes)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it('keep any class name and provenance', () => {
    const model: PackedModel = {
      ...small,
      classes: ['"sha256":"', '\u{1f600} \\ \ud800\n'],
      provenance: { ...small.provenance, technique: 'ä', seed: -3, validationError: 1.25, testError: 0.1 },
    };
    expect(decodeModel(encodeModel(model))).toEqual(model);
  });

  it('write the oldest version that says it, and read plain binary in both', () => {
    const textOf = (model: PackedModel) => decodeSafetensors(encodeModel(model)).metadata['cbnn'];
    expect(textOf(small)).toMatch(/^\{"formatVersion":1,.*"encoding":"bit-slices","slices"/);
    for (const code of codeNames) {
      const model: PackedModel = { ...small, input: { ...small.input, code } };
      expect(textOf(model)).toMatch(/^\{"formatVersion":2,/);
      expect(decodeModel(encodeModel(model))).toEqual(model);
    }
    const input = {
      height: 2,
      width: 2,
      channels: 1,
      encoding: 'bit-slices',
      slices: [
        [0, 6],
        [0, 7],
      ],
    };
    const rest = { shifts: [0, 1], stretch: { low: 0, high: 100 } };
    const written = (formatVersion: number, code: string) =>
      decodeModel(
        forge((json) => Object.assign(json, { formatVersion, input: { ...input, code, ...rest } })),
      );
    expect(written(2, 'binary')).toEqual(small);
    // Readers of version 1 knew no codes.
    expect(written(1, 'gray')).toEqual(small);
  });

  it('write the tensors of docs/model-format.md', () => {
    const { tensors } = decodeSafetensors(encodeModel(small));
    expect([...tensors].map(([name, { dtype, shape }]) => `${name} ${dtype} [${shape.join()}]`)).toEqual([
      'layers.1.scale I32 [2]',
      'layers.1.bias I32 [2]',
      'layers.0.thresholds I16 [2]',
      'layers.0.weights U8 [2,3]',
      'layers.1.weights U8 [2,1]',
    ]);
  });

  it('widen thresholds only where one needs it', () => {
    const wide = (seed: number) => {
      const model = randomModel(seed);
      const { tensors } = decodeSafetensors(encodeModel(model));
      return model.kernels.slice(0, -1).map((kernel, k) => ({
        needed: kernel.output === 'bits' && kernel.thresholds.some((t) => t < -32768 || t > 32767),
        used: tensors.get(`layers.${k}.thresholds`)!.dtype === 'I32',
      }));
    };
    const layers = Array.from({ length: 60 }, (_, seed) => wide(seed)).flat();
    expect(new Set(layers.map(({ used }) => used))).toEqual(new Set([true, false]));
    for (const { needed, used } of layers) expect(used).toBe(needed);
  });

  it.each([
    ['binary', small],
    ['integer', randomModel(1, { firstWeights: 'integer' })],
  ])('share no memory with the file, its first layer %s', (type, expected) => {
    expect(expected.kernels[0]!.weights.type).toBe(type);
    const bytes = encodeModel(expected);
    const model = decodeModel(bytes);
    bytes.fill(0);
    expect(model).toEqual(expected);
  });

  it('refuse to write an invalid model', () => {
    expect(() => encodeModel({ ...small, classes: [] })).toThrow(/classes: expected 2 names/);
  });
});

describe('a hostile file', () => {
  it('is refused at every length it is cut to', () => {
    const bytes = encodeModel(small);
    for (let length = 0; length < bytes.length; length++)
      expect(attempt(bytes.slice(0, length))).toBeInstanceOf(CbnnError);
  });

  it('is refused, or read as the same model, with any one bit flipped', () => {
    const bytes = encodeModel(small);
    let refused = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const result = attempt(flipped);
      if (result instanceof CbnnError) refused++;
      else expect(result).toEqual(small);
    }
    expect(refused).toBe(bytes.length * 8);
  });

  it('is refused, or read as the same model, with any bytes overwritten', () => {
    const bytes = encodeModel(small);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (writes) => {
          const damaged = bytes.slice();
          for (const [at, value] of writes) damaged[at] = value;
          const result = attempt(damaged);
          if (!(result instanceof CbnnError)) expect(result).toEqual(small);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('is read when only its checksum had to be made anew', () => {
    expect(decodeModel(forge(() => {}))).toEqual(small);
  });

  it('is refused when two tensors of one type have exchanged their names', () => {
    const bytes = encodeModel(small);
    const text = Buffer.from(bytes).toString('latin1');
    const swapped = text
      .replace('layers.1.scale', 'layers.1.other')
      .replace('layers.1.bias', 'layers.1.scale')
      .replace('layers.1.other', 'layers.1.bias');
    // As long as before, so that only the names in the tensor table differ.
    const moved = Buffer.from(swapped, 'latin1');
    expect(moved.length).toBe(bytes.length);
    expect(attempt(moved)).toMatchObject({
      message: expect.stringContaining(
        'expected the data of `layers.1.scale` before those of `layers.1.bias`',
      ),
    });
  });

  it('may carry members that this version does not know', () => {
    expect(decodeModel(forge((json) => Object.assign(json, { note: { a: [1] } })))).toEqual(small);
  });

  const input =
    (change: Record<string, unknown>): Edit =>
    (json) => {
      const { input } = json;
      Object.assign(Object(input), change);
    };
  const member =
    (change: Record<string, unknown>): Edit =>
    (json) =>
      Object.assign(json, change);
  const coded =
    (code: unknown): Edit =>
    (json) => {
      json['formatVersion'] = 2;
      json['input'] = { ...(json['input'] as object), code };
    };
  const tensor =
    (name: string, value: Tensor): Edit =>
    (_, tensors) =>
      tensors.set(name, value);

  it.each<[string, Edit, RegExp]>([
    [
      'a newer version',
      member({ formatVersion: 3 }),
      /expected format version 1 to 2, got 3; use the version of cbnn that wrote it/,
    ],
    ['version 0', member({ formatVersion: 0 }), /expected format version 1 to 2, got 0/],
    ['a version between', member({ formatVersion: 1.5 }), /expected format version 1 to 2, got 1\.5/],
    ['version 2 and no code', member({ formatVersion: 2 }), /cbnn\.input\.code: expected a text/],
    ['an unknown code', coded('grey'), /input: expected code binary, gray or thermometer, got grey/],
    ['a code that is a number', coded(1), /cbnn\.input\.code: expected a text/],
    ['a code of an object', coded('__proto__'), /expected code binary, gray or thermometer, got __proto__/],
    [
      'a code of 8-bit values',
      (json) => {
        coded('gray')(json, new Map());
        input({ encoding: '8-bit', slices: [], shifts: [] })(json, new Map());
      },
      /input: expected no code with 8-bit encoding, got gray/,
    ],
    ['no version', member({ formatVersion: undefined }), /cbnn\.formatVersion: expected a number/],
    ['a version in quotes', member({ formatVersion: '1' }), /cbnn\.formatVersion: expected a number/],
    [
      'a typo in the architecture',
      member({ architecture: '2c3-MP2-2FC' }),
      /layer 1, `2c3`: did you mean `2C3`\?/,
    ],
    [
      'another architecture',
      member({ architecture: '2C2-MP2-2FC' }),
      /layers\.0\.weights: expected U8 \[2, 1\] or I8 \[2, 2, 2, 2\], got U8 \[2, 3\]/,
    ],
    [
      'a shorter architecture',
      member({ architecture: '2FC' }),
      /layers\.0\.weights: expected U8 \[2, 1\] or I8 \[2, 8\]/,
    ],
    [
      'a longer architecture',
      member({ architecture: '2C3-MP2-2FC-2FC' }),
      /expected tensor `layers\.1\.thresholds`, got none/,
    ],
    ['an architecture of no layers', member({ architecture: '' }), /architecture: expected layers joined by/],
    [
      'an architecture that does not fit',
      member({ architecture: '2C3V-2FC' }),
      /a 3x3 kernel does not fit a 2x2 map/,
    ],
    ['no input', member({ input: null }), /cbnn\.input: expected an object/],
    ['a list as input', member({ input: [] }), /cbnn\.input: expected an object/],
    ['an unknown encoding', input({ encoding: '7-bit' }), /expected encoding bit-slices or 8-bit, got 7-bit/],
    ['no height', input({ height: undefined }), /cbnn\.input\.height: expected a number/],
    ['a negative width', input({ width: -2 }), /input: width: expected an integer of 1\.\.4096, got -2/],
    ['slices in text', input({ slices: '0:6-7' }), /cbnn\.input\.slices: expected a list of pairs/],
    [
      'slices of three numbers',
      input({ slices: [[0, 6, 1]] }),
      /cbnn\.input\.slices: expected a list of pairs/,
    ],
    [
      'slices out of order',
      input({
        slices: [
          [0, 7],
          [0, 6],
        ],
      }),
      /slice 1: expected slices in order/,
    ],
    ['shifts of texts', input({ shifts: ['0', '1'] }), /cbnn\.input\.shifts: expected a list of numbers/],
    ['no stretch', input({ stretch: undefined }), /cbnn\.input\.stretch: expected an object/],
    ['half a stretch', input({ stretch: { low: 1 } }), /cbnn\.input\.stretch\.high: expected a number/],
    ['classes that are not texts', member({ classes: [1, 2] }), /cbnn\.classes: expected a list of texts/],
    ['a class too many', member({ classes: ['a', 'b', 'c'] }), /classes: expected 2 names/],
    ['no provenance', member({ provenance: undefined }), /cbnn\.provenance: expected an object/],
    [
      'an error in words',
      member({ provenance: { ...small.provenance, testError: 'low' } }),
      /cbnn\.provenance\.testError: expected a number/,
    ],
    [
      'a missing tensor',
      (_, tensors) => tensors.delete('layers.1.bias'),
      /expected tensor `layers\.1\.bias`, got none/,
    ],
    [
      'a tensor too many',
      tensor('extra', { dtype: 'U8', shape: [1], data: new Uint8Array(1) }),
      /expected no tensor `extra` in 2C3-MP2-2FC/,
    ],
    [
      'weights of another shape',
      tensor('layers.0.weights', { dtype: 'U8', shape: [3, 2], data: new Uint8Array(6) }),
      /layers\.0\.weights: expected U8 \[2, 3\] or I8 \[2, 3, 3, 2\], got U8 \[3, 2\]/,
    ],
    [
      'flat integer weights',
      tensor('layers.0.weights', { dtype: 'I8', shape: [36], data: new Int8Array(36) }),
      /layers\.0\.weights: expected U8 .* got I8 \[36\]/,
    ],
    [
      'integers after the first layer',
      tensor('layers.1.weights', { dtype: 'I8', shape: [2, 2], data: new Int8Array(4) }),
      /layers\.1\.weights: expected binary weights after the first layer/,
    ],
    [
      'float weights',
      tensor('layers.0.weights', { dtype: 'F32', shape: [2, 3], data: new Float32Array(6) }),
      /layers\.0\.weights: expected U8 .* got F32/,
    ],
    [
      'narrow scales',
      tensor('layers.1.scale', { dtype: 'I16', shape: [2], data: new Int16Array(2) }),
      /layers\.1\.scale: expected I32 \[2\], got I16 \[2\]/,
    ],
    [
      'thresholds of another length',
      tensor('layers.0.thresholds', { dtype: 'I16', shape: [3], data: new Int16Array(3) }),
      /layers\.0\.thresholds: expected I16 or I32 \[2\], got I16 \[3\]/,
    ],
    [
      'thresholds out of reach',
      tensor('layers.0.thresholds', { dtype: 'I16', shape: [2], data: Int16Array.of(0, 29) }),
      /layers\.0\.thresholds: expected values of -27\.\.28, got 29/,
    ],
    [
      'ones in the padding',
      tensor('layers.1.weights', { dtype: 'U8', shape: [2, 1], data: Uint8Array.of(0, 4) }),
      /layers\.1\.weights: expected zero bits after the 2 weights of output 1/,
    ],
    [
      'scores beyond int32',
      tensor('layers.1.scale', { dtype: 'I32', shape: [2], data: Int32Array.of(2 ** 30, 1) }),
      /layers\.1: expected scores below 2\^31/,
    ],
  ])('with %s is refused though its checksum is right', (_, edit, message) => {
    const result = attempt(forge(edit));
    expect(result).toBeInstanceOf(CbnnError);
    expect(result).toHaveProperty('message', expect.stringMatching(message));
  });

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['no metadata', {}, /expected metadata `cbnn`, got none; not a cbnn model/],
    ['metadata that are not JSON', { cbnn: '{' }, /expected JSON as metadata `cbnn`/],
    ['metadata that are a number', { cbnn: '1' }, /cbnn: expected an object/],
    ['no checksum', { cbnn: '{"formatVersion":1}' }, /cbnn\.sha256: expected a text/],
    [
      'a checksum that is not last',
      { cbnn: `{"formatVersion":1,"sha256":"${'0'.repeat(64)}","a":1}` },
      /to end with its SHA-256/,
    ],
    [
      'a wrong checksum',
      { cbnn: `{"formatVersion":1,"sha256":"${'0'.repeat(64)}"}` },
      /expected SHA-256 0{64}, got [0-9a-f]{64}; the file is damaged/,
    ],
  ])('with %s is refused', (_, metadata, message) => {
    const result = attempt(encodeSafetensors(new Map(), metadata));
    expect(result).toBeInstanceOf(CbnnError);
    expect(result).toHaveProperty('message', expect.stringMatching(message));
  });

  it('with nesting beyond any stack is refused', () => {
    const deep = `{"formatVersion":1,"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    expect(attempt(encodeSafetensors(new Map(), { cbnn: deep }))).toBeInstanceOf(CbnnError);
  });
});
