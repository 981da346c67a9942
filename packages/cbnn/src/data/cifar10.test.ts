import { describe, expect, it } from 'vitest';
import { readCifar10 } from './cifar10.js';
import { readDamaged } from './testing/damage.js';
import { writePickle } from './testing/pickle-writer.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

const NAMES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
const FILES = ['data_batch_1', 'data_batch_2', 'data_batch_3', 'data_batch_4', 'data_batch_5', 'test_batch'];

/** Value of a pixel of image `image` of a file: different for every place that a wrong order could confuse. */
const value = (file: number, image: number, c: number, y: number, x: number) =>
  (file * 89 + image * 41 + c * 83 + y * 7 + x * 3) & 255;

function planar(file: number, image: number): Uint8Array {
  const bytes = new Uint8Array(3072);
  for (let i = 0; i < 3072; i++) bytes[i] = value(file, image, i >> 10, (i >> 5) & 31, i & 31);
  return bytes;
}

const labelOf = (file: number, image: number) => (file * 3 + image) % 10;

function binaryFiles(folder: string): Record<string, Uint8Array | string> {
  const entries = FILES.map((name, file) => {
    const records = [0, 1].map((image) =>
      Buffer.concat([Buffer.of(labelOf(file, image)), planar(file, image)]),
    );
    return [`${folder}${name}.bin`, Buffer.concat(records)] as const;
  });
  return { ...Object.fromEntries(entries), [`${folder}batches.meta.txt`]: `${NAMES.join('\n')}\n\n` };
}

function pythonFiles(folder: string, fortran = false): Record<string, Uint8Array> {
  const entries = FILES.map((name, file) => {
    const rows = Buffer.concat([planar(file, 0), planar(file, 1)]);
    const data = fortran
      ? Uint8Array.from({ length: 6144 }, (_, i) => rows[(i % 2) * 3072 + (i >> 1)]!)
      : rows;
    const labels = [labelOf(file, 0), labelOf(file, 1)];
    const batch = {
      batch_label: name,
      labels,
      data: { shape: [2, 3072], data, fortran } as const,
      filenames: ['a.png', 'b.png'],
    };
    return [`${folder}${name}`, writePickle(batch)] as const;
  });
  const meta = writePickle({ num_cases_per_batch: 10000, label_names: NAMES, num_vis: 3072 });
  return { ...Object.fromEntries(entries), [`${folder}batches.meta`]: meta };
}

describe('CIFAR-10', () => {
  it.each([
    ['the binary version', binaryFiles('cifar-10-batches-bin/')],
    ['the binary version, its folder itself', binaryFiles('')],
    ['the Python version', pythonFiles('cifar-10-batches-py/')],
    ['the Python version, its folder itself', pythonFiles('')],
    ['the Python version with column-major arrays', pythonFiles('', true)],
  ])('is read from %s', async (_, files) => {
    const folder = temporaryFolder();
    writeFiles(folder, files);
    const dataset = await readCifar10(folder);
    expect(dataset.classes).toEqual(NAMES);
    expect(dataset.train).toMatchObject({ count: 10, height: 32, width: 32, channels: 3 });
    expect(dataset.test.count).toBe(2);
    expect([...dataset.train.labels]).toEqual([0, 1, 3, 4, 6, 7, 9, 0, 2, 3]);
    for (const [set, index, file, image] of [
      [dataset.train, 0, 0, 0],
      [dataset.train, 7, 3, 1],
      [dataset.test, 1, 5, 1],
    ] as const)
      for (const [y, x, c] of [
        [0, 0, 0],
        [0, 1, 0],
        [1, 0, 2],
        [31, 30, 1],
      ] as const)
        expect(set.pixels[((index * 32 + y) * 32 + x) * 3 + c]).toBe(value(file, image, c, y, x));
  });

  it('is split as the paper does, and may be mirrored and shifted by 4', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, binaryFiles(''));
    expect(await readCifar10(folder)).toMatchObject({
      split: 'last',
      validationShare: 0.1,
      augmentation: { mirror: true, shift: 4 },
    });
  });

  it('tells what is missing and how to get it', async () => {
    const folder = temporaryFolder();
    await expect(readCifar10(folder)).rejects.toThrow(
      /expected data_batch_1.*cbnn data get cifar10[\s\S]*cifar-10-batches-bin\/data_batch_1\.bin/,
    );
    const { 'test_batch.bin': _, ...rest } = binaryFiles('');
    writeFiles(folder, rest);
    await expect(readCifar10(folder)).rejects.toThrow('expected test_batch.bin in');
  });

  it.each<[string, Record<string, Uint8Array | string>, string]>([
    [
      'a truncated file',
      { 'data_batch_2.bin': new Uint8Array(3073 + 100) },
      'data_batch_2.bin: expected records of 3073 bytes, got 1 and 100 bytes more from byte 3073',
    ],
    ['an empty file', { 'data_batch_2.bin': new Uint8Array(0) }, 'got 0 and 0 bytes more'],
    [
      'a file with a record too few',
      { 'data_batch_2.bin': new Uint8Array(3073) },
      'data_batch_2.bin: expected 2 images, as in data_batch_1.bin, got 1',
    ],
    [
      'a label out of range',
      { 'test_batch.bin': new Uint8Array(6146).fill(10, 3073, 3074) },
      'test_batch.bin: expected a label from 0 to 9 at byte 3073, got 10',
    ],
    [
      'too few class names',
      { 'batches.meta.txt': 'cat\ndog\n' },
      'batches.meta.txt: expected 10 class names, got 2',
    ],
  ])('refuses %s', async (_, changed, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...binaryFiles(''), ...changed });
    await expect(readCifar10(folder)).rejects.toThrow(message);
  });

  it.each<[string, Uint8Array, string]>([
    ['no dictionary', writePickle([1]), 'data_batch_4: expected a dictionary'],
    [
      'another array size',
      writePickle({ data: { shape: [2, 3], data: new Uint8Array(6) }, labels: [1, 2] }),
      'expected "data" of Nx3072, got 2x3',
    ],
    [
      'too few labels',
      writePickle({ data: { shape: [2, 3072], data: new Uint8Array(6144) }, labels: [1] }),
      'a list of 2 labels',
    ],
    [
      'a label out of range',
      writePickle({ data: { shape: [1, 3072], data: new Uint8Array(3072) }, labels: [10] }),
      'expected labels from 0 to 9, got 10 for image 0',
    ],
    [
      'code',
      Buffer.from('\x80\x02cposix\nsystem\n.', 'latin1'),
      'data_batch_4: refused name "posix.system" at byte 2',
    ],
  ])('refuses a Python batch with %s', async (_, batch, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...pythonFiles(''), data_batch_4: batch });
    await expect(readCifar10(folder)).rejects.toThrow(message);
  });

  it.each([
    ['data_batch_3.bin', binaryFiles('')],
    ['batches.meta', pythonFiles('')],
    ['test_batch', pythonFiles('')],
  ])('never crashes on a damaged %s', async (name, files) => {
    const folder = temporaryFolder();
    writeFiles(folder, files);
    const { errors } = await readDamaged(files[name] as Uint8Array, 40, 40, (copy) => {
      writeFiles(folder, { [name]: copy });
      return readCifar10(folder);
    });
    expect(errors).toBeGreaterThanOrEqual(40);
  });

  it('stops when told to', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, binaryFiles(''));
    await expect(readCifar10(folder, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  });
});
