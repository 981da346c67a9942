import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Random } from '../random.js';
import type { ImageSet } from './dataset.js';
import { drawSign, generateSigns } from './generated.js';
import { SIGN_DESIGNS } from './sign-shapes.js';
import { setStatistics } from './statistics.js';

const make = (trainCount: number, testCount = 12, seed = 1) => generateSigns({ trainCount, testCount, seed });

describe('the generated signs', () => {
  it('are 32x32 RGB pictures of twelve classes in equal numbers', async () => {
    const { train, test, classes, augmentation } = await make(120, 24);
    expect(train).toMatchObject({ count: 120, height: 32, width: 32, channels: 3 });
    expect(test.count).toBe(24);
    expect(classes).toHaveLength(12);
    expect(new Set(classes).size).toBe(12);
    expect(setStatistics(train, 12).perClass).toEqual(Array(12).fill(10));
    expect(augmentation.mirror).toBe(false);
  });

  it('depend on seed, part and index only', async () => {
    const { train, test } = await make(24, 12);
    const one = new Uint8Array(3072);
    drawSign(1, 'train', 17, one, 0);
    expect(one).toEqual(train.pixels.slice(17 * 3072, 18 * 3072));
    drawSign(1, 'test', 5, one, 0);
    expect(one).toEqual(test.pixels.slice(5 * 3072, 6 * 3072));
    expect(train.pixels.slice(0, 3072)).not.toEqual(test.pixels.slice(0, 3072));
    expect((await make(24, 12, 2)).train.pixels).not.toEqual(train.pixels);
  });

  it('stay the same from version to version', async () => {
    const { train } = await make(48);
    expect(createHash('sha256').update(train.pixels).digest('hex')).toBe(
      '07e83d4743db0ff9fa3a90bc25c5c8618592edac652e082ad0479a84725de93c',
    );
  });

  it('are dark in a third of the pictures, where the top bits say nothing', async () => {
    const { train } = await make(600);
    expect(setStatistics(train, 12).darkShare).toBeGreaterThan(0.25);
    expect(setStatistics(train, 12).darkShare).toBeLessThan(0.45);
  });

  it('have shapes that differ: no two designs cover the same points', () => {
    const drawn = SIGN_DESIGNS.map(({ outline, pictogram }) => {
      let cells = '';
      for (let y = -1.5; y <= 1.5; y += 0.125)
        for (let x = -1.5; x <= 1.5; x += 0.125)
          cells += outline(x, y) > 0 ? '.' : pictogram && pictogram(x, y) <= 0 ? '#' : 'o';
      return cells;
    });
    expect(new Set(drawn).size).toBe(12);
    for (const cells of drawn) expect(cells.split('.').length - 1).toBeGreaterThan(150);
  });

  it('are too hard for a linear classifier of the pixels', async () => {
    const { train, test } = await make(1200, 600);
    const [known, unknown] = linearAccuracy(train, [train, test], 12);
    expect(unknown).toBeLessThan(0.6);
    // It does learn: of what it is shown, it knows some by heart.
    expect(known).toBeGreaterThan(0.15);
  });

  it.each([{ trainCount: 11 }, { testCount: 0 }, { trainCount: 1.5 }, { trainCount: 2e6 }])(
    'refuse %j',
    async (options) => {
      await expect(generateSigns(options)).rejects.toThrow('expected an integer from 12 to 1000000');
    },
  );

  it('stop when told to', async () => {
    await expect(generateSigns({ signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  });
});

/** Accuracies on `tests` of a softmax classifier of raw pixels, trained on `train` by stochastic gradient descent. */
function linearAccuracy(train: ImageSet, tests: readonly ImageSet[], classes: number): number[] {
  const size = 3072;
  const weights = new Float32Array(classes * size);
  const scores = new Float64Array(classes);
  const input = new Float32Array(size);
  const predict = (images: ImageSet, index: number): number => {
    for (let k = 0; k < size; k++) input[k] = images.pixels[index * size + k]! / 127.5 - 1;
    for (let c = 0; c < classes; c++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += weights[c * size + k]! * input[k]!;
      scores[c] = sum;
    }
    return scores.indexOf(Math.max(...scores));
  };
  for (let epoch = 0; epoch < 4; epoch++)
    for (const index of new Random(1, epoch).permutation(train.count)) {
      predict(train, index);
      const top = Math.max(...scores);
      const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
      for (let c = 0; c < classes; c++) {
        const error = Math.exp(scores[c]! - top) / total - (train.labels[index] === c ? 1 : 0);
        for (let k = 0; k < size; k++) weights[c * size + k]! -= 5e-4 * error * input[k]!;
      }
    }
  return tests.map(
    (test) => test.labels.filter((label, i) => predict(test, i) === label).length / test.count,
  );
}
