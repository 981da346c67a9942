/**
 * Validation images, taken from the training images by the rule of the data set. The test images are not touched.
 *
 * A group (frames of one GTSRB track, twins of Chars74K) never lies on both sides: near-identical images on both would
 * make the validation error look better than it is. For the same reason SVHN, whose neighbouring crops overlap, is
 * split in a few long blocks: only at their ends can two crops of one house number part.
 */
import { createHash } from 'node:crypto';
import { configError, dataError } from '@cbnn/runtime';
import { Random } from '../random.js';
import { type Dataset, type ImageSet, takeImages } from './dataset.js';

/** The purpose that names this file's random streams. */
const STREAM = 0x5b117;

/** How many blocks of the official order make up the validation images of rule `blocks`. */
const BLOCKS = 10;

export interface SplitOptions {
  /** validation images; by default the data set's validation share. With groups, as near as whole groups allow. */
  readonly count?: number;
  readonly seed: number;
}

export interface Split {
  readonly train: ImageSet;
  readonly validation: ImageSet;
}

/**
 * Splits the training images of `dataset`. Both sides keep the original order, and the same seed gives the same split.
 * Throws a config error for a count out of range, and a data error where a class that has training images would have
 * none on one side.
 */
export function splitValidation(dataset: Dataset, options: SplitOptions): Split {
  const { train } = dataset;
  const count = options.count ?? Math.round(train.count * dataset.validationShare);
  if (!Number.isInteger(count) || count < 1 || count >= train.count)
    throw configError(
      `validation count: expected an integer from 1 to ${train.count - 1} (there are ${train.count} training images), got ${count}`,
    );
  const chosen =
    dataset.split === 'last'
      ? lastImages(train, count)
      : dataset.split === 'blocks'
        ? randomBlocks(train, count, options.seed)
        : stratified(train, count, options.seed);
  if (dataset.split !== 'stratified') keepGroupsTogether(train, chosen);
  const split = divide(train, chosen);
  checkClasses(dataset, split);
  return split;
}

/**
 * Marks about `count` images (1 = chosen), every class in proportion, whole groups only; exactly `count` where images
 * stand alone and no class is so small that it must be given more than its share. A class with two groups or more has
 * at least one on each side. A group with several labels counts for the label of its first image.
 */
export function stratified(images: ImageSet, count: number, seed: number): Uint8Array {
  const groups = groupMembers(images);
  const byClass = new Map<number, number[][]>();
  for (const members of groups) {
    const label = images.labels[members[0]!]!;
    const list = byClass.get(label);
    if (list) list.push(members);
    else byClass.set(label, [members]);
  }
  const labels = [...byClass.keys()].sort((a, b) => a - b);
  const sizes = labels.map((label) => byClass.get(label)!.reduce((sum, members) => sum + members.length, 0));
  const shares = apportion(sizes, count);

  const chosen = new Uint8Array(images.count);
  for (const [i, label] of labels.entries()) {
    const list = byClass.get(label)!;
    const order = new Random(STREAM, seed, label).permutation(list.length);
    let taken = 0;
    for (let k = 0; k < list.length - 1; k++) {
      const members = list[order[k]!]!;
      // The nearest whole number of groups: stop where the next one would overshoot by more than it adds.
      if (k > 0 && taken + members.length / 2 > shares[i]!) break;
      for (const member of members) chosen[member] = 1;
      taken += members.length;
    }
  }
  return chosen;
}

/** Integers in proportion to `sizes` that sum to `total` (largest remainder). */
function apportion(sizes: readonly number[], total: number): number[] {
  const all = sizes.reduce((sum, size) => sum + size, 0);
  const exact = sizes.map((size) => (size * total) / all);
  const shares = exact.map(Math.floor);
  const left = total - shares.reduce((sum, share) => sum + share, 0);
  const byRemainder = exact
    .map((value, i) => ({ i, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder || a.i - b.i);
  for (const { i } of byRemainder.slice(0, left)) shares[i]!++;
  return shares;
}

/** Indices of the images of each group, in order of first appearance; images that stand alone are groups of one. */
function groupMembers(images: ImageSet): number[][] {
  if (!images.groups) return Array.from({ length: images.count }, (_, i) => [i]);
  const byGroup = new Map<number, number[]>();
  for (const [i, group] of images.groups.entries()) {
    const members = byGroup.get(group);
    if (members) members.push(i);
    else byGroup.set(group, [i]);
  }
  return [...byGroup.values()];
}

function lastImages(images: ImageSet, count: number): Uint8Array {
  return new Uint8Array(images.count).fill(1, images.count - count);
}

/** `BLOCKS` blocks of equal length (the last cut to reach `count` exactly) at random places of the order. */
function randomBlocks(images: ImageSet, count: number, seed: number): Uint8Array {
  const length = Math.ceil(count / BLOCKS);
  const chosen = new Uint8Array(images.count);
  let left = count;
  for (const block of new Random(STREAM, seed).permutation(Math.ceil(images.count / length))) {
    const start = block * length;
    const end = Math.min(start + Math.min(length, left), images.count);
    chosen.fill(1, start, end);
    left -= end - start;
    if (left === 0) break;
  }
  return chosen;
}

/** Takes back into the training images every group that was chosen only in part. */
function keepGroupsTogether(images: ImageSet, chosen: Uint8Array): void {
  if (!images.groups) return;
  const trained = new Set<number>();
  for (const [i, group] of images.groups.entries()) if (!chosen[i]) trained.add(group);
  for (const [i, group] of images.groups.entries()) if (trained.has(group)) chosen[i] = 0;
}

/** The images that are not chosen, and those that are. */
export function divide(images: ImageSet, chosen: Uint8Array): Split {
  const train: number[] = [];
  const validation: number[] = [];
  for (const [i, mark] of chosen.entries()) (mark ? validation : train).push(i);
  return { train: takeImages(images, train), validation: takeImages(images, validation) };
}

function checkClasses(dataset: Dataset, split: Split): void {
  const present = new Set(dataset.train.labels);
  for (const side of ['train', 'validation'] as const) {
    const there = new Set(split[side].labels);
    for (const label of present)
      if (!there.has(label))
        throw dataError(
          `${dataset.name}: class "${dataset.classes[label]}" would have no ${side === 'train' ? 'training' : 'validation'} images ` +
            `(${split.train.count} training, ${split.validation.count} validation); use more images or another validation count`,
        );
  }
}

/** SHA-256 of the images and labels of both sides, in order. */
export function fingerprint({ train, validation }: Split): string {
  const hash = createHash('sha256');
  for (const { count, height, width, channels, pixels, labels } of [train, validation])
    hash
      .update(`${count} ${height} ${width} ${channels} `)
      .update(pixels)
      .update(new Uint8Array(labels.slice().buffer));
  return hash.digest('hex');
}
