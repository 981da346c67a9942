/**
 * Golden vectors: tiny models with images and everything the reference engine computes for them, in `test/golden`
 * at the root of the repository, so that an engine in any language can check itself:
 *
 *     NAME.safetensors   the model
 *     NAME.json          {"about", "cases": [{"pixels", "sums", "bits", "scores", "class"}]}
 *
 * `pixels` are not yet stretched and coded; `sums` and `bits` hold one list per kernel layer (after pooling, `[y][x][channel]`;
 * no bits for the last layer). golden.test.ts checks the files; to write them anew, after a change of the format:
 *
 *     CBNN_MAKE_GOLDEN=1 npx vitest run packages/runtime/src/golden.test.ts && npx biome format --write test/golden
 */
import { parseArchitecture } from '../architecture.js';
import { classify } from '../classify.js';
import type { InputCode } from '../codes.js';
import type { InputSpec, PackedModel } from '../model.js';
import { runReference } from '../reference.js';
import { allSlices, parseSlices } from '../slices.js';
import { type ModelCase, type RandomModelOptions, randomCase } from './random-model.js';

export interface GoldenFile {
  readonly about: string;
  readonly cases: readonly GoldenCase[];
}

export interface GoldenCase {
  readonly pixels: readonly number[];
  readonly sums: readonly (readonly number[])[];
  readonly bits: readonly (readonly number[])[];
  readonly scores: readonly number[];
  readonly class: number;
}

/** What the reference engine makes of one image. */
export function goldenCase(model: PackedModel, pixels: Uint8Array): GoldenCase {
  const { scores, trace } = runReference(model, pixels);
  return {
    pixels: [...pixels],
    sums: trace.map(({ sums }) => [...sums]),
    bits: trace.slice(0, -1).map(({ bits }) => [...bits]),
    scores: [...scores],
    class: classify(scores),
  };
}

/** The example that docs/model-format.md works through by hand. */
export const workedExample: ModelCase = {
  seed: 0,
  model: {
    input: {
      height: 2,
      width: 2,
      channels: 1,
      encoding: 'bit-slices',
      slices: parseSlices('0:6-7', 1),
      shifts: [0, 1],
      stretch: { low: 0, high: 100 },
    },
    layers: parseArchitecture('2C3-MP2-2FC'),
    kernels: [
      {
        weights: { type: 'binary', bits: Uint8Array.of(0xff, 0xff, 0x03, 0x00, 0x73, 0x00) },
        output: 'bits',
        thresholds: Int32Array.of(1, 3),
      },
      {
        weights: { type: 'binary', bits: Uint8Array.of(0b01, 0b11) },
        output: 'scores',
        scale: Int32Array.of(3, -2),
        bias: Int32Array.of(-4, 1),
      },
    ],
    classes: ['dark', 'light'],
    provenance: { technique: 'by hand', recipe: 'none', dataset: 'none', epochs: 0, seed: 0 },
  },
  images: [Uint8Array.of(40, 60, 100, 80), Uint8Array.of(9, 9, 9, 9)],
};

/** A pixel's stretched value v is the score of its own class, 2v - 255: no error of the stretch can hide. */
const stretchExample: ModelCase = {
  seed: 0,
  model: {
    input: {
      height: 3,
      width: 5,
      channels: 1,
      encoding: '8-bit',
      slices: [],
      shifts: [],
      stretch: { low: 10, high: 85 },
    },
    layers: parseArchitecture('15FC'),
    kernels: [
      {
        weights: {
          type: 'integer',
          values: Int8Array.from({ length: 15 * 15 }, (_, i) => (i % 16 === 0 ? 1 : 0)),
        },
        output: 'scores',
        scale: new Int32Array(15).fill(1),
        bias: new Int32Array(15),
      },
    ],
    classes: Array.from({ length: 15 }, (_, i) => `pixel ${i}`),
    provenance: { technique: 'by hand', recipe: 'none', dataset: 'none', epochs: 0, seed: 0 },
  },
  images: [
    // one value only; two values, of which the percentiles see one; all different; few levels; wide
    [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
    [200, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
    [31, 44, 3, 17, 90, 52, 61, 28, 75, 12, 83, 39, 66, 21, 58],
    [100, 101, 102, 103, 104, 100, 101, 102, 103, 104, 100, 101, 102, 103, 104],
    [0, 255, 1, 254, 2, 253, 3, 252, 4, 251, 5, 250, 6, 249, 128],
  ].map((pixels) => Uint8Array.from(pixels)),
};

const plain = (height: number, width: number, channels: number): InputSpec => ({
  height,
  width,
  channels,
  encoding: 'bit-slices',
  slices: allSlices(channels),
  shifts: allSlices(channels).map(() => 0),
  stretch: null,
});

const placeValue = (input: InputSpec, slices: string): InputSpec => {
  const kept = parseSlices(slices, input.channels);
  return { ...input, slices: kept, shifts: kept.map(({ bit }) => bit) };
};

const eightBit = (input: InputSpec): InputSpec => ({ ...input, encoding: '8-bit', slices: [], shifts: [] });

/** Of each pixel all slices, by their place values: its code c is the score of its own class, 2c - 255. */
function codeExample(code: InputCode): ModelCase {
  const pixels = 16;
  const input = { ...placeValue(plain(4, 4, 1), 'all'), code };
  const fanIn = pixels * input.slices.length;
  const isOwn = (i: number) => Math.floor(i / fanIn) === Math.floor((i % fanIn) / input.slices.length);
  return {
    seed: 0,
    model: {
      input,
      layers: parseArchitecture(`${pixels}FC`),
      kernels: [
        {
          weights: {
            type: 'integer',
            values: Int8Array.from({ length: pixels * fanIn }, (_, i) => (isOwn(i) ? 1 : 0)),
          },
          output: 'scores',
          scale: new Int32Array(pixels).fill(1),
          bias: new Int32Array(pixels),
        },
      ],
      classes: Array.from({ length: pixels }, (_, i) => `pixel ${i}`),
      provenance: { technique: 'by hand', recipe: 'none', dataset: 'none', epochs: 0, seed: 0 },
    },
    images: Array.from({ length: 256 / pixels }, (_, n) =>
      Uint8Array.from({ length: pixels }, (_value, i) => pixels * n + i),
    ),
  };
}

const drawn = (
  seed: number,
  input: InputSpec,
  notation: string,
  firstWeights: NonNullable<RandomModelOptions['firstWeights']>,
): ModelCase => randomCase(seed, { input, layers: parseArchitecture(notation), firstWeights });

/** Every golden model by the name of its files, with what it is there for. */
export const goldenModels: Readonly<Record<string, readonly [about: string, ModelCase]>> = {
  'worked-example': ['the example of docs/model-format.md', workedExample],
  'paper-shape': [
    'the paper in small: 24 slices, integer first layer, same padding, pooling',
    drawn(1, plain(8, 8, 3), '5C3-8C3-MP2-9C3-MP2-17FC-10FC', 'integer'),
  ],
  'binary-first': [
    'four slices per channel with place-value shifts, binary first layer, stretch',
    drawn(
      2,
      { ...placeValue(plain(6, 7, 3), 'top4'), stretch: { low: 1, high: 99 } },
      '9C3-MP2-33C3-7FC',
      'binary',
    ),
  ],
  'eight-bit-integer': [
    '8-bit input, integer first layer, thresholds beyond 16 bits',
    drawn(3, eightBit(plain(7, 5, 2)), '6C7-MP3-3FC', 'integer'),
  ],
  'eight-bit-binary': [
    '8-bit input, binary first layer, stretch',
    drawn(4, { ...eightBit(plain(5, 6, 3)), stretch: { low: 10, high: 80 } }, '8C3V-5C2-4FC', 'binary'),
  ],
  'odd-sizes': [
    'odd slices, even kernels, strides, valid padding, map and channel counts that fill no word',
    drawn(5, placeValue(plain(13, 9, 2), '0:1,0:6-7,1:3,1:7'), '7C5S2-3C2V-6C4S3-65FC-3FC', 'binary'),
  ],
  'dense-only': ['no convolution', drawn(6, placeValue(plain(5, 3, 1), 'top2'), '35FC-70FC-5FC', 'integer')],
  stretch: ['scores that are the stretched pixels', stretchExample],
  'wide-sums': [
    'sums beyond 16 bits, weights up to 127, scores that take several scales and biases; 6x6 kernel, stride 2',
    drawn(79, eightBit(plain(5, 6, 3)), '6C6S2-MP2-9FC-5FC', 'integer'),
  ],
  gray: ['scores that are the Gray codes of all 256 values', codeExample('gray')],
  thermometer: ['scores that are the thermometer codes of all 256 values', codeExample('thermometer')],
  'gray-stretched': [
    'Gray code of stretched values, some of its slices, place-value shifts, binary first layer',
    drawn(
      8,
      { ...placeValue(plain(6, 5, 3), '0:3-7,1:5-7,2:4-7'), code: 'gray', stretch: { low: 1, high: 99 } },
      '7C3-MP2-9FC-4FC',
      'binary',
    ),
  ],
  'one-layer': ['the first layer is the last one', drawn(7, eightBit(plain(3, 3, 1)), '4FC', 'integer')],
};
