/**
 * Resizing by a separable triangle filter. Enlarging, it is plain bilinear interpolation; shrinking, the triangle is
 * widened to two source pixels per target pixel on each side, so that every source pixel counts (an area average
 * with soft edges: two-tap bilinear would skip pixels, a box would shimmer between frames).
 *
 * It follows Pillow's `resize(..., BILINEAR)` bit for bit, because that is what most training pipelines run: weights
 * in 22-bit fixed point, rows first, 8 bits between the passes. Integer sums make it the same on every machine.
 * Source: Pillow, src/libImaging/Resample.c.
 */
import type { RgbImage } from './ppm.js';

const FRACTION_BITS = 22;
const HALF = 1 << (FRACTION_BITS - 1);

/** For each target position, the first source position and the fixed-point weights that follow from there. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `[target][width]` */
  readonly weights: Int32Array;
  readonly width: number;
}

function taps(source: number, target: number): Taps {
  const ratio = source / target;
  const support = Math.max(ratio, 1);
  const width = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(target);
  const count = new Int32Array(target);
  const weights = new Int32Array(target * width);
  const exact = new Float64Array(width);
  for (let t = 0; t < target; t++) {
    const center = (t + 0.5) * ratio;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(source, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let s = start; s < end; s++) {
      const distance = Math.abs((s - center + 0.5) * (1 / support));
      exact[s - start] = distance < 1 ? 1 - distance : 0;
      sum += exact[s - start]!;
    }
    first[t] = start;
    count[t] = end - start;
    for (let k = 0; k < end - start; k++)
      weights[t * width + k] = Math.trunc(0.5 + (exact[k]! / sum) * 2 ** FRACTION_BITS);
  }
  return { first, count, weights, width };
}

const cache = new Map<string, Taps>();

function cachedTaps(source: number, target: number): Taps {
  const key = `${source}>${target}`;
  let found = cache.get(key);
  if (!found) {
    found = taps(source, target);
    if (cache.size > 1000) cache.clear();
    cache.set(key, found);
  }
  return found;
}

/**
 * Filters one axis of `[outer][length][inner]` to `[outer][target][inner]`; an axis that keeps its length is returned
 * as it is.
 */
function resizeAxis(
  from: Uint8Array,
  outer: number,
  length: number,
  inner: number,
  target: number,
): Uint8Array {
  if (length === target) return from;
  const { first, count, weights, width } = cachedTaps(length, target);
  const to = new Uint8Array(outer * target * inner);
  for (let o = 0; o < outer; o++)
    for (let t = 0; t < target; t++) {
      const start = (o * length + first[t]!) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = HALF;
        for (let k = 0, at = start + i; k < count[t]!; k++, at += inner)
          sum += from[at]! * weights[t * width + k]!;
        to[(o * target + t) * inner + i] = Math.min(255, Math.max(0, sum >> FRACTION_BITS));
      }
    }
  return to;
}

/** The picture with `width` x `height` pixels. The same array is returned where nothing changes. */
export function resize(image: RgbImage, width: number, height: number): RgbImage {
  const rows = resizeAxis(image.pixels, image.height, image.width, 3, width);
  return { width, height, pixels: resizeAxis(rows, 1, image.height, width * 3, height) };
}

/** The part from (`left`, `top`) of `width` x `height` pixels, which must lie inside. */
export function crop(image: RgbImage, left: number, top: number, width: number, height: number): RgbImage {
  if (width === image.width && height === image.height) return image;
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 3;
    pixels.set(image.pixels.subarray(from, from + width * 3), y * width * 3);
  }
  return { width, height, pixels };
}
