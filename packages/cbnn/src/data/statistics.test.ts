import { describe, expect, it } from 'vitest';
import { datasetStatistics, setStatistics } from './statistics.js';
import { indexDataset, indexImages } from './testing/image-sets.js';

describe('statistics', () => {
  it('count images, classes and groups', () => {
    const statistics = datasetStatistics(
      indexDataset(indexImages([0, 0, 0, 1], [5, 5, 6, 7]), 'stratified', 2),
    );
    expect(statistics).toMatchObject({ name: 'toy', height: 1, width: 1, channels: 1 });
    expect(statistics.train).toMatchObject({
      images: 4,
      perClass: [3, 1],
      imbalance: 3,
      groups: 3,
      channelMeans: [1.5],
    });
    expect(statistics.test).toMatchObject({ images: 1, perClass: [1, 0], imbalance: Infinity, groups: null });
  });

  it('tell the mean of each channel and the share of dark images', () => {
    const pixels = new Uint8Array(2 * 100 * 3);
    for (let i = 0; i < pixels.length; i += 3) pixels.set([10, 20, i < 300 ? 30 : 200], i);
    const set = { count: 2, height: 10, width: 10, channels: 3, pixels, labels: Uint16Array.of(0, 1) };
    expect(setStatistics(set, 2)).toMatchObject({ channelMeans: [10, 20, 115], darkShare: 0.5 });
  });
});
