/**
 * Bit-level noise: replaces whole slices of images by uniform random bits (every bit flips with probability 1/2), as
 * the paper's released script does. The bits of a slice depend on (seed, channel, bit) only, so experiments that share
 * a slice share its noise and differ only where they should. Of slices that are nearly constant, as the outer ones of a
 * thermometer are, noise tells little: what 97 % of the values reach costs 14.2 points as random bits and none as the constant 1 (1,000
 * validation images, a network of half width on CIFAR-10), so a bound on what noise costs keeps more of them than it need.
 */
import type { Slice } from '@cbnn/runtime';
import type { ImageSet } from '../data/dataset.js';
import { Random } from '../random.js';

const NOISE = 4;

/** A copy of `images` (already prepared) with each of `slices` randomized. */
export function randomizeSlices(images: ImageSet, slices: readonly Slice[], seed: number): Uint8Array {
  const pixels = images.pixels.slice();
  for (const { channel, bit } of slices) {
    const random = new Random(seed, NOISE, channel, bit);
    const mask = 1 << bit;
    let word = 0;
    let left = 0;
    for (let i = channel; i < pixels.length; i += images.channels) {
      if (left === 0) {
        word = random.uint32();
        left = 32;
      }
      pixels[i] = (pixels[i]! & ~mask) | ((word & 1) << bit);
      word >>>= 1;
      left--;
    }
  }
  return pixels;
}
