/** Small picture files, made on the spot. */
import { PNG } from 'pngjs';

export interface PngToWrite {
  readonly width: number;
  readonly height: number;
  /** red, green, blue and alpha of a pixel */
  readonly color: (x: number, y: number) => readonly [number, number, number, number];
  /** 0 grey, 2 RGB, 4 grey with alpha, 6 RGBA; 2 by default */
  readonly colorType?: 0 | 2 | 4 | 6;
}

export function writePng({ width, height, color, colorType = 2 }: PngToWrite): Uint8Array {
  const png = new PNG({ width, height });
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) png.data.set(color(x, y), (y * width + x) * 4);
  return PNG.sync.write(png, { colorType });
}

/** A PNG of one colour. */
export const plainPng = (red: number, green: number, blue: number, side = 4): Uint8Array =>
  writePng({ width: side, height: side, color: () => [red, green, blue, 255] });

/** A P6 file; `pixels` is `[height][width][3]`. */
export function writePpm(width: number, height: number, pixels: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), pixels]);
}

/** A P6 file of one colour. */
export const plainPpm = (width: number, height: number, value: number): Uint8Array =>
  writePpm(width, height, new Uint8Array(width * height * 3).fill(value));
