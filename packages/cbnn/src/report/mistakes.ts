/** Which of the wrongly classified images a report shows. */
import type { ImageSet } from '../data/dataset.js';
import type { Mistake } from './data.js';
import type { Picture } from './picture.js';

/** At most `shown` of the mistakes, spread evenly over all of them: a set may be sorted by class. */
export function spreadMistakes(
  images: ImageSet,
  predictions: ArrayLike<number>,
  classes: readonly string[],
  shown: number,
): Mistake[] {
  const wrong: number[] = [];
  for (const [n, label] of images.labels.entries()) if (predictions[n] !== label) wrong.push(n);
  const count = Math.min(shown, wrong.length);
  return Array.from({ length: count }, (_, i) => {
    const n = wrong[Math.floor((i * wrong.length) / count)]!;
    return {
      picture: pictureOf(images, n),
      truth: classes[images.labels[n]!]!,
      predicted: classes[predictions[n]!]!,
    };
  });
}

export function pictureOf(images: ImageSet, index: number): Picture {
  const { height, width, channels } = images;
  const size = height * width * channels;
  return { height, width, channels, pixels: images.pixels.subarray(index * size, (index + 1) * size) };
}
