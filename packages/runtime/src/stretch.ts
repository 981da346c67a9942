/**
 * Contrast stretch: the step before slicing. A dark image keeps its content in the low bits; spread over 0..255,
 * the top slices carry it. It is part of the model, and all in integers, so that every engine gives the same bits.
 *
 * With the n values of one image, all channels together, and count(v) = number of values <= v:
 *
 *     lo  = the smallest v with count(v) >  floor(n * low / 100)
 *     hi  = the smallest v with count(v) >= ceil(n * high / 100)
 *     out = floor(((clamp(v, lo, hi) - lo) * 255 + floor((hi - lo) / 2)) / (hi - lo))     if hi > lo
 *     out = v                                                                            otherwise
 *
 * so lo becomes 0, hi becomes 255, and the rest is rounded to the nearest (halves up).
 */
import type { Stretch } from './model.js';

/** Of even and of odd pixels, each value's count: two, as a count that waits for the one before it takes twice as long. */
const counts = new Uint32Array(512);

/** What each of the 256 values becomes in this image (not empty, any layout); null when nothing changes. */
export function stretchMap(pixels: Uint8Array, { low, high }: Stretch): Uint8Array | null {
  counts.fill(0);
  const last = pixels.length - 1;
  for (let i = 0; i < last; i += 2) {
    counts[pixels[i]!]!++;
    counts[256 + pixels[i + 1]!]!++;
  }
  if (last % 2 === 0) counts[pixels[last]!]!++;
  const countOf = (value: number) => counts[value]! + counts[256 + value]!;

  // First value whose cumulative count reaches `rank`; count > k is count >= k + 1.
  const valueAt = (rank: number): number => {
    let value = 0;
    for (let count = countOf(0); count < rank; count += countOf(value)) value++;
    return value;
  };
  const lo = valueAt(Math.floor((pixels.length * low) / 100) + 1);
  const hi = valueAt(Math.ceil((pixels.length * high) / 100));
  if (hi <= lo) return null;

  const range = hi - lo;
  const map = new Uint8Array(256);
  for (let v = 0; v < 256; v++) {
    const above = Math.min(Math.max(v, lo), hi) - lo;
    map[v] = Math.floor((above * 255 + (range >> 1)) / range);
  }
  return map;
}
