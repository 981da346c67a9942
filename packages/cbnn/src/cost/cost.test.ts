import type { InputSpec, LayerSpec, PackedModel } from '@cbnn/runtime';
import { describe, expect, test } from 'vitest';
import {
  type LayerCost,
  modelCost,
  networkCost,
  packedStorage,
  thresholdBytes,
  uniformStorage,
} from './cost.js';
import { blankModel } from './testing/blank-model.js';

/** The paper's network, widths times `width`; slices per colour channel kept from the most significant down. */
function paperNet(
  width: number,
  perChannel = 8,
  denseWidth = width,
): { input: InputSpec; layers: LayerSpec[] } {
  const slices = [0, 1, 2].flatMap((channel) =>
    Array.from({ length: perChannel }, (_, i) => ({ channel, bit: 8 - perChannel + i })),
  );
  const conv = (channels: number): LayerSpec => ({
    kind: 'conv',
    channels: channels * width,
    kernel: 3,
    stride: 1,
    padding: 'same',
  });
  const pool: LayerSpec = { kind: 'pool', size: 2 };
  return {
    input: {
      height: 32,
      width: 32,
      channels: 3,
      encoding: 'bit-slices',
      slices,
      shifts: slices.map(() => 0),
      stretch: null,
    },
    layers: [
      ...[conv(128), conv(128), pool, conv(256), conv(256), pool, conv(512), conv(512), pool],
      ...[1024 * denseWidth, 1024 * denseWidth, 10].map((units): LayerSpec => ({ kind: 'dense', units })),
    ],
  };
}

const costOf = (
  { input, layers }: { input: InputSpec; layers: LayerSpec[] },
  first: 'integer' | 'binary' = 'integer',
) => modelCost(blankModel(input, layers, first));
const each = (layers: readonly LayerCost[], of: (layer: LayerCost) => number) => layers.map(of);

describe("the paper's network", () => {
  test('has the weights and MACs derived from the paper, layer by layer', () => {
    const cost = costOf(paperNet(1));
    expect(cost.layers.map((layer) => layer.name)).toEqual(
      '128C3 128C3 256C3 256C3 512C3 512C3 1024FC 1024FC 10FC'.split(' '),
    );
    expect(each(cost.layers, (layer) => layer.weights)).toEqual([
      27_648, 147_456, 294_912, 589_824, 1_179_648, 2_359_296, 8_388_608, 1_048_576, 10_240,
    ]);
    const millions = each(cost.layers, (layer) => Math.round(layer.macs / 1e4) / 100);
    expect(millions).toEqual([28.31, 150.99, 75.5, 150.99, 75.5, 150.99, 8.39, 1.05, 0.01]);
    expect(cost.weights).toBe(14_046_208);
    expect((cost.macs / 1e6).toFixed(1)).toBe('641.7');
  });

  test.each([
    ['half, 24 slices', paperNet(0.5), 3_521_024, '167.5'],
    ['half, 12 slices', paperNet(0.5, 4), 3_514_112, '160.4'],
    ['half convolutions, dense layers kept', paperNet(0.5, 8, 1), 6_409_728, '170.4'],
    ['quarter', paperNet(0.25), 884_992, '45.4'],
  ])('%s has the weights and MACs derived from the paper', (_, net, weights, macs) => {
    const cost = costOf(net);
    expect(cost.weights).toBe(weights);
    expect((cost.macs / 1e6).toFixed(1)).toBe(macs);
  });

  test('with three 8-bit channels has the MACs of the original network', () => {
    const { input, layers } = paperNet(1);
    const bytes: InputSpec = { ...input, encoding: '8-bit', slices: [], shifts: [] };
    const cost = costOf({ input: bytes, layers });
    expect(cost.weights).toBe(14_022_016);
    expect((cost.macs / 1e6).toFixed(1)).toBe('617.0');
  });

  test('stores one bit per binary weight, one byte per integer weight, and thresholds', () => {
    const cost = costOf(paperNet(1));
    const [first, second] = cost.layers;
    expect(first).toMatchObject({
      weightBits: 8,
      weightBytes: 27_648,
      otherBytes: 256,
      arithmetic: 'integer',
    });
    expect(second).toMatchObject({
      weightBits: 1,
      weightBytes: 147_456 / 8,
      otherBytes: 256,
      arithmetic: 'binary',
    });
    expect(cost.layers.at(-1)).toMatchObject({ weightBytes: 1280, otherBytes: 80 });
    expect(cost.weightBytes).toBe(27_648 + (14_046_208 - 27_648) / 8);
    expect(cost.bytes).toBe(cost.weightBytes + cost.otherBytes);
  });

  test('counts bit operations where both sides are binary, and the rest as integer MACs', () => {
    const integer = costOf(paperNet(1));
    expect(integer.integerMacs).toBe(integer.layers[0]!.macs);
    expect(integer.bitOperations).toBe(2 * (integer.macs - integer.layers[0]!.macs));
    const binary = costOf(paperNet(1), 'binary');
    expect(binary.bitOperations).toBe(2 * binary.macs);
    expect(binary.integerMacs).toBe(0);
  });

  test('in float takes four bytes per weight and a batch norm of three numbers', () => {
    const { input, layers } = paperNet(1);
    const cost = networkCost(input, layers, uniformStorage(layers, 32));
    expect(cost.weightBytes).toBe(4 * 14_046_208);
    expect(cost.otherBytes).toBe(12 * (128 + 128 + 256 + 256 + 512 + 512 + 1024 + 1024 + 10));
    expect(cost.floatMacs).toBe(cost.macs);
    expect(cost.bitOperations).toBe(0);
  });
});

describe('storage', () => {
  const input: InputSpec = {
    height: 4,
    width: 4,
    channels: 1,
    encoding: 'bit-slices',
    slices: [
      { channel: 0, bit: 6 },
      { channel: 0, bit: 7 },
    ],
    shifts: [0, 1],
    stretch: null,
  };
  const layers: LayerSpec[] = [
    { kind: 'conv', channels: 3, kernel: 3, stride: 1, padding: 'valid' },
    { kind: 'dense', units: 2 },
  ];

  test('pads rows of bits to whole bytes', () => {
    const cost = costOf({ input, layers }, 'binary');
    // 18 taps take 3 bytes, 12 inputs take 2
    expect(each(cost.layers, (layer) => layer.weightBytes)).toEqual([9, 4]);
    expect(each(cost.layers, (layer) => layer.macs)).toEqual([4 * 54, 24]);
    expect(each(cost.layers, (layer) => layer.otherBytes)).toEqual([6, 16]);
  });

  test('of a trained model follows what it holds', () => {
    const model: PackedModel = {
      input,
      layers,
      classes: ['a', 'b'],
      provenance: { technique: 'bnn', recipe: 'modern', dataset: 'none', epochs: 1, seed: 1 },
      kernels: [
        {
          weights: { type: 'integer', values: new Int8Array(54) },
          output: 'bits',
          thresholds: Int32Array.of(1, 40_000, -3),
        },
        {
          weights: { type: 'binary', bits: new Uint8Array(4) },
          output: 'scores',
          scale: new Int32Array(2),
          bias: new Int32Array(2),
        },
      ],
    };
    const cost = modelCost(model);
    expect(packedStorage(model).map((layer) => layer.arithmetic)).toEqual(['integer', 'binary']);
    expect(each(cost.layers, (layer) => layer.weightBytes)).toEqual([54, 4]);
    expect(each(cost.layers, (layer) => layer.otherBytes)).toEqual([12, 16]);
  });

  test('widens thresholds that can leave int16', () => {
    expect(thresholdBytes(Int32Array.of(-32768, 32767))).toBe(2);
    expect(thresholdBytes(Int32Array.of(32768))).toBe(4);
  });

  test('refuses a list of another length and odd widths', () => {
    expect(() => networkCost(input, layers, [])).toThrow('expected 2 kernel layers, got 0');
    expect(() => uniformStorage(layers, 0)).toThrow('weight bits: expected 1..32, got 0');
  });
});
