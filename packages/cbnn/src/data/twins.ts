/** Finding identical pictures, which must not lie on both sides of a split. */
import { createHash } from 'node:crypto';
import type { ImageSet } from './dataset.js';

/** For each image, the index of the first image with the same pixels: its own where it is the first or only one. */
function twinGroups(images: ImageSet): Uint32Array {
  const size = images.pixels.length / images.count;
  const first = new Map<string, number>();
  const groups = new Uint32Array(images.count);
  for (let i = 0; i < images.count; i++) {
    const digest = createHash('sha256')
      .update(images.pixels.subarray(i * size, (i + 1) * size))
      .digest('base64');
    const twin = first.get(digest);
    if (twin === undefined) first.set(digest, i);
    groups[i] = twin ?? i;
  }
  return groups;
}

/** The set, with twins as groups where there are any. */
export function groupTwins(images: ImageSet): ImageSet {
  const groups = twinGroups(images);
  return groups.some((group, i) => group !== i) ? { ...images, groups } : images;
}
