import { allSlices } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { experiments } from './analyze.js';
import { randomizeSlices } from './noise.js';
import { choosePruning } from './prune.js';
import type { SensitivityResult } from './result.js';

/** A result whose cumulative curve is `increases` (percentage points for slices 1, 1..2, ...). */
function resultWith(increases: readonly number[]): SensitivityResult {
  const kept = allSlices(3);
  return {
    dataset: 'made up',
    split: 'validation',
    images: 100,
    noiseSeeds: [1],
    channels: 3,
    channelNames: ['red', 'green', 'blue'],
    keptSlices: kept,
    cleanError: 10,
    points: increases.map((increase, bit) => ({
      scope: 'lowest',
      channel: null,
      bit,
      slices: kept.filter((slice) => slice.bit <= bit),
      error: 10 + increase,
      increase,
      interval: [increase - 1, increase + 1],
      errorBySeed: [10 + increase],
    })),
  };
}

describe('choosing slices to prune', () => {
  const curve = [0, 0.2, 0.4, 0.9, 3, 10, 30, 60];
  it.each([
    { tau: 1, spare: 0, dropped: 12 },
    { tau: 1, spare: 1, dropped: 9 },
    { tau: 1, spare: 4, dropped: 0 },
    { tau: 0.1, spare: 0, dropped: 3 },
    { tau: -1, spare: 0, dropped: 0 },
    { tau: 100, spare: 0, dropped: 21 },
  ])('drops $dropped of 24 at tau $tau, sparing $spare', ({ tau, spare, dropped }) => {
    const pruning = choosePruning(resultWith(curve), tau, spare);
    expect(pruning.drop).toHaveLength(dropped);
    expect(pruning.keep).toHaveLength(24 - dropped);
  });

  it('stops at the first slice that costs too much, even if a later one seems to cost less', () => {
    expect(choosePruning(resultWith([0, 2, 0.5, 9, 9, 9, 9, 9]), 1).drop).toHaveLength(3);
  });
});

describe('noise', () => {
  const pixels = new Uint8Array(2 * 8 * 8 * 3).map((_, i) => (i * 37) & 255);
  const images = { count: 2, height: 8, width: 8, channels: 3, pixels, labels: new Uint16Array(2) };

  it('changes only the bits of its slices, about half of them, the same for the same seed', () => {
    const noisy = randomizeSlices(images, [{ channel: 1, bit: 5 }], 3);
    let flipped = 0;
    for (let i = 0; i < pixels.length; i++) {
      const change = noisy[i]! ^ pixels[i]!;
      expect(i % 3 === 1 ? change & ~32 : change).toBe(0);
      if (change) flipped++;
    }
    expect(flipped).toBeGreaterThan(40);
    expect(flipped).toBeLessThan(88);
    expect(randomizeSlices(images, [{ channel: 1, bit: 5 }], 3)).toEqual(noisy);
    expect(randomizeSlices(images, [{ channel: 1, bit: 5 }], 4)).not.toEqual(noisy);
  });

  it('is one experiment per kept slice, and per slice of every channel', () => {
    const list = experiments(
      [
        { channel: 0, bit: 6 },
        { channel: 0, bit: 7 },
        { channel: 2, bit: 7 },
      ],
      3,
    );
    expect(
      list.map(({ scope, channel, bit, slices }) => `${scope} ${channel} ${bit} ${slices.length}`),
    ).toEqual([
      'slice null 6 1',
      'slice null 7 2',
      'lowest null 6 1',
      'lowest null 7 3',
      'channel-slice 0 6 1',
      'channel-slice 0 7 1',
      'channel-lowest 0 6 1',
      'channel-lowest 0 7 2',
      'channel-slice 2 7 1',
      'channel-lowest 2 7 1',
    ]);
  });
});
