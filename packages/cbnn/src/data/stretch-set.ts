import { type Stretch, stretchInto } from '@cbnn/runtime';
import type { ImageSet } from './dataset.js';

/** The images after the contrast stretch; the same set when there is none. */
export function stretchSet(images: ImageSet, stretch: Stretch | null): ImageSet {
  if (!stretch) return images;
  const pixels = new Uint8Array(images.pixels.length);
  const size = images.height * images.width * images.channels;
  for (let at = 0; at < pixels.length; at += size)
    stretchInto(images.pixels.subarray(at, at + size), stretch, pixels.subarray(at, at + size));
  return { ...images, pixels };
}
