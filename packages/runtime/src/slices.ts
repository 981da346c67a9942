/**
 * Bit slices: an image of C channels of 8 bits is 8C binary images (Fig 3 of the paper), of which a model keeps some.
 *
 * Slice (channel, bit) of a pixel x is +1 where bit `bit` of x[channel]'s code is 1, and -1 where it is 0; bit 0 is the
 * least significant. Slices are ordered channel-major, least significant first, as in the paper's code
 * (MATLAB's de2bi): channel 0 bits 0..7, then channel 1 bits 0..7, ...
 *
 * Two layouts: `unpackSlices` gives +-1 planes `[slices][height][width]`, the way a training framework wants them;
 * `packSlices` gives one bit per slice, `[height][width][words of 32 slices]`, the way an engine wants them.
 * Both take pixels that have already been prepared (prepare.ts).
 */

import { configError, dataError } from './errors.js';
import type { InputSpec, Slice } from './model.js';
import { valuesOf } from './shapes.js';

const BITS = 8;

/** Every slice of `channels` channels, in order. */
export function allSlices(channels: number): Slice[] {
  return Array.from({ length: channels * BITS }, (_, i) => ({
    channel: Math.floor(i / BITS),
    bit: i % BITS,
  }));
}

/** Negative when `a` comes before `b` in the order of a model's slices. */
export const compareSlices = (a: Slice, b: Slice): number => a.channel - b.channel || a.bit - b.bit;

/** Readable and compact: `0:4-7,1:4-7,2:0,2:4-7` = channel:bits, where bits is one bit or a range. */
export function formatSlices(slices: readonly Slice[]): string {
  const runs: { channel: number; first: number; last: number }[] = [];
  for (const { channel, bit } of [...slices].sort(compareSlices)) {
    const run = runs.at(-1);
    if (run?.channel === channel && run.last + 1 === bit) run.last = bit;
    else runs.push({ channel, first: bit, last: bit });
  }
  return runs
    .map(({ channel, first, last }) => `${channel}:${first === last ? first : `${first}-${last}`}`)
    .join(',');
}

/**
 * Reads what `formatSlices` writes, in any order, and the short forms `all` and `topN` (the N most significant of
 * every channel, N = 1..8). The result is sorted. Throws a config error that names the part it could not read.
 */
export function parseSlices(text: string, channels: number): Slice[] {
  if (text === 'all') return allSlices(channels);
  const top = /^top([1-8])$/.exec(text);
  if (top) return allSlices(channels).filter(({ bit }) => bit >= BITS - Number(top[1]));

  const slices: Slice[] = [];
  for (const part of text.split(',')) {
    const name = `slices: \`${part}\``;
    const match = /^(\d+):(\d+)(?:-(\d+))?$/.exec(part);
    if (!match)
      throw configError(
        `${name}: expected \`all\`, \`top4\`, or parts like \`0:4-7\` (channel:bits) joined by commas`,
      );
    const channel = Number(match[1]);
    const first = Number(match[2]);
    const last = Number(match[3] ?? match[2]);
    if (channel >= channels)
      throw configError(`${name}: expected a channel of 0..${channels - 1}, got ${channel}`);
    if (first >= BITS || last >= BITS)
      throw configError(
        `${name}: expected bits of 0..7 (0 = least significant), got ${Math.max(first, last)}`,
      );
    if (first > last)
      throw configError(`${name}: expected the lower bit first; write \`${channel}:${last}-${first}\``);
    for (let bit = first; bit <= last; bit++) {
      if (slices.some((slice) => slice.channel === channel && slice.bit === bit))
        throw configError(`${name}: bit ${bit} of channel ${channel} is there twice; remove one`);
      slices.push({ channel, bit });
    }
  }
  return slices.sort(compareSlices);
}

/** Throws a data error unless `pixels` is one image of `input`'s size. */
export function checkPixels(pixels: Uint8Array, input: InputSpec): void {
  const { height, width, channels } = input;
  const expected = valuesOf(input);
  if (pixels.length !== expected)
    throw dataError(
      `pixels: expected ${expected} bytes (${height} high, ${width} wide, ${channels} channels), got ${pixels.length}; resize the image`,
    );
}

/** The kept slices of `pixels` (uint8 `[height][width][channels]`) as +-1: Int8Array `[slices][height][width]`. */
export function unpackSlices(pixels: Uint8Array, input: InputSpec): Int8Array {
  checkPixels(pixels, input);
  const area = input.height * input.width;
  const values = new Int8Array(input.slices.length * area);
  for (const [i, { channel, bit }] of input.slices.entries())
    for (let p = 0; p < area; p++)
      values[i * area + p] = (pixels[p * input.channels + channel]! >> bit) & 1 ? 1 : -1;
  return values;
}

/**
 * The kept slices of `pixels` as bits, 1 = +1: Uint32Array `[height][width][ceil(slices / 32)]`. Slice i is bit
 * i mod 32 of word floor(i / 32); bits past the last slice are 0.
 */
export function packSlices(pixels: Uint8Array, input: InputSpec): Uint32Array {
  checkPixels(pixels, input);
  const area = input.height * input.width;
  const words = Math.ceil(input.slices.length / 32);
  const packed = new Uint32Array(area * words);
  for (const [i, { channel, bit }] of input.slices.entries())
    for (let p = 0; p < area; p++)
      packed[p * words + (i >> 5)]! |= ((pixels[p * input.channels + channel]! >> bit) & 1) << (i & 31);
  return packed;
}
