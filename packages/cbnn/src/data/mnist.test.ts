import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { fashionMnist, isIdxFolder, mnist, readIdxFolder } from './mnist.js';
import { counting, idxFiles, writeIdx } from './testing/idx-writer.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

describe('MNIST', () => {
  it.each<[string, (file: [string, Uint8Array]) => [string, Uint8Array]]>([
    ['plain files', (file) => file],
    ['gzipped files', ([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]],
    ['files with dots in their names', ([name, bytes]) => [name.replace('-idx', '.idx'), bytes]],
  ])('is read from %s', async (_, change) => {
    const folder = temporaryFolder();
    writeFiles(folder, Object.fromEntries(Object.entries(idxFiles()).map(change)));
    const { train, test, classes } = await mnist.read(folder, {});
    expect(classes).toHaveLength(10);
    expect(train).toMatchObject({ count: 3, height: 2, width: 4, channels: 1 });
    expect([...train.labels]).toEqual([9, 0, 4]);
    expect([...train.pixels]).toEqual([...counting(24)]);
    expect([...test.labels]).toEqual([4]);
  });

  it('may have colours (idx4)', async () => {
    const folder = temporaryFolder();
    const { 'train-images-idx3-ubyte': _, 't10k-images-idx3-ubyte': __, ...labels } = idxFiles();
    writeFiles(folder, {
      ...labels,
      'train-images-idx4-ubyte': writeIdx([3, 1, 2, 3], counting(18)),
      't10k-images-idx4-ubyte': writeIdx([1, 1, 2, 3], counting(6)),
    });
    expect((await fashionMnist.read(folder, {})).train).toMatchObject({ height: 1, width: 2, channels: 3 });
  });

  it.each<[string, Record<string, Uint8Array>, string]>([
    [
      'a label out of range',
      { 'train-labels-idx1-ubyte': writeIdx([3], Uint8Array.of(1, 10, 2)) },
      'train-labels-idx1-ubyte: expected labels from 0 to 9, got 10 at byte 9',
    ],
    [
      'too few labels',
      { 'train-labels-idx1-ubyte': writeIdx([2], Uint8Array.of(1, 2)) },
      'expected 3 labels, one per image, got 2',
    ],
    [
      'no image',
      { 't10k-images-idx3-ubyte': writeIdx([0, 2, 4], counting(0)) },
      'expected images (3 or 4 dimensions, none 0), got 0x2x4',
    ],
    [
      'images of rank 2',
      { 't10k-images-idx3-ubyte': writeIdx([2, 4], counting(8)) },
      'expected images (3 or 4 dimensions, none 0), got 2x4',
    ],
    [
      'test images of another size',
      { 't10k-images-idx3-ubyte': writeIdx([1, 4, 2], counting(8)) },
      'expected test images of 2x4x1, as the training images, got 4x2x1',
    ],
  ])('refuses %s', async (_, changed, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...idxFiles(), ...changed });
    await expect(mnist.read(folder, {})).rejects.toThrow(message);
  });

  it('tells what is missing', async () => {
    const folder = temporaryFolder();
    await expect(fashionMnist.read(folder, {})).rejects.toThrow(
      /Fashion-MNIST: expected train-images-idx3-ubyte in .*cbnn data get fashion-mnist/,
    );
  });
});

describe('a folder of IDX files', () => {
  it('is recognised by any of them, and not by others', () => {
    const folder = temporaryFolder();
    writeFiles(folder, { 'labels-idx1-ubyte': '', 'train-images-idx2-ubyte': '', 'train/x.png': '' });
    expect(isIdxFolder(folder)).toBe(false);
    for (const name of ['t10k-labels.idx1-ubyte.gz', 'train-images-idx4-ubyte']) {
      const other = temporaryFolder();
      writeFiles(other, { [name]: '' });
      expect(isIdxFolder(other)).toBe(true);
    }
  });

  it.each([
    ['plain', ''],
    ['gzipped', '.gz'],
  ])('is read from %s files, a class for each label that occurs', async (_, suffix) => {
    const folder = temporaryFolder();
    for (const [name, bytes] of Object.entries(idxFiles()))
      writeFiles(folder, { [name + suffix]: suffix ? gzipSync(bytes) : bytes });
    const { name, title, classes, train, test } = await readIdxFolder(folder);
    expect([name, title]).toEqual([basename(folder), basename(folder)]);
    expect(classes).toEqual(['0', '4', '9']);
    expect([...train.labels]).toEqual([2, 0, 1]);
    expect([...test.labels]).toEqual([1]);
    expect([...train.pixels]).toEqual([...counting(24)]);
    expect(train.groups).toBeUndefined();
  });

  it('keeps identical pictures together in a split', async () => {
    const folder = temporaryFolder();
    const twins = Uint8Array.of(...counting(8), ...new Uint8Array(8), ...counting(8));
    writeFiles(folder, { ...idxFiles(), 'train-images-idx3-ubyte': writeIdx([3, 2, 4], twins) });
    expect([...(await readIdxFolder(folder)).train.groups!]).toEqual([0, 1, 0]);
  });

  it('is refused without one of the files, with one class, or with a class to test only', async () => {
    const folder = temporaryFolder();
    const { 't10k-labels-idx1-ubyte': _, ...three } = idxFiles();
    writeFiles(folder, three);
    await expect(readIdxFolder(folder)).rejects.toThrow(
      `${folder}: expected t10k-labels-idx1-ubyte beside the other IDX files`,
    );
    writeFiles(folder, { ...idxFiles(), 't10k-labels-idx1-ubyte': writeIdx([1], Uint8Array.of(7)) });
    await expect(readIdxFolder(folder)).rejects.toThrow('got label 7 for test image 0');
    writeFiles(folder, { ...idxFiles(), 'train-labels-idx1-ubyte': writeIdx([3], Uint8Array.of(4, 4, 4)) });
    await expect(readIdxFolder(folder)).rejects.toThrow(
      'expected two classes or more, got only label 4 in training',
    );
  });
});
