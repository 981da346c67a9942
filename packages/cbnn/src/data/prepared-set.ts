import { type Preparation, prepareInto } from '@cbnn/runtime';
import type { ImageSet } from './dataset.js';

/** The images stretched and coded, as a network's first layer takes them; the same set when there is nothing to do. */
export function preparedSet(images: ImageSet, input: Preparation): ImageSet {
  if (!input.stretch && !input.code) return images;
  const pixels = new Uint8Array(images.pixels.length);
  const size = images.height * images.width * images.channels;
  for (let at = 0; at < pixels.length; at += size)
    prepareInto(images.pixels.subarray(at, at + size), input, pixels.subarray(at, at + size));
  return { ...images, pixels };
}
