/** Decoding picture files of three formats to plain RGB bytes. What a file is, its first bytes say, not its name. */
import { CbnnError, dataError } from '@cbnn/runtime';
import jpeg, { type RawImageData } from 'jpeg-js';
import { PNG } from 'pngjs';
import { tiffOrientation, turnUpright, UPRIGHT } from './exif.js';
import { jpegDamage, pngDamage } from './picture-damage.js';
import { MAX_SIDE, type RgbImage, readPpm } from './ppm.js';

/** File names that are taken for pictures. */
export const IMAGE_NAME = /\.(png|jpe?g|ppm)$/i;

/** The largest picture that is decoded: a damaged header must not ask for gigabytes. */
const MAX_PIXELS = 100_000_000;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const PNG_HEADER_BYTES = 33;

/**
 * Decodes a PNG, JPEG or P6 PPM file. Grey becomes three equal colours; 16 bits become 8; transparent parts are laid
 * on white. A JPEG is turned upright by its EXIF orientation, which phones write instead of turning the pixels.
 * `name` is used in errors. Throws a data error for any other or damaged file.
 */
export function decodeImage(bytes: Uint8Array, name: string): RgbImage {
  if (PNG_SIGNATURE.every((byte, i) => bytes[i] === byte)) return decodePng(bytes, name);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return decodeJpeg(bytes, name);
  if (bytes[0] === 0x50 && bytes[1] === 0x36) return readPpm(bytes, name);
  const start =
    bytes.length === 0 ? 'an empty file' : `bytes ${Buffer.from(bytes.subarray(0, 8)).toString('hex')}`;
  throw dataError(
    `${name}: expected a PNG, JPEG or P6 PPM picture, got ${start} at byte 0; convert or remove it`,
  );
}

function decodePng(bytes: Uint8Array, name: string): RgbImage {
  if (bytes.length < PNG_HEADER_BYTES)
    throw damaged(name, 'PNG', `it ends at byte ${bytes.length}, in the header`);
  const header = new DataView(bytes.buffer, bytes.byteOffset, PNG_HEADER_BYTES);
  checkSize(name, header.getUint32(16), header.getUint32(20));
  const { width, height, data } = attempt(
    () => PNG.sync.read(Buffer.from(bytes)),
    (why) => damaged(name, 'PNG', `${pngDamage(bytes)}: ${why}`),
  );
  if (data.length !== width * height * 4) throw damaged(name, 'PNG', pngDamage(bytes));
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const alpha = data[from + 3]!;
    for (let c = 0; c < 3; c++)
      pixels[to++] = Math.floor((data[from + c]! * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  return { width, height, pixels };
}

/** What the decoder gives, with the one field that its types leave out: the EXIF block behind `Exif\0`. */
type DecodedJpeg = RawImageData<Uint8Array> & { readonly exifBuffer?: Uint8Array | undefined };

function decodeJpeg(bytes: Uint8Array, name: string): RgbImage {
  const { width, height, data, exifBuffer } = attempt(
    (): DecodedJpeg =>
      jpeg.decode(bytes, {
        useTArray: true,
        formatAsRGBA: false,
        tolerantDecoding: false,
        maxResolutionInMP: MAX_PIXELS / 1e6,
      }),
    (why) => damaged(name, 'JPEG', `${jpegDamage(bytes)}: ${why}`),
  );
  checkSize(name, width, height);
  if (data.length !== width * height * 3) throw damaged(name, 'JPEG', jpegDamage(bytes));
  // Between "Exif\0", where it is cut, and the TIFF block lies one more zero byte.
  const orientation = exifBuffer ? tiffOrientation(exifBuffer.subarray(1)) : UPRIGHT;
  return turnUpright({ width, height, pixels: data }, orientation);
}

function checkSize(name: string, width: number, height: number): void {
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS)
    throw dataError(
      `${name}: expected sides of 1 to ${MAX_SIDE} pixels and at most ${MAX_PIXELS} in all, got ${width}x${height}`,
    );
}

/** Runs a decoder; whatever it throws becomes the data error that `describe` makes of its message. */
function attempt<T>(decode: () => T, describe: (why: string) => CbnnError): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof CbnnError) throw error;
    throw describe(error instanceof Error ? error.message : String(error));
  }
}

const damaged = (name: string, format: string, why: string) =>
  dataError(
    `${name}: expected a complete ${format} picture, got a damaged one (${why}); replace or remove it`,
  );
