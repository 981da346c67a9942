/** What a reader must know to judge a run's numbers. */
import type { ImageSet } from '../data/dataset.js';
import type { RunConfig } from '../train/config.js';
import { formatInteger } from './format.js';

export function caveats(
  { epochs, dataset, from, teacher }: RunConfig,
  images: { readonly train: ImageSet; readonly validation: ImageSet },
  compacted: boolean,
): string[] {
  const { count, groups } = images.validation;
  const grouped = groups ? new Set(groups).size : count;
  const lines: (string | false)[] = [
    `${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} on ${formatInteger(images.train.count)} training images, one seed`,
    from !== undefined && 'training began with the weights of another run, whose epochs come on top',
    teacher !== undefined && 'it learned the answers of another run instead of the labels',
    compacted &&
      'compacted networks continue from the baseline, so they have trained for more epochs in total',
    dataset.limit !== null && `training images limited to ${formatInteger(dataset.limit)}`,
    grouped < count &&
      `the ${formatInteger(count)} validation images come in ${formatInteger(grouped)} groups of images that resemble each other (frames of one track, or twins), and intervals on them treat every image as independent, so they are too narrow`,
  ];
  return lines.filter((line) => line !== false);
}
