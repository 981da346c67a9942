/** Counts that describe a data set: how many images, and how evenly they spread over the classes. */
import type { Dataset, ImageSet } from './dataset.js';

export interface SetStatistics {
  readonly images: number;
  /** images of each class */
  readonly perClass: readonly number[];
  /** images of the largest class by those of the smallest; Infinity where a class has none */
  readonly imbalance: number;
  /** groups that must stay on one side of a split; null where images stand alone */
  readonly groups: number | null;
  /** mean of each channel, 0..255 */
  readonly channelMeans: readonly number[];
  /** share of images whose brightest one percent of values begins below 64: dark ones, which a contrast stretch helps */
  readonly darkShare: number;
}

export interface DatasetStatistics {
  readonly name: string;
  readonly title: string;
  readonly classes: readonly string[];
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly train: SetStatistics;
  readonly test: SetStatistics;
}

/** Statistics of both parts of a data set. */
export function datasetStatistics(dataset: Dataset): DatasetStatistics {
  const { name, title, classes, train } = dataset;
  const { height, width, channels } = train;
  return {
    name,
    title,
    classes,
    height,
    width,
    channels,
    train: setStatistics(dataset.train, classes.length),
    test: setStatistics(dataset.test, classes.length),
  };
}

/** Statistics of one set of images with labels below `classes`. */
export function setStatistics(images: ImageSet, classes: number): SetStatistics {
  const perClass = new Array<number>(classes).fill(0);
  for (const label of images.labels) perClass[label]!++;
  return {
    images: images.count,
    perClass,
    imbalance: Math.max(...perClass) / Math.min(...perClass),
    groups: images.groups ? new Set(images.groups).size : null,
    channelMeans: channelMeans(images),
    darkShare: darkShare(images),
  };
}

function channelMeans({ pixels, channels }: ImageSet): number[] {
  const sums = new Array<number>(channels).fill(0);
  for (let i = 0; i < pixels.length; i += channels)
    for (let c = 0; c < channels; c++) sums[c]! += pixels[i + c]!;
  return sums.map((sum) => (sum * channels) / pixels.length);
}

const DARK = 64;
const BRIGHT_SHARE = 0.01;

function darkShare({ count, pixels }: ImageSet): number {
  const size = pixels.length / count;
  let dark = 0;
  for (let i = 0; i < count; i++) {
    let bright = 0;
    for (let p = i * size; p < (i + 1) * size; p++) if (pixels[p]! >= DARK) bright++;
    if (bright <= size * BRIGHT_SHARE) dark++;
  }
  return dark / count;
}
