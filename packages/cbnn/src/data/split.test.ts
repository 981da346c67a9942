import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitValidation, stratified } from './split.js';
import { indexDataset, indexImages } from './testing/image-sets.js';

const cycle = (count: number, classes: number) => Array.from({ length: count }, (_, i) => i % classes);
const countOf = (labels: ArrayLike<number>, label: number) =>
  Array.from(labels).filter((other) => other === label).length;

describe('splitValidation', () => {
  it('takes the last images for rule `last`', () => {
    const dataset = indexDataset(indexImages(cycle(200, 10)), 'last');
    const { train, validation } = splitValidation(dataset, { seed: 5 });
    expect([train.count, validation.count]).toEqual([180, 20]);
    expect([...validation.pixels]).toEqual(Array.from({ length: 20 }, (_, i) => 180 + i));
    expect(splitValidation(dataset, { seed: 6, count: 50 }).validation.count).toBe(50);
    const quarter = { ...dataset, validationShare: 0.25 };
    expect(splitValidation(quarter, { seed: 5 }).validation.count).toBe(50);
  });

  it('takes every class in proportion for rule `stratified`, exactly as many as asked for', () => {
    const labels = [...Array(100).fill(0), ...Array(50).fill(1), ...Array(17).fill(2)];
    const { train, validation } = splitValidation(indexDataset(indexImages(labels), 'stratified'), {
      seed: 1,
      count: 33,
    });
    expect([0, 1, 2].map((label) => countOf(validation.labels, label))).toEqual([20, 10, 3]);
    expect(train.count).toBe(134);
    const all = [...train.pixels, ...validation.pixels].sort((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 167 }, (_, i) => i));
  });

  it('takes few long blocks, exactly as many images as asked for, for rule `blocks`', () => {
    const dataset = indexDataset(indexImages(cycle(255, 3)), 'blocks');
    for (const count of [25, 30, 64, 100]) {
      const { validation } = splitValidation(dataset, { seed: 3, count });
      const indices = [...validation.pixels];
      expect(indices).toHaveLength(count);
      const starts = indices.filter((index, i) => i === 0 || index !== indices[i - 1]! + 1);
      expect(starts.length).toBeLessThanOrEqual(11);
    }
  });

  it.each(['stratified', 'blocks'] as const)(
    'gives the same split for the same seed, another for another (%s)',
    (rule) => {
      const dataset = indexDataset(indexImages(cycle(240, 4)), rule);
      const pixels = (seed: number) => splitValidation(dataset, { seed }).validation.pixels.join();
      expect(pixels(7)).toBe(pixels(7));
      expect(pixels(7)).not.toBe(pixels(8));
    },
  );

  it('never splits a group, loses no image and empties no class, whatever the rule', () => {
    const groups = fc.array(fc.record({ label: fc.nat(3), size: fc.integer({ min: 1, max: 9 }) }), {
      minLength: 8,
      maxLength: 40,
    });
    fc.assert(
      fc.property(
        groups,
        fc.constantFrom('last', 'stratified', 'blocks'),
        fc.integer(),
        fc.double({ min: 0.05, max: 0.6, noNaN: true }),
        (list, rule, seed, share) => {
          const labels = list.flatMap(({ label, size }) => Array<number>(size).fill(label));
          const images = indexImages(
            labels,
            list.flatMap(({ size }, group) => Array<number>(size).fill(group)),
          );
          const perClass = [0, 1, 2, 3].map((label) => list.filter((group) => group.label === label).length);
          let split: ReturnType<typeof splitValidation>;
          try {
            split = splitValidation(indexDataset(images, rule), {
              seed,
              count: Math.max(1, Math.round(labels.length * share)),
            });
          } catch (error) {
            // Only the stratified rule can promise a class on both sides, where it has two groups.
            expect(String(error)).toContain('would have no');
            expect(rule !== 'stratified' || perClass.includes(1)).toBe(true);
            return;
          }
          const { train, validation } = split;
          const trained = new Set(train.groups);
          expect(validation.groups!.some((group) => trained.has(group))).toBe(false);
          expect(train.count + validation.count).toBe(images.count);
          expect(new Set(validation.labels)).toEqual(new Set(labels));
          expect(new Set(train.labels)).toEqual(new Set(labels));
        },
      ),
    );
  });

  it('comes near the count with whole groups', () => {
    // 43 classes of 20 tracks of 30 frames, as in GTSRB.
    const labels = Array.from({ length: 43 * 600 }, (_, i) => Math.floor(i / 600));
    const groups = labels.map((_, i) => Math.floor(i / 30));
    const { validation } = splitValidation(indexDataset(indexImages(labels, groups), 'stratified', 43), {
      seed: 2,
    });
    expect(validation.count).toBe(2580);
  });

  it.each([
    [74, 60],
    [76, 90],
  ])('takes the nearest number of whole groups: for %d images of groups of 30, %d', (count, expected) => {
    const labels = Array.from({ length: 1200 }, (_, i) => (i < 600 ? 0 : 1));
    const groups = labels.map((_, i) => Math.floor(i / 30));
    const dataset = indexDataset(indexImages(labels, groups), 'stratified', 2);
    const { validation } = splitValidation(dataset, { seed: 2, count: 2 * count });
    expect(validation.count).toBe(2 * expected);
  });

  it('gives a class of two images one on each side', () => {
    const labels = [...Array(500).fill(0), 1, 1];
    const { train, validation } = splitValidation(indexDataset(indexImages(labels), 'stratified', 2), {
      seed: 1,
      count: 10,
    });
    expect([countOf(train.labels, 1), countOf(validation.labels, 1)]).toEqual([1, 1]);
  });

  it('names the class that would be without images', () => {
    const once = indexDataset(indexImages([...cycle(40, 2), 2]), 'stratified', 3);
    expect(() => splitValidation(once, { seed: 1 })).toThrow(
      'toy: class "class 2" would have no validation images (37 training, 4 validation)',
    );
    const sorted = indexDataset(indexImages([...cycle(40, 2), ...Array(5).fill(2)]), 'last', 3);
    expect(() => splitValidation(sorted, { seed: 1, count: 5 })).toThrow(
      'class "class 2" would have no training images',
    );
  });

  it.each([0, -1, 100, 1.5, Number.NaN])('refuses the count %d', (count) => {
    const dataset = indexDataset(indexImages(cycle(100, 2)), 'stratified');
    expect(() => splitValidation(dataset, { seed: 1, count })).toThrow(
      'validation count: expected an integer from 1 to 99',
    );
  });
});

describe('stratified', () => {
  it('counts a group of two labels for the first one', () => {
    const chosen = stratified(indexImages([0, 1, 0, 0, 1, 1], [7, 7, 1, 2, 3, 4]), 2, 1);
    expect(chosen[0]).toBe(chosen[1]);
  });
});
