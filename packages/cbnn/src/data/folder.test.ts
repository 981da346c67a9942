import { basename } from 'node:path';
import jpeg from 'jpeg-js';
import { describe, expect, it } from 'vitest';
import { readFolder } from './folder.js';
import { plainPng, plainPpm } from './testing/pictures.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

/** `count` different pictures per class, as files below `prefix`. */
function classes(names: readonly string[], count: number, prefix = ''): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  for (const [label, name] of names.entries())
    for (let i = 0; i < count; i++)
      files[`${prefix}${name}/${i}.png`] = plainPng(label * 40, i * 5, prefix.length * 9);
  return files;
}

describe('a folder of class folders', () => {
  it('is read with sorted classes, resized, and split by class', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, classes(['wolf', 'bear', 'Ant'], 10));
    const { name, train, test, classes: names, split, augmentation } = await readFolder(folder, { size: 8 });
    expect(name).toBe(basename(folder));
    expect(names).toEqual(['Ant', 'bear', 'wolf']);
    expect(split).toBe('stratified');
    // Whether a mirrored picture keeps its label, only its owner knows.
    expect(augmentation.mirror).toBe(false);
    expect(train).toMatchObject({ count: 24, height: 8, width: 8, channels: 3 });
    for (const label of [0, 1, 2]) expect(test.labels.filter((other) => other === label)).toHaveLength(2);
    // Red tells the class a picture was written for: wolf 0, bear 40, Ant 80.
    for (const set of [train, test])
      for (let i = 0; i < set.count; i++) expect(set.pixels[i * 192]).toBe(80 - set.labels[i]! * 40);
  });

  it('is split in the same way by the same seed only', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, classes(['a', 'b'], 20));
    const test = async (seed: number) =>
      [...(await readFolder(folder, { seed, size: 1 })).test.pixels].join();
    expect(await test(1)).toBe(await test(1));
    expect(await test(1)).not.toBe(await test(2));
  });

  it('keeps identical pictures on one side, also under two names', async () => {
    const folder = temporaryFolder();
    const files = classes(['a', 'b'], 12);
    for (let i = 0; i < 6; i++) {
      files[`a/copy${i}.png`] = files[`a/${i}.png`]!;
      files[`b/copy${i}.ppm`] = plainPpm(4, 4, 200 + i);
      files[`a/twin${i}.ppm`] = plainPpm(2, 2, 200 + i);
    }
    writeFiles(folder, files);
    const { train, test } = await readFolder(folder, { size: 4, testShare: 0.4 });
    expect(train.count + test.count).toBe(42);
    const trained = new Set(train.groups);
    expect(test.groups!.length).toBeGreaterThan(8);
    expect(test.groups!.some((group) => trained.has(group))).toBe(false);
  });

  it('may hold train and test', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, {
      ...classes(['a', 'b'], 3, 'train/'),
      ...classes(['a', 'b'], 1, 'test/'),
      'train/.DS_Store': 'x',
    });
    const { train, test } = await readFolder(folder);
    expect([...train.labels]).toEqual([0, 0, 0, 1, 1, 1]);
    expect([...test.labels]).toEqual([0, 1]);
    expect(train.groups).toBeUndefined();
    expect(train.width).toBe(32);
  });

  it('takes PNG, JPEG and PPM, and leaves dot files alone', async () => {
    const folder = temporaryFolder();
    const photo = (value: number) =>
      jpeg.encode({ width: 8, height: 8, data: new Uint8Array(4 * 64).fill(value) }, 95).data;
    writeFiles(folder, {
      'a/1.JPG': photo(120),
      'a/2.ppm': plainPpm(3, 9, 1),
      'b/1.jpeg': photo(60),
      'b/2.PNG': plainPng(1, 2, 3),
      'b/.hidden': 'x',
      '.git/x': 'y',
    });
    const { train, test } = await readFolder(folder, { testShare: 0.5 });
    expect(train.count + test.count).toBe(4);
  });

  it.each<[string, Record<string, Uint8Array | string>, string | RegExp]>([
    [
      'other files among the pictures',
      { 'a/notes.txt': 'x', 'a/b.gif': 'x' },
      /a: expected only PNG, JPEG and PPM files, got b\.gif, notes\.txt; move them elsewhere/,
    ],
    [
      'many other files',
      Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`a/${i}.txt`, ''])),
      'got 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more',
    ],
    [
      'folders in class folders',
      { 'a/deep/1.png': plainPng(1, 1, 1) },
      'expected only PNG, JPEG and PPM files, got deep',
    ],
    ['files beside the class folders', { 'labels.csv': 'x' }, 'expected only class folders, got labels.csv'],
    [
      'a damaged picture',
      { 'b/3.png': 'no picture' },
      /b.3\.png: expected a PNG, JPEG or P6 PPM picture, got bytes 6e6f207069637475/,
    ],
    [
      'a class of one picture',
      { 'c/1.png': plainPng(1, 1, 1) },
      'class "c": expected at least 2 different pictures',
    ],
    [
      'a class of equal pictures',
      { 'c/1.png': plainPng(1, 1, 1), 'c/2.png': plainPng(1, 1, 1) },
      'class "c": expected at least 2 different pictures',
    ],
  ])('is refused with %s', async (_, files, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...classes(['a', 'b'], 3), ...files });
    await expect(readFolder(folder)).rejects.toThrow(message);
  });

  it('is refused with one class, an empty class or unequal classes', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, classes(['a'], 3));
    await expect(readFolder(folder)).rejects.toThrow('expected a folder per class, two or more, got 1');
    writeFiles(folder, { 'b/.keep': '' });
    await expect(readFolder(folder)).rejects.toThrow('expected pictures of a class, got an empty folder');
    const other = temporaryFolder();
    writeFiles(other, { ...classes(['a', 'b'], 2, 'train/'), ...classes(['a', 'c'], 2, 'test/') });
    await expect(readFolder(other)).rejects.toThrow(
      'expected the same classes in train and test, got a, b and a, c',
    );
    writeFiles(other, { 'extra/x': '' });
    await expect(readFolder(other)).rejects.toThrow('expected only train and test, got extra');
  });

  it.each([
    [{ size: 0 }, 'size: expected'],
    [{ size: 2.5 }, 'size: expected'],
    [{ testShare: 1 }, 'test share: expected'],
  ])('refuses the options %j', async (options, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, classes(['a', 'b'], 3));
    await expect(readFolder(folder, options)).rejects.toThrow(message);
  });
});
