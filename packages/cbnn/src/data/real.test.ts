import { describe, expect, it } from 'vitest';
import { loadDataset } from './registry.js';
import { splitValidation } from './split.js';

const { CBNN_DATA: dataDir = '' } = process.env;

describe.skipIf(dataDir === '')('real data (CBNN_DATA)', () => {
  it('reads CIFAR-10 and keeps its last images for validation', async () => {
    const dataset = await loadDataset('cifar10', { dataDir });
    expect(dataset.train.count).toBe(50_000);
    expect(dataset.test.count).toBe(10_000);
    expect([...dataset.train.labels.subarray(0, 10)]).toEqual([6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
    expect([...dataset.test.labels.subarray(0, 10)]).toEqual([3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
    expect([...dataset.train.pixels.subarray(0, 3)]).toEqual([59, 62, 63]);
    const split = splitValidation(dataset, { seed: 1 });
    expect(split.train.count).toBe(45_000);
    expect(split.validation.count).toBe(5_000);
    expect(split.validation.labels).toEqual(dataset.train.labels.slice(45_000));
  });

  it('reads GTSRB and splits it by track', async () => {
    const dataset = await loadDataset('gtsrb', { dataDir });
    expect(dataset.train.count).toBe(39_209);
    expect(dataset.test.count).toBe(12_630);
    expect(new Set(dataset.train.groups).size).toBe(1307);
    const { train, validation } = splitValidation(dataset, { seed: 1 });
    const trained = new Set(train.groups);
    expect(validation.groups!.some((group) => trained.has(group))).toBe(false);
    expect(new Set(validation.labels).size).toBe(43);
    expect(Math.abs(validation.count - 3921)).toBeLessThan(300);
  });
});
