/** Binary colour PPM (P6, 8 bits), the format of GTSRB. Source: the Netpbm ppm(5) manual page. */
import { dataError } from '@cbnn/runtime';

/** One picture: `[height][width][3]`, red first. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

const NEWLINE = 10;
const RETURN = 13;
const HASH = 35;

const isSpace = (byte: number) => byte === 32 || (byte >= 9 && byte <= 13);

/** Larger pictures are refused: a damaged header must not ask for gigabytes. */
export const MAX_SIDE = 16384;

/**
 * Reads a P6 file. `name` is used in errors.
 * Throws a data error, naming the byte offset, for another format, a maxval other than 255, or pixels that are cut off.
 */
export function readPpm(bytes: Uint8Array, name: string): RgbImage {
  let at = 0;
  const fail = (expected: string) =>
    dataError(`${name}: expected ${expected} at byte ${at}; the file is damaged or not a P6 PPM`);

  if (bytes[0] !== 0x50 || bytes[1] !== 0x36) throw fail('"P6"');
  at = 2;
  const number = (what: string): number => {
    const start = at;
    while (at < bytes.length && (isSpace(bytes[at]!) || bytes[at] === HASH)) {
      if (bytes[at] === HASH) while (at < bytes.length && bytes[at] !== NEWLINE && bytes[at] !== RETURN) at++;
      else at++;
    }
    if (at === start) throw fail(`white space before the ${what}`);
    const first = at;
    let value = 0;
    while (at < bytes.length && bytes[at]! >= 48 && bytes[at]! <= 57 && at - first < 6)
      value = value * 10 + bytes[at++]! - 48;
    if (at === first) throw fail(`the ${what}`);
    return value;
  };
  const width = number('width');
  const height = number('height');
  const maxval = number('maxval');
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
    throw dataError(`${name}: expected sides of 1 to ${MAX_SIDE} pixels, got ${width}x${height}`);
  if (maxval !== 255)
    throw dataError(`${name}: expected maxval 255, got ${maxval}; convert it to 8 bits per colour`);
  if (at >= bytes.length || !isSpace(bytes[at]!)) throw fail('one white space before the pixels');
  at++;
  const size = width * height * 3;
  const present = bytes.length - at;
  if (present < size)
    throw dataError(
      `${name}: expected ${size} bytes of pixels from byte ${at}, got ${present}; the file is truncated`,
    );
  return { width, height, pixels: bytes.subarray(at, at + size) };
}
