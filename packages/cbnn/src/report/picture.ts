/** Small images inside figures and pages, as PNG data URIs. */
import { internalError } from '@cbnn/runtime';
import { PNG } from 'pngjs';

/** One image: uint8 `[height][width][channels]`. */
export interface Picture {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
}

/**
 * The picture as a `data:` URI, every pixel enlarged to `scale` x `scale` so that no viewer smooths it.
 * Three or more channels are shown as red, green, blue; one or two as grey.
 */
export function pictureUri(picture: Picture, scale = 1): string {
  return `data:image/png;base64,${Buffer.from(encodePicture(picture, scale)).toString('base64')}`;
}

/** The scale that makes a picture's longer side at least `size` pixels. */
export const scaleTo = (picture: Picture, size: number): number =>
  Math.max(1, Math.ceil(size / Math.max(picture.height, picture.width)));

export function encodePicture(picture: Picture, scale = 1): Uint8Array {
  const { height, width, channels, pixels } = picture;
  if (pixels.length !== height * width * channels)
    throw internalError(`picture: expected ${height}x${width}x${channels} values, got ${pixels.length}`);
  const colours = channels >= 3 ? 3 : 1;
  const data = new Uint8Array(height * scale * width * scale * colours);
  let at = 0;
  for (let y = 0; y < height * scale; y++) {
    for (let x = 0; x < width * scale; x++) {
      const from = (Math.floor(y / scale) * width + Math.floor(x / scale)) * channels;
      for (let c = 0; c < colours; c++) data[at++] = pixels[from + c]!;
    }
  }
  const colorType = colours === 3 ? 2 : 0;
  const png = new PNG({
    width: width * scale,
    height: height * scale,
    colorType,
    inputColorType: colorType,
    inputHasAlpha: false,
  });
  png.data = Buffer.from(data);
  return PNG.sync.write(png, { colorType, inputColorType: colorType, inputHasAlpha: false });
}
