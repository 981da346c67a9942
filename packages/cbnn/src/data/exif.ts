/**
 * How a camera was held: the orientation of a JPEG's EXIF block, and pictures turned upright by it.
 * Source: CIPA DC-008 (Exif 2.32), tag 0x0112; TIFF 6.0, section 2 (image file directory).
 */
import type { RgbImage } from './ppm.js';

const ORIENTATION = 0x0112;
const SHORT = 3;
const ENTRY_BYTES = 12;

export const UPRIGHT = 1;

/**
 * The orientation, 1 to 8, that a TIFF block states in its first directory. Where it states none, or none that can be,
 * or is damaged, the picture is taken as upright, as every viewer does.
 */
export function tiffOrientation(tiff: Uint8Array): number {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (view.byteLength < 8) return UPRIGHT;
  const mark = view.getUint32(0);
  const little = mark === 0x49492a00;
  if (!little && mark !== 0x4d4d002a) return UPRIGHT;
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return UPRIGHT;
  const count = view.getUint16(directory, little);
  for (
    let i = 0, at = directory + 2;
    i < count && at + ENTRY_BYTES <= view.byteLength;
    i++, at += ENTRY_BYTES
  ) {
    if (view.getUint16(at, little) !== ORIENTATION) continue;
    const isOneShort = view.getUint16(at + 2, little) === SHORT && view.getUint32(at + 4, little) === 1;
    const value = view.getUint16(at + 8, little);
    return isOneShort && value >= 1 && value <= 8 ? value : UPRIGHT;
  }
  return UPRIGHT;
}

/** Values whose rows as stored are columns of the upright picture. */
const TURNED = [5, 6, 7, 8];
/** Values that fill the upright picture from its right edge, and those that fill it from its bottom edge. */
const FROM_RIGHT = [2, 3, 6, 7];
const FROM_BOTTOM = [3, 4, 7, 8];

/** The picture upright. The same object is returned where it already is. */
export function turnUpright(image: RgbImage, orientation: number): RgbImage {
  if (orientation === UPRIGHT) return image;
  const turned = TURNED.includes(orientation);
  const [width, height] = turned ? [image.height, image.width] : [image.width, image.height];
  const fromRight = FROM_RIGHT.includes(orientation);
  const fromBottom = FROM_BOTTOM.includes(orientation);
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const across = fromRight ? width - 1 - x : x;
      const down = fromBottom ? height - 1 - y : y;
      const from = 3 * (turned ? across * image.width + down : down * image.width + across);
      for (let c = 0; c < 3; c++) pixels[to++] = image.pixels[from + c]!;
    }
  return { width, height, pixels };
}
