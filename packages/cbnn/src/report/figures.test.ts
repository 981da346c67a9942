import { codeNames, type InputCode, type Slice } from '@cbnn/runtime';
import fc from 'fast-check';
import { PNG } from 'pngjs';
import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { compactionFigure, logTicks, paretoFront } from './compaction-figures.js';
import { confusionCells, confusionFigure, confusionMatrix } from './confusion.js';
import { costFigure } from './cost-figures.js';
import { svgToPng } from './figure.js';
import {
  channelPicture,
  distortedPicture,
  distortionFigure,
  sliceFigure,
  slicePicture,
} from './input-figures.js';
import { encodePicture, type Picture, pictureUri, scaleTo } from './picture.js';
import {
  channelSliceFigure,
  closeUp,
  lowestSlicesFigure,
  sliceNoiseFigure,
  upTo,
} from './sensitivity-figures.js';
import * as sample from './testing/sample.js';
import { learningFigure } from './training-figures.js';

const grey: Picture = { height: 2, width: 3, channels: 1, pixels: Uint8Array.of(0, 255, 128, 127, 1, 2) };

function oneChannel(): SensitivityResult {
  const all = sample.sampleSensitivity();
  const points = all.points.filter(({ channel }) => channel === null || channel === 0);
  return { ...all, channels: 1, channelNames: ['grey'], keptSlices: sample.slicesFrom(0, 1), points };
}

const RGB = ['red', 'green', 'blue'];
const perfect = (): SensitivityResult => ({ ...sample.sampleSensitivity(), cleanError: 0, points: [] });
const tries = sample.sampleCompaction();
const confusion = (count: number) => ({
  classes: Array.from({ length: count }, (_, i) => `class ${i} of many, with a long name <&>`),
  matrix: sample.sampleConfusion(count),
  network: 'compact',
  split: 'test' as const,
});
const costs = [
  { label: 'same', cost: sample.sampleCost(1, 0) },
  { label: 'same', cost: sample.sampleCost(0.25, 4) },
  { label: 'float', cost: sample.sampleCost(1, 0, true) },
];

describe('every figure can be drawn', () => {
  test.each<[string, () => string]>([
    ['noise in slices', () => sliceNoiseFigure(sample.sampleSensitivity())],
    [
      'noise in the slices that are kept',
      () => sliceNoiseFigure(sample.sampleSensitivity(sample.slicesFrom(5))),
    ],
    ['noise in single channels', () => channelSliceFigure(sample.sampleSensitivity())],
    ['noise in the lowest slices', () => lowestSlicesFigure(sample.sampleSensitivity())],
    ['noise in a grey image', () => lowestSlicesFigure(oneChannel())],
    ['no noise at all', () => sliceNoiseFigure(perfect())],
    ['distorted input', () => distortionFigure(sample.sampleSensitivity(), sample.samplePicture())],
    ['slices', () => sliceFigure(sample.samplePicture(), sample.slicesFrom(4), RGB)],
    ['slices of Gray code', () => sliceFigure(sample.samplePicture(), sample.slicesFrom(4), RGB, 'gray')],
    [
      'distorted input in thermometer code',
      () => distortionFigure({ ...sample.sampleSensitivity(), code: 'thermometer' }, sample.samplePicture()),
    ],
    ['the bits of an image that is not sliced', () => sliceFigure(sample.samplePicture(), null, RGB)],
    ['slices of a grey image that is not square', () => sliceFigure(grey, sample.slicesFrom(0, 1), ['grey'])],
    ['learning', () => learningFigure('run', sample.sampleMetrics(60))],
    [
      'learning for one epoch without validation',
      () => learningFigure('run', [{ epoch: 1, loss: 2, trainError: 90, rate: 1 }]),
    ],
    ['compaction by bytes', () => compactionFigure(tries, 'bytes')],
    ['compaction by MACs', () => compactionFigure(tries, 'macs')],
    ['compaction that found nothing', () => compactionFigure({ ...tries, tries: [], chosen: null }, 'bytes')],
    ['bytes by layer', () => costFigure(costs, 'bytes')],
    ['MACs by layer', () => costFigure(costs, 'macs')],
    ['confusion of 2 classes', () => confusionFigure(confusion(2))],
    ['confusion of 62 classes', () => confusionFigure(confusion(62))],
    ['confusion without images', () => confusionFigure({ ...confusion(3), matrix: new Uint32Array(9) })],
  ])('%s', (_, draw) => {
    const svg = draw();
    expect(svg.replace(/base64,[^"]*/g, '').match(/NaN|undefined|Infinity|<style|\bid=/g)).toBeNull();
    expect(svg.match(/https?:/g)).toEqual(['http:']);
    expect(svgToPng(svg, 240).length).toBeGreaterThan(1000);
  });
});

describe('sensitivity figures', () => {
  test('end a line where it leaves the close-up', () => {
    const rows = [1, 3, 7, 2].map((error, i) => ({ x: i + 1, error, low: error, high: error }));
    expect(upTo(rows, 5).map(({ x, error }) => [x, error])).toEqual([
      [1, 1],
      [2, 3],
      [2.5, 5],
      [3, Number.NaN],
      [3.4, 5],
      [4, 2],
    ]);
  });

  test('show in the close-up what is near the error without noise, with its intervals whole', () => {
    const row = (error: number, half: number) => ({ x: 1, error, low: error - half, high: error + half });
    expect(closeUp(50, [row(50, 0.5), row(52, 0.5), row(90, 2)])).toEqual([49, 53]);
    expect(closeUp(50, [row(50, 5), row(52, 6), row(90, 20)])).toEqual([45, 58]);
    expect(closeUp(0.5, [])).toEqual([0, 3.5]);
    expect(closeUp(50, [row(60, 1), row(90, 2)])).toEqual([49, 61]);
  });

  test('say so when slices have no point because they are pruned', () => {
    const words = (svg: string) => svg.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');
    const pruned = words(sliceNoiseFigure(sample.sampleSensitivity(sample.slicesFrom(4))));
    expect(pruned.endsWith('Slices the network does not keep have no point. ')).toBe(true);
    expect(words(sliceNoiseFigure(sample.sampleSensitivity())).includes('does not keep')).toBe(false);
  });
});

describe('the figure of slices', () => {
  const words = (kept: readonly Slice[] | null) => sliceFigure(sample.samplePicture(), kept, RGB);

  test('says which slices are inputs, and that none is for a network of whole channels', () => {
    expect(words(sample.slicesFrom(4))).toContain('12 of 24 slices are inputs of the network (framed)');
    expect(words(sample.slicesFrom(0))).toContain('all 24 slices are inputs of the network');
    expect(words(null)).toContain('takes the 8-bit channels (framed) whole');
  });

  test('says what a slice is in each code', () => {
    const coded = (code?: InputCode) => sliceFigure(sample.samplePicture(), sample.slicesFrom(4), RGB, code);
    expect(coded()).toContain('Slice 1 is the least significant bit.');
    expect(coded('gray')).toContain('Slice 1 is the least significant bit of Gray code.');
    expect(coded('thermometer')).toContain('Slice 1 is the finest threshold.');
    expect(coded('thermometer')).toContain('≥ 112');
    expect(new Set([undefined, ...codeNames].map(coded)).size).toBe(3);
  });
});

describe('pictures', () => {
  test('are enlarged pixel by pixel', () => {
    const png = PNG.sync.read(Buffer.from(encodePicture(grey, 2)));
    expect([png.width, png.height]).toEqual([6, 4]);
    const row = (y: number) => Array.from({ length: 6 }, (_, x) => png.data[(y * 6 + x) * 4]);
    expect(row(0)).toEqual([0, 0, 255, 255, 128, 128]);
    expect(row(3)).toEqual([127, 127, 1, 1, 2, 2]);
  });

  test('keep their colours', () => {
    const picture = sample.samplePicture(4);
    const png = PNG.sync.read(Buffer.from(encodePicture(picture)));
    const rgb = Array.from({ length: 16 }, (_, i) => [...png.data.subarray(4 * i, 4 * i + 3)]).flat();
    expect(rgb).toEqual([...picture.pixels]);
  });

  test('of a size that does not fit are refused', () => {
    expect(() => pictureUri({ ...grey, channels: 3 })).toThrow('picture: expected 2x3x3 values, got 6');
  });

  test('are enlarged to at least the size asked for', () => {
    expect([scaleTo(grey, 10), scaleTo(grey, 3), scaleTo(grey, 1)]).toEqual([4, 1, 1]);
  });

  test('are the sum of their slices', () => {
    const picture = sample.samplePicture(5);
    for (let channel = 0; channel < 3; channel++) {
      const sum = new Uint8Array(25);
      for (let bit = 0; bit < 8; bit++)
        for (const [i, value] of slicePicture(picture, { channel, bit }).pixels.entries())
          sum[i]! += (value & 1) << bit;
      expect(sum).toEqual(channelPicture(picture, channel).pixels);
    }
  });

  test('of a code come back from it, and as far as it goes where slices are distorted', () => {
    const picture = sample.samplePicture(16);
    const back = (code: InputCode, bits: number[]) =>
      distortedPicture(
        picture,
        bits.map((bit) => ({ channel: 0, bit })),
        new Random(3),
        code,
      ).pixels;
    expect(back('gray', [])).toEqual(picture.pixels);
    const levels = picture.pixels.map((value) => Math.round((255 / 8) * Math.round(value / 32)));
    expect(back('thermometer', [])).toEqual(levels);
    // The lowest bit of Gray code is worth 1, one of a thermometer a level.
    const furthest = (pixels: Uint8Array, from: Uint8Array) =>
      Math.max(...pixels.map((value, i) => Math.abs(value - from[i]!)));
    expect(furthest(back('gray', [0]), picture.pixels)).toBe(1);
    expect(furthest(back('thermometer', [0]), levels)).toBe(32);
  });

  test('change only in the slices that are distorted, and there in about half of the pixels', () => {
    const picture = sample.samplePicture(32);
    const slices = [
      { channel: 1, bit: 7 },
      { channel: 2, bit: 0 },
    ];
    const before = picture.pixels.slice();
    const after = distortedPicture(picture, slices, new Random(3)).pixels;
    const masks = [0, 0x80, 0x01];
    let changed = 0;
    for (const [i, value] of after.entries()) {
      const difference = value ^ before[i]!;
      expect(difference & ~masks[i % 3]!).toBe(0);
      if (difference) changed++;
    }
    expect(changed / (2 * 32 * 32)).toBeCloseTo(0.5, 1);
    expect(picture.pixels).toEqual(before);
  });
});

describe('the front', () => {
  test('holds exactly the points that no other beats', () => {
    const point = fc.record({
      size: fc.integer({ min: 1, max: 20 }),
      error: fc.integer({ min: 0, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(point, { maxLength: 30 }), (points) => {
        const front = paretoFront(points);
        for (const one of points) {
          const beaten = points.some(
            (other) =>
              other.size <= one.size &&
              other.error <= one.error &&
              (other.size < one.size || other.error < one.error),
          );
          const found = front.some(({ size, error }) => size === one.size && error === one.error);
          expect(found).toBe(!beaten);
        }
      }),
    );
  });

  test.each([
    [1, 10_000, [1, 10, 100, 1000, 10_000]],
    [90, 2200, [100, 200, 500, 1000, 2000]],
    [100, 180, [100, 120, 140, 160, 180]],
  ])('has readable ticks from %i to %i', (low, high, ticks) => {
    expect(logTicks(low, high)).toEqual(ticks);
  });

  test('always has ticks inside the axis, in order', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1, max: 1e9, noNaN: true }),
        fc.double({ min: 1.5, max: 1e3, noNaN: true }),
        (low, factor) => {
          const ticks = logTicks(low, low * factor);
          expect(ticks.length).toBeGreaterThanOrEqual(2);
          expect([...ticks].sort((a, b) => a - b)).toEqual(ticks);
        },
      ),
    );
  });
});

describe('confusion', () => {
  test('counts rows by truth and columns by prediction', () => {
    const matrix = confusionMatrix([0, 0, 1, 2, 2, 2], [0, 2, 1, 2, 0, 0], 3);
    expect([...matrix]).toEqual([1, 0, 1, 0, 1, 0, 2, 0, 1]);
    expect(confusionCells(matrix, 3).find(({ truth, predicted }) => truth === 2 && predicted === 0)).toEqual({
      truth: 2,
      predicted: 0,
      count: 2,
      share: 2 / 3,
    });
  });

  test('refuses what is not a class, and lists of two lengths', () => {
    expect(() => confusionMatrix([0], [3], 3)).toThrow('expected classes 0..2, got 0 and 3 (image 0)');
    expect(() => confusionMatrix([0], [-1], 3)).toThrow('expected classes 0..2');
    expect(() => confusionMatrix([0, 1], [0], 3)).toThrow('expected 2 predictions, got 1');
  });

  test('prints its numbers while they can be read', () => {
    const text = (count: number) => confusionFigure(confusion(count));
    expect(text(10)).toContain('Numbers: images');
    expect(text(43)).not.toContain('Numbers: images');
  });
});
