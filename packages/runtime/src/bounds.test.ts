import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseArchitecture } from './architecture.js';
import { modelShapes, sumBound } from './bounds.js';
import type { InputSpec, PackedModel } from './model.js';
import { runReference } from './reference.js';
import { parseSlices } from './slices.js';
import { modelCases, randomModel } from './testing/random-model.js';

const input = (slices: string, shifts: readonly number[]): InputSpec => ({
  height: 1,
  width: 1,
  channels: 3,
  encoding: slices ? 'bit-slices' : '8-bit',
  slices: slices ? parseSlices(slices, 3) : [],
  shifts,
  stretch: null,
});

/** A single dense layer with integer weights. */
const integerModel = (spec: InputSpec, values: readonly number[], units: number): PackedModel => ({
  ...randomModel(0, { input: spec, layers: parseArchitecture(`${units}FC`) }),
  kernels: [
    {
      weights: { type: 'integer', values: Int8Array.from(values) },
      output: 'scores',
      scale: new Int32Array(units),
      bias: new Int32Array(units),
    },
  ],
});

describe('sumBound', () => {
  it('is the largest output of the first layer, with its shifts or its 8-bit range', () => {
    expect(sumBound(integerModel(input('0:6-7', [0, 0]), [3, -4, 1, 1], 2), 0)).toBe(7);
    expect(sumBound(integerModel(input('0:6-7', [1, 5]), [3, -4, 1, 1], 2), 0)).toBe(3 * 2 + 4 * 32);
    expect(sumBound(integerModel(input('', []), [3, -4, 0, 1, 1, 1], 2), 0)).toBe(7 * 255);
  });

  it('is the fan-in of binary layers, times the place values in the first one', () => {
    const model = randomModel(1, {
      input: { ...input('0:6-7', [2, 3]), height: 4, width: 4 },
      layers: parseArchitecture('5C3-MP2-7FC-2FC'),
      firstWeights: 'binary',
    });
    expect([0, 1, 2].map((k) => sumBound(model, k))).toEqual([9 * (4 + 8), 2 * 2 * 5, 7]);
  });

  it('is exceeded by no sum of any model', () => {
    fc.assert(
      fc.property(modelCases, ({ model, images }) => {
        const bounds = model.kernels.map((_, k) => sumBound(model, k));
        for (const pixels of images)
          for (const [k, { sums }] of runReference(model, pixels).trace.entries())
            expect(sums.every((sum) => Math.abs(sum) <= bounds[k]!)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it('is tight: an image that agrees with every weight reaches it', () => {
    const spec = input(
      'all',
      Array.from({ length: 24 }, (_, i) => i % 8),
    );
    const model = integerModel(
      spec,
      Array.from({ length: 24 }, () => 127),
      1,
    );
    const [shape] = modelShapes(model);
    expect(shape!.fanIn).toBe(24);
    expect(runReference(model, Uint8Array.of(255, 255, 255)).trace[0]!.sums[0]).toBe(sumBound(model, 0));
  });
});
