import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { matArrays } from './mat5.js';
import { splitValidation } from './split.js';
import { svhn, svhnExtra } from './svhn.js';
import { readDamaged } from './testing/damage.js';
import { type ArrayToWrite, writeMat5 } from './testing/mat5-writer.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

const value = (image: number, y: number, x: number, c: number) =>
  (image * 101 + y * 7 + x * 3 + c * 59) & 255;

/** X of `count` images, column-major: y fastest, then x, c, image. */
function columnMajor(count: number, first = 0): Uint8Array {
  const bytes = new Uint8Array(count * 3072);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = value(first + Math.floor(i / 3072), i & 31, (i >> 5) & 31, (i >> 10) % 3);
  return bytes;
}

const X = (count: number, first = 0): ArrayToWrite => ({
  name: 'X',
  dimensions: [32, 32, 3, count],
  values: columnMajor(count, first),
});
const y = (...labels: number[]): ArrayToWrite => ({
  name: 'y',
  dimensions: [labels.length, 1],
  values: Uint8Array.from(labels),
  class: 6,
});

const readSvhn = (folder: string) => svhn.read(folder, {});

const good = () => ({
  'train_32x32.mat': writeMat5([X(3), y(1, 10, 9)]),
  'test_32x32.mat': writeMat5([X(2, 50), y(4, 5)]),
});

describe('SVHN', () => {
  it.each([
    ['compressed', true],
    ['plain', false],
  ])('is read from %s files', async (_, compressed) => {
    const folder = temporaryFolder();
    writeFiles(folder, {
      'train_32x32.mat': writeMat5([X(3), y(1, 10, 9)], compressed),
      'test_32x32.mat': writeMat5(
        [y(4, 5), { name: 'note', dimensions: [1, 1], values: Float64Array.of(3), class: 6 }, X(2, 50)],
        compressed,
      ),
    });
    const { train, test, classes } = await readSvhn(folder);
    expect(classes).toEqual([...'0123456789']);
    expect([...train.labels]).toEqual([1, 0, 9]);
    expect([...test.labels]).toEqual([4, 5]);
    for (const [set, index, first] of [
      [train, 0, 0],
      [train, 2, 0],
      [test, 1, 50],
    ] as const)
      for (const [row, column, c] of [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 2],
        [30, 31, 1],
      ] as const)
        expect(set.pixels[((index * 32 + row) * 32 + column) * 3 + c]).toBe(
          value(first + index, row, column, c),
        );
  });

  it('has its extra images, behind the training images, in the data set svhn-extra only', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...good(), 'extra_32x32.mat': writeMat5([X(2, 20), y(7, 8)]) });
    const { name, train, test } = await svhnExtra.read(folder, {});
    expect(name).toBe('svhn-extra');
    expect([...train.labels]).toEqual([1, 0, 9, 7, 8]);
    expect(train.pixels.subarray(0, 3 * 3072)).toEqual((await readSvhn(folder)).train.pixels);
    expect(train.pixels[3 * 3072]).toBe(value(20, 0, 0, 0));
    expect([...test.labels]).toEqual([4, 5]);
  });

  it('with extra images still gives whole blocks of the order to validation', async () => {
    const folder = temporaryFolder();
    const ones = (count: number) => y(...new Array<number>(count).fill(1));
    writeFiles(folder, {
      ...good(),
      'train_32x32.mat': writeMat5([X(60), ones(60)]),
      'extra_32x32.mat': writeMat5([X(140, 60), ones(140)]),
    });
    const dataset = await svhnExtra.read(folder, {});
    const { validation } = splitValidation(dataset, { seed: 1, count: 40 });
    // Ten blocks of four neighbours: the first pixel of an image tells its number (101 has an inverse modulo 256).
    const first = Array.from({ length: 40 }, (_, i) => validation.pixels[i * 3072]!);
    const number = new Map(Array.from({ length: 200 }, (_, i) => [value(i, 0, 0, 0), i]));
    const numbers = first.map((pixel) => number.get(pixel)!);
    for (let i = 0; i < 40; i += 4) {
      expect(numbers[i]! % 4).toBe(0);
      expect(numbers.slice(i, i + 4)).toEqual([0, 1, 2, 3].map((k) => numbers[i]! + k));
    }
    expect(numbers.at(-1)).toBeGreaterThan(60);
  });

  it('tells how to get the extra images where they are missing', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, good());
    await expect(svhnExtra.read(folder, {})).rejects.toThrow(
      /expected extra_32x32\.mat in .*`cbnn data get svhn-extra`/,
    );
  });

  it('reads labels of any stored type', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, {
      ...good(),
      'test_32x32.mat': writeMat5([
        X(2),
        { name: 'y', dimensions: [2, 1], values: Float64Array.of(10, 3), class: 6 },
      ]),
    });
    expect([...(await readSvhn(folder)).test.labels]).toEqual([0, 3]);
  });

  it('says how many images a truncated file holds', async () => {
    const folder = temporaryFolder();
    const whole = good()['train_32x32.mat'];
    const plain = writeMat5([X(3), y(1, 10, 9)], false);
    writeFiles(folder, { ...good(), 'train_32x32.mat': plain.slice(0, 128 + 80 + 3072 + 500) });
    await expect(readSvhn(folder)).rejects.toThrow(
      /train_32x32\.mat: expected 3 images \(9216 bytes of X\), got 1 \(\d+ bytes\) at byte 3780/,
    );
    writeFiles(folder, { 'train_32x32.mat': whole.slice(0, whole.length / 2) });
    await expect(readSvhn(folder)).rejects.toThrow(
      /expected 3 images .*got \d .* at byte \d+; the file is truncated/,
    );
  });

  it.each<[string, Uint8Array, string]>([
    ['no MATLAB file', Buffer.alloc(200, 0x41), 'expected a little-endian MATLAB 5 file'],
    ['a file of 10 bytes', Buffer.alloc(10), 'expected 128 bytes at byte 0, got 10'],
    [
      'another image size',
      writeMat5([{ name: 'X', dimensions: [16, 16, 3, 1], values: new Uint8Array(768) }]),
      'expected X of 32x32x3xN, got 16x16x3x1',
    ],
    ['no X', writeMat5([y(1)]), 'expected an array named X, found none'],
    ['no y', writeMat5([X(1)]), 'expected an array named y, found none'],
    ['a label 0', writeMat5([X(2), y(1, 0)]), 'expected labels from 1 to 10, got 0 for image 1'],
    ['a label 11', writeMat5([X(2), y(11, 1)]), 'expected labels from 1 to 10, got 11 for image 0'],
    ['too few labels', writeMat5([X(2), y(1)]), 'as many labels as images, 2, got 1'],
    [
      'a cell array',
      writeMat5([{ ...X(1), class: 1 }]),
      'expected a real array of class 6 (double) or 9 (uint8), got class 1',
    ],
    [
      'X of doubles',
      writeMat5([{ name: 'X', dimensions: [32, 32, 3, 1], values: new Float64Array(3072) }, y(1)]),
      'expected X to be stored as uint8',
    ],
  ])('refuses %s', async (_, train, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...good(), 'train_32x32.mat': train });
    await expect(readSvhn(folder)).rejects.toThrow(message);
  });

  it('names the byte of an element that is no array', async () => {
    const folder = temporaryFolder();
    const bytes = writeMat5([X(1), y(1)], false);
    bytes[128] = 77;
    writeFiles(folder, { ...good(), 'train_32x32.mat': bytes });
    await expect(readSvhn(folder)).rejects.toThrow(
      'expected an array at byte 128, got an element of type 77',
    );
  });

  it('does not allocate what a small file cannot hold', async () => {
    const folder = temporaryFolder();
    const bytes = writeMat5(
      [{ name: 'X', dimensions: [32, 32, 3, 1_000_000], values: new Uint8Array(16) }],
      false,
    );
    // The count of bytes of the values, just before them, as it would be for a million images.
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(bytes.length - 20, 3_072_000_000, true);
    writeFiles(folder, { ...good(), 'train_32x32.mat': bytes });
    await expect(readSvhn(folder)).rejects.toThrow('expected 1000000 images, but');
  });

  it.each([
    ['compressed', true],
    ['plain', false],
  ])('never crashes on damaged %s files', async (_, compressed) => {
    const folder = temporaryFolder();
    writeFiles(folder, good());
    const bytes = writeMat5([y(1, 2), X(2)], compressed);
    const { errors } = await readDamaged(bytes, 60, 150, (copy) => {
      writeFiles(folder, { 'train_32x32.mat': copy });
      return readSvhn(folder);
    });
    expect(errors).toBeGreaterThanOrEqual(60);
  });

  it('may leave arrays unread', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, good());
    const names: string[] = [];
    for await (const array of matArrays(join(folder, 'train_32x32.mat')))
      names.push(`${array.name} ${array.dimensions.join('x')}`);
    expect(names).toEqual(['X 32x32x3x3', 'y 3x1']);
  });
});
