/** Where a picture file is damaged: its decoder only says that it is. Both walk the parts that the format consists of. */
import { crc32 } from 'node:zlib';

const PNG_FIRST_CHUNK = 8;
/** Length, type and checksum of a PNG chunk. */
const PNG_CHUNK_FRAME = 12;

/** e.g. `the checksum of the chunk at byte 33 is wrong`; where the chunks are sound, the pixels in them are not. */
export function pngDamage(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let pixels = 'it has no pixels up to';
  for (let at = PNG_FIRST_CHUNK; ; ) {
    const end = at + PNG_CHUNK_FRAME + (at + 4 <= bytes.length ? view.getUint32(at) : 0);
    if (end > bytes.length)
      return `the chunk at byte ${at} ends at byte ${end}, the file at byte ${bytes.length}`;
    if (view.getUint32(end - 4) !== crc32(bytes.subarray(at + 4, end - 4)))
      return `the checksum of the chunk at byte ${at} is wrong`;
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (type === 'IDAT' && pixels.startsWith('it'))
      pixels = `the pixels from byte ${at} do not unpack before`;
    at = end;
    if (type === 'IEND' || at === bytes.length) return `${pixels} byte ${at}`;
  }
}

const MARKER = 0xff;
const START_OF_IMAGE = 0xd8;
const END_OF_IMAGE = 0xd9;
const START_OF_SCAN = 0xda;
/** Markers without a length: temporary, restart 0 .. 7, start and end of the image. */
const isBare = (marker: number): boolean => marker === 0x01 || (marker >= 0xd0 && marker <= END_OF_IMAGE);

/** e.g. `the segment at byte 20 ends at byte 90, the file at byte 60`. */
export function jpegDamage(bytes: Uint8Array): string {
  let scan: number | null = null;
  for (let at = 0; at < bytes.length; ) {
    const marker = bytes[at + 1] ?? 0;
    if (bytes[at] !== MARKER || marker === 0) return `expected a marker at byte ${at}`;
    if (marker === MARKER) {
      // Any number of fill bytes may come before a marker.
      at++;
      continue;
    }
    if (marker === END_OF_IMAGE) break;
    const length = isBare(marker) ? 0 : (bytes[at + 2] ?? 0) * 256 + (bytes[at + 3] ?? 0);
    const end = at + 2 + length;
    if (end > bytes.length || (length < 2 && !isBare(marker)))
      return `the segment at byte ${at} ends at byte ${end}, the file at byte ${bytes.length}`;
    if (marker === START_OF_SCAN) scan ??= end;
    at =
      marker === START_OF_SCAN || (scan !== null && marker !== START_OF_IMAGE) ? nextMarker(bytes, end) : end;
  }
  return scan === null
    ? `it has no pixels up to byte ${bytes.length}`
    : `in the pixels from byte ${scan} to byte ${bytes.length}`;
}

/** Behind compressed pixels, in which an FF is followed by 00. */
function nextMarker(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] !== MARKER || bytes[at + 1] === 0)) at++;
  return at;
}
