import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseArchitecture } from './architecture.js';
import type { InputSpec, KernelLayer, PackedModel, Provenance } from './model.js';
import { parseSlices } from './slices.js';
import { modelCases } from './testing/random-model.js';
import { checkStructure, validateModel } from './validate.js';

const kernel = (bits: number[], thresholds: number[]): KernelLayer => ({
  weights: { type: 'binary', bits: Uint8Array.from(bits) },
  output: 'bits',
  thresholds: Int32Array.from(thresholds),
});

const scores = (bits: number[], scale: number[], bias: number[]): KernelLayer => ({
  weights: { type: 'binary', bits: Uint8Array.from(bits) },
  output: 'scores',
  scale: Int32Array.from(scale),
  bias: Int32Array.from(bias),
});

/** 2 x 2 pixels, 2 channels, 3 slices; a 1x1 convolution with 2 outputs (fan-in 3, bound 3), 2 classes (fan-in 8). */
const valid: PackedModel = {
  input: {
    height: 2,
    width: 2,
    channels: 2,
    encoding: 'bit-slices',
    slices: parseSlices('0:6-7,1:7', 2),
    shifts: [0, 0, 0],
    stretch: { low: 1, high: 99 },
  },
  layers: parseArchitecture('2C1-2FC'),
  kernels: [kernel([0b101, 0b010], [-3, 4]), scores([0xff, 0x0f], [1, 1], [0, 0])],
  classes: ['a', 'b'],
  provenance: { technique: 't', recipe: 'r', dataset: 'd', epochs: 1, seed: 1 },
};

const withInput = (change: Partial<InputSpec>): PackedModel => ({
  ...valid,
  input: { ...valid.input, ...change },
});
const withKernel = (k: number, change: KernelLayer): PackedModel => ({
  ...valid,
  kernels: valid.kernels.map((old, i) => (i === k ? change : old)),
});
const withLayers = (notation: string): PackedModel => ({ ...valid, layers: parseArchitecture(notation) });
const withProvenance = (change: Partial<Provenance>): PackedModel => ({
  ...valid,
  provenance: { ...valid.provenance, ...change },
});
const integer = (values: number[]): KernelLayer => ({
  weights: { type: 'integer', values: Int8Array.from(values) },
  output: 'bits',
  thresholds: Int32Array.of(0, 0),
});

describe('validateModel', () => {
  it('accepts every random model', () => {
    fc.assert(
      fc.property(modelCases, ({ model }) => validateModel(model)),
      { numRuns: 200 },
    );
  });

  it.each<[string, PackedModel]>([
    ['the smallest and the largest threshold', valid],
    ['integer weights in the first layer', withKernel(0, integer([127, -127, 0, 1, 2, 3]))],
    [
      'shifts up to 7',
      { ...withInput({ shifts: [0, 7, 7] }), kernels: [kernel([5, 2], [-257, 258]), valid.kernels[1]!] },
    ],
    ['no stretch', withInput({ stretch: null })],
    ['the widest stretch', withInput({ stretch: { low: 0, high: 100 } })],
    ['the largest scores', withKernel(1, scores([1, 2], [2 ** 28 - 1, -(2 ** 28) + 1], [7, -7]))],
    ['error rates', withProvenance({ validationError: 0, testError: 99.5 })],
  ])('accepts %s', (_, model) => {
    expect(() => validateModel(model)).not.toThrow();
  });

  it.each<[string, PackedModel, RegExp]>([
    ['no height', withInput({ height: 0 }), /input: height: expected an integer of 1\.\.4096, got 0/],
    ['half a pixel', withInput({ width: 2.5 }), /input: width: expected an integer of 1\.\.4096, got 2\.5/],
    [
      'a huge image',
      withInput({ height: 4097 }),
      /input: height: expected an integer of 1\.\.4096, got 4097/,
    ],
    [
      'too many channels',
      withInput({ channels: 65 }),
      /input: channels: expected an integer of 1\.\.64, got 65/,
    ],
    ['no slices', withInput({ slices: [], shifts: [] }), /expected at least one slice/],
    [
      'slices with 8 bits',
      withInput({ encoding: '8-bit' }),
      /expected no slices and no shifts with 8-bit encoding, got 3 and 3/,
    ],
    [
      'a code with 8 bits',
      withInput({ encoding: '8-bit', slices: [], shifts: [], code: 'gray' }),
      /expected no code with 8-bit encoding, got gray/,
    ],
    [
      'an unknown code',
      withInput({ code: 'binary' as 'gray' }),
      /input: expected code gray or thermometer, or none, got binary/,
    ],
    [
      'a slice too many for the shifts',
      withInput({ shifts: [0, 0] }),
      /expected 3 shifts, one per slice, got 2/,
    ],
    [
      'slices out of order',
      withInput({ slices: [...valid.input.slices].reverse() }),
      /slice 1: expected slices in order/,
    ],
    [
      'a slice twice',
      withInput({ slices: [valid.input.slices[0]!, valid.input.slices[0]!, valid.input.slices[2]!] }),
      /slice 1: expected slices in order .*each once/,
    ],
    [
      'a slice of a channel that is not there',
      withInput({ channels: 1 }),
      /slice 2: channel: expected an integer of 0\.\.0, got 1/,
    ],
    [
      'a ninth bit',
      withInput({ slices: [{ channel: 0, bit: 8 }], shifts: [0] }),
      /slice 0: bit: expected an integer of 0\.\.7, got 8/,
    ],
    ['a shift of 8', withInput({ shifts: [0, 8, 0] }), /shift 1: expected an integer of 0\.\.7, got 8/],
    ['a negative shift', withInput({ shifts: [0, -1, 0] }), /shift 1: expected an integer of 0\.\.7, got -1/],
    [
      'a stretch to nothing',
      withInput({ stretch: { low: 50, high: 50 } }),
      /stretch: expected low below high, got 50 and 50/,
    ],
    [
      'a stretch above 100',
      withInput({ stretch: { low: 1, high: 101 } }),
      /stretch: high: expected an integer of 1\.\.100/,
    ],
    [
      'a stretch below 0',
      withInput({ stretch: { low: -1, high: 99 } }),
      /stretch: low: expected an integer of 0\.\.99/,
    ],
    [
      'a fractional stretch',
      withInput({ stretch: { low: 0.5, high: 99 } }),
      /stretch: low: expected an integer/,
    ],
    ['a kernel that does not fit', withLayers('2C3V-2FC'), /layer 1: a 3x3 kernel does not fit a 2x2 map/],
    ['no dense layer at the end', withLayers('2C1'), /the last layer must be dense/],
    ['no layers', { ...valid, layers: [] }, /number of layers: expected an integer of 1\.\.64, got 0/],
    [
      '65 layers',
      { ...valid, layers: Array.from({ length: 65 }, () => ({ kind: 'dense', units: 2 })) },
      /expected an integer of 1\.\.64, got 65/,
    ],
    [
      'a kernel of 8',
      {
        ...valid,
        layers: [
          { kind: 'conv', channels: 2, kernel: 8, stride: 1, padding: 'same' },
          { kind: 'dense', units: 2 },
        ],
      },
      /layer 1: kernel: expected an integer of 1\.\.7, got 8/,
    ],
    [
      'too many weights',
      { ...withLayers('65536FC-65536FC-2FC'), kernels: [] },
      /expected at most 2147483648 weights, got 4/,
    ],
    [
      'an absurd feature map',
      { ...withInput({ height: 4096, width: 4096 }), layers: parseArchitecture('64C1-2FC') },
      /layers\.0: expected an output of at most 268435456 values, got 1073741824/,
    ],
    [
      'an absurd input',
      {
        ...withInput({
          height: 4096,
          width: 4096,
          channels: 64,
          slices: parseSlices('top1', 64),
          shifts: Array.from({ length: 64 }, () => 0),
        }),
        layers: parseArchitecture('1C7S4-2FC'),
      },
      /layers\.0: expected an input of at most/,
    ],
    [
      'a class too few',
      { ...valid, classes: ['a'] },
      /classes: expected 2 names, one per unit of the last layer, got 1/,
    ],
    ['a layer too few', { ...valid, kernels: [valid.kernels[0]!] }, /expected 2 kernel layers, got 1/],
    [
      'integers after the first layer',
      withKernel(1, integer([])),
      /layers\.1\.weights: expected binary weights after the first layer/,
    ],
    [
      'a weight of -128',
      withKernel(0, integer([-128, 0, 0, 0, 0, 0])),
      /layers\.0\.weights: expected values of -127\.\.127, got -128/,
    ],
    ['too few integers', withKernel(0, integer([1, 2, 3])), /layers\.0\.weights: expected 6 values, got 3/],
    ['too few bits', withKernel(0, kernel([1], [0, 0])), /layers\.0\.weights: expected 2 values, got 1/],
    [
      'ones in the padding',
      withKernel(0, kernel([0b101, 0b1010], [0, 0])),
      /layers\.0\.weights: expected zero bits after the 3 weights of output 1/,
    ],
    [
      'too few thresholds',
      withKernel(0, kernel([1, 2], [0])),
      /layers\.0\.thresholds: expected 2 values, got 1/,
    ],
    [
      'a threshold below -bound',
      withKernel(0, kernel([1, 2], [-4, 0])),
      /layers\.0\.thresholds: expected values of -3\.\.4, got -4/,
    ],
    [
      'a threshold above bound + 1',
      withKernel(0, kernel([1, 2], [0, 5])),
      /layers\.0\.thresholds: expected values of -3\.\.4, got 5/,
    ],
    [
      'thresholds in the last layer',
      withKernel(1, kernel([0xff, 0xff], [0, 0])),
      /layers\.1: expected scores as its output, got bits/,
    ],
    [
      'scores in a hidden layer',
      withKernel(0, scores([1, 2], [1, 1], [0, 0])),
      /layers\.0: expected bits as its output, got scores/,
    ],
    [
      'too few scales',
      withKernel(1, scores([1, 2], [1], [0, 0])),
      /layers\.1\.scale: expected 2 values, got 1/,
    ],
    [
      'too few biases',
      withKernel(1, scores([1, 2], [1, 1], [0])),
      /layers\.1\.bias: expected 2 values, got 1/,
    ],
    [
      'scores beyond int32',
      withKernel(1, scores([1, 2], [1, 2 ** 28], [0, 0])),
      /layers\.1: expected scores below 2\^31, got up to 2147483648 for class 1/,
    ],
    [
      'a bias that takes scores beyond int32',
      withKernel(1, scores([1, 2], [1, 1], [-(2 ** 31), 0])),
      /expected scores below 2\^31/,
    ],
    [
      'a negative number of epochs',
      withProvenance({ epochs: -1 }),
      /provenance: epochs: expected an integer/,
    ],
    [
      'an error that is not a number',
      withProvenance({ testError: Number.NaN }),
      /expected testError in percent, 0\.\.100, got NaN/,
    ],
    ['an error above 100', withProvenance({ validationError: 101 }), /expected validationError in percent/],
  ])('refuses %s', (_, model, message) => {
    expect(() => validateModel(model)).toThrow(
      expect.objectContaining({ kind: 'model', message: expect.stringMatching(message) }),
    );
  });

  it('refuses first-layer sums beyond int32', () => {
    // 2048 * 2048 * 3 inputs, each of 2^7: 3 * 2^29 fits; with four slices, 2^31 does not.
    const model = (slices: string, count: number): PackedModel => ({
      ...withInput({
        height: 2048,
        width: 2048,
        slices: parseSlices(slices, 2),
        shifts: Array.from({ length: count }, () => 7),
      }),
      layers: parseArchitecture('1FC'),
      kernels: [
        scores(
          Array.from({ length: (2 ** 22 * count) / 8 }, () => 0),
          [1],
          [0],
        ),
      ],
      classes: ['a'],
    });
    expect(() => validateModel(model('0:5-7', 3))).not.toThrow();
    expect(() => validateModel(model('0:4-7', 4))).toThrow(
      /layers\.0: expected sums below 2\^31 - 1, got up to 2147483648/,
    );
  });

  it('allows first-layer sums up to 2^31 - 2, so that bound + 1 is an int32 too', () => {
    // Two slices with shifts 7 and 0: 127 * (128 + 1) = 2^14 - 1 at most per pixel, 131,080 times, and the rest.
    const model = (rest: number): PackedModel => {
      const values = new Int8Array(33 * 4096 * 2).fill(127, 0, 131_080 * 2);
      values[131_080 * 2 + 1] = rest;
      return {
        ...withInput({ height: 33, width: 4096, slices: parseSlices('0:6-7', 2), shifts: [7, 0] }),
        layers: parseArchitecture('1FC'),
        kernels: [
          {
            weights: { type: 'integer', values },
            output: 'scores',
            scale: Int32Array.of(1),
            bias: Int32Array.of(0),
          },
        ],
        classes: ['a'],
      };
    };
    expect(() => validateModel(model(6))).not.toThrow();
    expect(() => validateModel(model(7))).toThrow(
      /layers\.0: expected sums below 2\^31 - 1, got up to 2147483647/,
    );
  });
});

describe('checkStructure', () => {
  const structure = (height: number, width: number, notation: string, classes: number) => () =>
    checkStructure({
      input: { ...valid.input, height, width, channels: 1, encoding: '8-bit', slices: [], shifts: [] },
      layers: parseArchitecture(notation),
      classes: Array.from({ length: classes }, (_, c) => `${c}`),
    });

  it('allows exactly 2^31 weights', () => {
    expect(structure(256, 256, '32768FC', 32_768)).not.toThrow();
    expect(structure(256, 256, '32769FC', 32_769)).toThrow(
      /expected at most 2147483648 weights, got 2147549184/,
    );
  });

  it('allows maps of exactly 2^28 values', () => {
    expect(structure(4096, 4096, '16C1-2FC', 2)).not.toThrow();
    expect(structure(4096, 4096, '17C1-2FC', 2)).toThrow(
      /layers\.0: expected an output of at most 268435456 values, got 285212672/,
    );
  });
});
