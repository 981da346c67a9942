/** Writes the start of a TIFF file, as it lies in a JPEG's EXIF block: a header and a directory of numbers. */

export interface TiffTag {
  readonly tag: number;
  readonly value: number;
  /** 3 = SHORT by default */
  readonly type?: number;
  /** numbers of the tag; 1 by default */
  readonly count?: number;
}

export function writeTiff(tags: readonly TiffTag[], little = true): Uint8Array {
  const bytes = new Uint8Array(14 + tags.length * 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, little ? 0x49492a00 : 0x4d4d002a);
  view.setUint32(4, 8, little);
  view.setUint16(8, tags.length, little);
  for (const [i, { tag, value, type = 3, count = 1 }] of tags.entries()) {
    const at = 10 + i * 12;
    view.setUint16(at, tag, little);
    view.setUint16(at + 2, type, little);
    view.setUint32(at + 4, count, little);
    view.setUint16(at + 8, value, little);
  }
  return bytes;
}

/** A JPEG with an EXIF block behind its first marker. */
export function withExif(jpeg: Uint8Array, tiff: Uint8Array): Uint8Array {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(2 + 6 + tiff.length);
  return Buffer.concat([
    jpeg.subarray(0, 2),
    Uint8Array.of(0xff, 0xe1),
    length,
    Buffer.from('Exif\0\0', 'latin1'),
    tiff,
    jpeg.subarray(2),
  ]);
}
