import { describe, expect, it } from 'vitest';
import { findDataset, loadDataset } from './registry.js';
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

  it.each(['cifar10', 'gtsrb', 'svhn', 'chars74k'])(
    'knows the form of %s before it is read',
    async (name) => {
      const { classes, train } = await loadDataset(name, { dataDir });
      const { height, width, channels } = train;
      expect(findDataset(name).form).toEqual({ classes: classes.length, height, width, channels });
    },
  );

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

  it('reads SVHN, whole or the part of it that is packed for measuring', async () => {
    const dataset = await loadDataset('svhn', { dataDir });
    expect([73_257, 4_491]).toContain(dataset.train.count);
    expect([26_032, 16_426]).toContain(dataset.test.count);
    expect([...dataset.train.labels.subarray(0, 10)]).toEqual([1, 9, 2, 3, 2, 5, 9, 3, 3, 1]);
    expect(new Set(dataset.test.labels).size).toBe(10);
    expect(splitValidation(dataset, { seed: 1 }).validation.count).toBe(Math.round(dataset.train.count / 10));
  });

  it('reads Chars74K and keeps its twins together', async () => {
    const { train, test } = await loadDataset('chars74k', { dataDir });
    expect(train.count + test.count).toBe(12_503);
    expect(Math.abs(test.count - 2501)).toBeLessThan(10);
    expect(new Set(test.labels).size).toBe(62);
    const groups = new Set([...train.groups!, ...test.groups!]);
    expect(groups.size).toBe(12_503 - 15);
    expect(groups.size).toBe(new Set(train.groups).size + new Set(test.groups).size);
  });
});
