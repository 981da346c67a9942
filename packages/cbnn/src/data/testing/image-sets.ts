/** Image sets without meaning, for tests of what is done with labels and groups. */
import type { Dataset, ImageSet, SplitRule } from '../dataset.js';

/** 1x1 grey images whose pixel is their index (modulo 256). */
export function indexImages(labels: readonly number[], groups?: readonly number[]): ImageSet {
  return {
    count: labels.length,
    height: 1,
    width: 1,
    channels: 1,
    pixels: Uint8Array.from(labels, (_, i) => i),
    labels: Uint16Array.from(labels),
    ...(groups && { groups: Uint32Array.from(groups) }),
  };
}

/** A data set of such images. */
export function indexDataset(
  train: ImageSet,
  split: SplitRule,
  classes = 10,
  validationShare = 0.1,
): Dataset {
  return {
    name: 'toy',
    title: 'Toy',
    classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
    train,
    test: indexImages([0]),
    split,
    validationShare,
    augmentation: { mirror: false, shift: 0 },
  };
}
