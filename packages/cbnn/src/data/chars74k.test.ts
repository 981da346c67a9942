import { describe, expect, it } from 'vitest';
import { CHARS74K_CLASSES, readChars74k } from './chars74k.js';
import { plainPng, writePng } from './testing/pictures.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

const sample = (part: string, label: number) =>
  `English/Img/${part}/Bmp/Sample${String(label + 1).padStart(3, '0')}`;

/** Five good pictures of each character and two bad ones; red tells the class, blue the part. */
function files(): Record<string, Uint8Array | string> {
  const all: Record<string, Uint8Array> = {};
  for (const label of CHARS74K_CLASSES.keys()) {
    const id = String(label + 1).padStart(3, '0');
    for (let i = 1; i <= 5; i++)
      all[`${sample('GoodImg', label)}/img${id}-0000${i}.png`] = plainPng(label, i, 0);
    for (let i = 1; i <= 2; i++)
      all[`${sample('BadImag', label)}/img${id}-0000${i}.png`] = plainPng(label, i, 1);
  }
  return all;
}

describe('Chars74K', () => {
  it('is read with 62 classes from both parts', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, files());
    const { train, test, classes } = await readChars74k(folder);
    expect(classes.join('')).toBe('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz');
    expect(train.count + test.count).toBe(62 * 7);
    expect(Math.abs(test.count - 62 * 1.4)).toBeLessThan(2);
    for (const set of [train, test]) {
      expect(new Set(set.labels).size).toBe(62);
      for (let i = 0; i < set.count; i++) expect(set.pixels[i * 3072]).toBe(set.labels[i]);
    }
  });

  it('is read without the bad pictures on request', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, files());
    const { train, test } = await readChars74k(folder, { quality: 'good' });
    expect(train.count + test.count).toBe(62 * 5);
    expect(train.pixels.some((value, i) => i % 3 === 2 && value === 1)).toBe(false);
  });

  it('keeps twins on one side, even under two labels', async () => {
    const folder = temporaryFolder();
    const twin = writePng({ width: 3, height: 5, color: () => [250, 9, 9, 255] });
    writeFiles(folder, {
      ...files(),
      [`${sample('GoodImg', 1)}/img002-00006.png`]: twin,
      [`${sample('BadImag', 14)}/img015-00009.png`]: twin,
    });
    for (const seed of [1, 2, 3]) {
      const { train, test } = await readChars74k(folder, { seed });
      const twins = [train, test].map(
        (set) => set.labels.filter((_, i) => set.pixels[i * 3072] === 250).length,
      );
      expect(twins.sort()).toEqual([0, 2]);
      const groups = new Set(train.groups);
      expect(test.groups!.some((group) => groups.has(group))).toBe(false);
    }
  });

  it('tells what is missing or does not belong', async () => {
    const folder = temporaryFolder();
    await expect(readChars74k(folder)).rejects.toThrow(/expected Sample001 in .*cbnn data get chars74k/);
    writeFiles(folder, { ...files(), [`${sample('BadImag', 3)}/notes.doc`]: 'x' });
    await expect(readChars74k(folder)).rejects.toThrow('got notes.doc');
  });
});
