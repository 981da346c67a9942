import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classify } from './classify.js';
import { prepareImage } from './prepare.js';
import { runReference } from './reference.js';
import { workedExample } from './testing/golden.js';
import { runOracle } from './testing/plain-oracle.js';
import { modelCases, randomCase } from './testing/random-model.js';

describe('runReference', () => {
  it('agrees with an independent float64 oracle on scores and every hidden bit', () => {
    fc.assert(
      fc.property(modelCases, ({ model, images }) => {
        for (const pixels of images) {
          const result = runReference(model, pixels);
          const oracle = runOracle(model, pixels);
          expect([...result.scores]).toEqual(oracle.scores);
          expect(result.trace.slice(0, -1).map(({ bits }) => [...bits])).toEqual(oracle.bits);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('works the example of docs/model-format.md', () => {
    const [image, constant] = workedExample.images;
    const result = runReference(workedExample.model, image!);
    expect(result.trace.map(({ sums }) => [...sums])).toEqual(WORKED.sums);
    expect(result.trace.map(({ bits }) => [...bits])).toEqual(WORKED.bits);
    expect([...result.scores]).toEqual(WORKED.scores);
    expect([...runReference(workedExample.model, constant!).scores]).toEqual(WORKED.constantScores);
  });

  it('takes pixels that have been prepared before', () => {
    const { model, images } = workedExample;
    const prepared = prepareImage(images[0]!, model.input);
    expect(prepared).not.toEqual(images[0]);
    expect(runReference(model, prepared, { prepared: true })).toEqual(runReference(model, images[0]!));
    expect(runReference(model, images[0]!, { prepared: true })).not.toEqual(runReference(model, images[0]!));
  });

  it('refuses an image of another size', () => {
    expect(() => runReference(workedExample.model, new Uint8Array(5))).toThrow(
      expect.objectContaining({ kind: 'data', message: expect.stringMatching(/expected 4 bytes .* got 5/) }),
    );
  });

  it('keeps a unit always on at -bound and always off at bound + 1', () => {
    const { model, images } = workedExample;
    for (const [thresholds, bits] of [
      [Int32Array.of(-27, -27), [1, 1]],
      [Int32Array.of(28, 28), [0, 0]],
    ] as const) {
      const kernels = [{ ...model.kernels[0]!, output: 'bits' as const, thresholds }, model.kernels[1]!];
      for (const image of images)
        expect([...runReference({ ...model, kernels }, image).trace[0]!.bits]).toEqual(bits);
    }
  });
});

describe('classify', () => {
  it.each([
    [[1, 5, 3], 1],
    [[5, 5, 3], 0],
    [[-7, -2, -2], 1],
    [[0], 0],
  ])('%j is class %d', (scores, expected) => {
    expect(classify(Int32Array.from(scores))).toBe(expected);
  });
});

describe('randomCase', () => {
  it('makes the same case from the same seed', () => {
    expect(randomCase(5)).toEqual(randomCase(5));
    expect(randomCase(5)).not.toEqual(randomCase(6));
  });

  it('reaches every kind of layer, input and threshold', () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 300; seed++) {
      const { model, images } = randomCase(seed);
      seen
        .add(model.input.encoding)
        .add(model.input.code ?? 'binary')
        .add(`first ${model.kernels[0]!.weights.type}`);
      seen.add(model.input.stretch ? 'stretched' : 'plain').add(`${model.kernels.length} kernel layers`);
      for (const layer of model.layers)
        if (layer.kind === 'conv') seen.add(`C${layer.kernel}`).add(`S${layer.stride}`).add(layer.padding);
        else seen.add(layer.kind === 'pool' ? `MP${layer.size}` : 'dense');
      for (const { bits } of runReference(model, images[0]!).trace.slice(0, -1))
        seen.add(bits.includes(0) && bits.includes(1) ? 'mixed bits' : 'equal bits');
    }
    const expected = [
      '8-bit',
      'bit-slices',
      'binary',
      'gray',
      'thermometer',
      'first integer',
      'first binary',
      'stretched',
      'plain',
      'same',
      'valid',
    ];
    for (const kernel of [1, 2, 3, 4, 5, 6, 7]) expected.push(`C${kernel}`);
    for (const stride of [1, 2, 3, 4]) expected.push(`S${stride}`);
    for (const size of [2, 3, 4]) expected.push(`MP${size}`);
    for (const count of [1, 2, 3, 4, 5]) expected.push(`${count} kernel layers`);
    expect([...seen]).toEqual(expect.arrayContaining([...expected, 'dense', 'mixed bits']));
  });
});

/** Worked out by hand in docs/model-format.md. */
const WORKED = {
  sums: [
    [0, 6],
    [-2, 0],
  ],
  bits: [[0, 1], []],
  scores: [-10, 1],
  constantScores: [-10, 1],
};
