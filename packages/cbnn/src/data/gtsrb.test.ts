import { describe, expect, it } from 'vitest';
import { GTSRB_CLASSES, readGtsrb } from './gtsrb.js';
import { readDamaged } from './testing/damage.js';
import { plainPpm, writePpm } from './testing/pictures.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

const HEADING = 'Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n';

/** A picture that is 200 inside the region and 0 in its border. */
function framed(side: number, first: number, last: number): Uint8Array {
  const pixels = new Uint8Array(side * side * 3);
  for (let y = first; y <= last; y++) pixels.fill(200, (y * side + first) * 3, (y * side + last + 1) * 3);
  return writePpm(side, side, pixels);
}

const folderOf = (label: number) => `GTSRB/Final_Training/Images/${String(label).padStart(5, '0')}`;
const tableOf = (label: number) => `${folderOf(label)}/GT-${String(label).padStart(5, '0')}.csv`;

/** Two tracks of one frame each per class; the first frame of class 0 has a border. */
/** The line of a class's second image. */
const second = (label: number) => `00001_00000.ppm;32;32;0;0;31;31;${label}\n`;

function files(): Record<string, Uint8Array | string> {
  const all: Record<string, Uint8Array | string> = {
    'GTSRB/Final_Test/GT-final_test.csv': `${HEADING}00000.ppm;32;32;0;0;31;31;16\r\n00001.ppm;20;20;2;2;17;17;1\r\n`,
    'GTSRB/Final_Test/Images/00000.ppm': plainPpm(32, 32, 16),
    'GTSRB/Final_Test/Images/00001.ppm': framed(20, 2, 17),
  };
  for (const label of GTSRB_CLASSES.keys()) {
    all[tableOf(label)] = `${HEADING}00000_00000.ppm;40;40;4;4;35;35;${label}\n${second(label)}`;
    all[`${folderOf(label)}/00000_00000.ppm`] = framed(40, 4, 35);
    all[`${folderOf(label)}/00001_00000.ppm`] = plainPpm(32, 32, label);
  }
  return all;
}

describe('GTSRB', () => {
  it('is read with classes, tracks and regions of interest', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, files());
    const { train, test, classes } = await readGtsrb(folder);
    expect(classes).toHaveLength(43);
    expect(new Set(classes).size).toBe(43);
    expect(train).toMatchObject({ count: 86, height: 32, width: 32, channels: 3 });
    expect([...train.labels.subarray(0, 4)]).toEqual([0, 0, 1, 1]);
    expect([...train.groups!.subarray(0, 4)]).toEqual([0, 1, 1000, 1001]);
    expect([...test.labels]).toEqual([16, 1]);
    expect(test.groups).toBeUndefined();
    // The region is all 200: no border is left.
    expect(train.pixels.subarray(0, 3072).every((pixel) => pixel === 200)).toBe(true);
    expect(test.pixels.subarray(3072).every((pixel) => pixel === 200)).toBe(true);
    expect(train.pixels[85 * 3072]).toBe(42);
  });

  it('takes the last row and column of the region too, and no pixel beside it', async () => {
    const folder = temporaryFolder();
    // A region of 32x32 is not resized, so that every pixel must arrive as it is.
    const pixels = Uint8Array.from({ length: 40 * 40 * 3 }, (_, i) => (i * 31) & 255);
    writeFiles(folder, { ...files(), [`${folderOf(0)}/00000_00000.ppm`]: writePpm(40, 40, pixels) });
    const { train } = await readGtsrb(folder);
    for (let y = 0; y < 32; y++) {
      const from = ((y + 4) * 40 + 4) * 3;
      expect(train.pixels.slice(y * 96, (y + 1) * 96)).toEqual(pixels.slice(from, from + 96));
    }
  });

  it('is split by class and track, and never mirrored: keep right would become keep left', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, files());
    expect(await readGtsrb(folder)).toMatchObject({
      split: 'stratified',
      validationShare: 0.1,
      augmentation: { mirror: false, shift: 2 },
    });
  });

  it('keeps the border on request', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, files());
    const { train } = await readGtsrb(folder, { roi: 'whole' });
    expect(train.pixels[0]).toBe(0);
    expect(train.pixels[(16 * 32 + 16) * 3]).toBe(200);
  });

  it('takes images whole that were resized since the table was made, and crops those beside them that were not', async () => {
    const folder = temporaryFolder();
    // Resized to 32x32; the table still has the original 40x40 and 20x20 and the regions in them.
    writeFiles(folder, {
      ...files(),
      [`${folderOf(0)}/00000_00000.ppm`]: framed(32, 3, 28),
      'GTSRB/Final_Test/Images/00001.ppm': framed(32, 3, 28),
      // One side alone makes another size too; and a region may lie outside what is left.
      [tableOf(2)]: `${HEADING}00000_00000.ppm;40;41;4;4;35;35;2\n${second(2)}`,
      [tableOf(3)]: `${HEADING}00000_00000.ppm;120;120;60;60;110;110;3\n${second(3)}`,
    });
    const { train, test } = await readGtsrb(folder);
    const corner = (set: { pixels: Uint8Array }, image: number) => set.pixels[image * 3072];
    expect([...train.pixels.subarray(0, 3072)]).toEqual([...framed(32, 3, 28).subarray(-3072)]);
    expect(corner(test, 1)).toBe(0);
    expect([corner(train, 2), corner(train, 4), corner(train, 6)]).toEqual([200, 0, 0]);
  });

  it.each([
    [
      'cut at the end of a line',
      tableOf(4),
      `${HEADING}${second(4)}`,
      /GT-00004\.csv: .*lacks 1, first 00000_00000\.ppm/,
    ],
    [
      'of the test images cut',
      'GTSRB/Final_Test/GT-final_test.csv',
      `${HEADING}00000.ppm;32;32;0;0;31;31;16\n`,
      /GT-final_test\.csv: .*lacks 1, first 00001\.ppm/,
    ],
    [
      'with a line twice',
      tableOf(4),
      `${HEADING}${second(4)}${second(4)}`,
      /expected every file once, got 1 twice/,
    ],
  ])('refuses a table %s', async (_, table, content, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...files(), [table]: content });
    await expect(readGtsrb(folder)).rejects.toThrow(message);
  });

  it('finds the test table beside the images too', async () => {
    const folder = temporaryFolder();
    const { 'GTSRB/Final_Test/GT-final_test.csv': table, ...rest } = files();
    writeFiles(folder, { ...rest, 'GTSRB/Final_Test/Images/GT-final_test.csv': table! });
    expect((await readGtsrb(folder)).test.count).toBe(2);
  });

  it.each<[string, string, string, string]>([
    ['another heading', tableOf(3), 'a,b\n', 'GT-00003.csv: expected the heading "Filename;Width'],
    ['no lines', tableOf(3), HEADING, 'GT-00003.csv: expected at least one image, got none'],
    [
      'a missing column',
      tableOf(3),
      `${HEADING}00000_00000.ppm;40;40;4;4;35;35\n`,
      'GT-00003.csv, line 2: expected a file name and 7 numbers',
    ],
    [
      'a broken number',
      tableOf(3),
      `${HEADING}00000_00000.ppm;4x;40;4;4;35;35;3\n`,
      'line 2: expected a file name and 7 numbers',
    ],
    [
      'another class',
      tableOf(3),
      `${HEADING}00000_00000.ppm;40;40;4;4;35;35;4\n`,
      'line 2: expected class 3, got 4',
    ],
    [
      'a class out of range',
      'GTSRB/Final_Test/GT-final_test.csv',
      `${HEADING}00000.ppm;32;32;0;0;31;31;43\n`,
      'expected class 0 to 42, got 43',
    ],
    [
      'a region outside',
      tableOf(3),
      `${HEADING}00000_00000.ppm;40;40;4;4;40;35;3\n`,
      'expected a region inside 40x40 pixels, got 4;4;40;35',
    ],
    [
      'a path',
      tableOf(3),
      `${HEADING}../../x.ppm;40;40;4;4;35;35;3\n`,
      'expected a file name like 00000_00000.ppm',
    ],
    [
      'a file that is missing',
      tableOf(3),
      `${HEADING}00000_00000.ppm;40;40;4;4;35;35;3\n${second(3)}00009_00000.ppm;40;40;4;4;35;35;3\n`,
      '00009_00000.ppm: cannot be read (ENOENT',
    ],
    [
      'a truncated picture',
      `${folderOf(3)}/00000_00000.ppm`,
      'P6 40 40 255\nabc',
      '00000_00000.ppm: expected 4800 bytes of pixels from byte 13, got 3',
    ],
  ])('refuses %s', async (_, path, content, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...files(), [path]: content });
    await expect(readGtsrb(folder)).rejects.toThrow(message);
  });

  it('tells what is missing', async () => {
    const folder = temporaryFolder();
    await expect(readGtsrb(folder)).rejects.toThrow('expected Final_Training/Images in');
    const all = files();
    delete all[tableOf(42)];
    writeFiles(folder, all);
    await expect(readGtsrb(folder)).rejects.toThrow('expected GT-00042.csv in');
  });

  it('never crashes on a damaged table', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, files());
    const bytes = Buffer.from(files()[tableOf(0)] as string);
    const { errors } = await readDamaged(bytes, bytes.length, 150, (copy) => {
      writeFiles(folder, { [tableOf(0)]: copy });
      return readGtsrb(folder);
    });
    expect(errors).toBeGreaterThan(60);
  });
});
