import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { fashionMnist, mnist, readIdx } from './idx.js';
import { readDamaged } from './testing/damage.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

function idx(dimensions: readonly number[], values: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + dimensions.length * 4);
  header[2] = 8;
  header[3] = dimensions.length;
  for (const [i, side] of dimensions.entries()) header.writeUInt32BE(side, 4 + i * 4);
  return Buffer.concat([header, values]);
}

const count = (length: number) => Uint8Array.from({ length }, (_, i) => i);

const good = (): Record<string, Uint8Array> => ({
  'train-images-idx3-ubyte': idx([3, 2, 4], count(24)),
  'train-labels-idx1-ubyte': idx([3], Uint8Array.of(9, 0, 4)),
  't10k-images-idx3-ubyte': idx([1, 2, 4], count(8)),
  't10k-labels-idx1-ubyte': idx([1], Uint8Array.of(7)),
});

describe('MNIST', () => {
  it.each<[string, (file: [string, Uint8Array]) => [string, Uint8Array]]>([
    ['plain files', (file) => file],
    ['gzipped files', ([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]],
    ['files with dots in their names', ([name, bytes]) => [name.replace('-idx', '.idx'), bytes]],
  ])('is read from %s', async (_, change) => {
    const folder = temporaryFolder();
    writeFiles(folder, Object.fromEntries(Object.entries(good()).map(change)));
    const { train, test, classes } = await mnist.read(folder, {});
    expect(classes).toHaveLength(10);
    expect(train).toMatchObject({ count: 3, height: 2, width: 4, channels: 1 });
    expect([...train.labels]).toEqual([9, 0, 4]);
    expect([...train.pixels]).toEqual([...count(24)]);
    expect([...test.labels]).toEqual([7]);
  });

  it('may have colours (idx4)', async () => {
    const folder = temporaryFolder();
    const { 'train-images-idx3-ubyte': _, 't10k-images-idx3-ubyte': __, ...labels } = good();
    writeFiles(folder, {
      ...labels,
      'train-images-idx4-ubyte': idx([3, 1, 2, 3], count(18)),
      't10k-images-idx4-ubyte': idx([1, 1, 2, 3], count(6)),
    });
    expect((await fashionMnist.read(folder, {})).train).toMatchObject({ height: 1, width: 2, channels: 3 });
  });

  it.each<[string, Record<string, Uint8Array>, string]>([
    [
      'a label out of range',
      { 'train-labels-idx1-ubyte': idx([3], Uint8Array.of(1, 10, 2)) },
      'train-labels-idx1-ubyte: expected labels from 0 to 9, got 10 at byte 9',
    ],
    [
      'too few labels',
      { 'train-labels-idx1-ubyte': idx([2], Uint8Array.of(1, 2)) },
      'expected 3 labels, one per image, got 2',
    ],
    [
      'truncated images',
      { 'train-images-idx3-ubyte': idx([3, 2, 4], count(20)) },
      'expected 24 values (3x2x4) from byte 16, got 20; the file is truncated',
    ],
    [
      'images too many',
      { 'train-images-idx3-ubyte': idx([3, 2, 4], count(25)) },
      'got 25; the file is too long',
    ],
    [
      'no image',
      { 't10k-images-idx3-ubyte': idx([0, 2, 4], count(0)) },
      'expected images (3 or 4 dimensions, none 0), got 0x2x4',
    ],
    [
      'images of rank 2',
      { 't10k-images-idx3-ubyte': idx([2, 4], count(8)) },
      'expected images (3 or 4 dimensions, none 0), got 2x4',
    ],
    [
      'test images of another size',
      { 't10k-images-idx3-ubyte': idx([1, 4, 2], count(8)) },
      'expected test images of 2x4x1, as the training images, got 4x2x1',
    ],
    [
      'an empty file',
      { 't10k-images-idx3-ubyte': new Uint8Array(0) },
      'expected an IDX header of 4 bytes, got 0',
    ],
    [
      'floats',
      { 't10k-images-idx3-ubyte': Uint8Array.of(0, 0, 13, 3, 0, 0, 0, 0) },
      'expected the IDX header 00 00 08 (uint8) and a rank at byte 0, got 00000d03',
    ],
    [
      'half a gzip file',
      { 't10k-images-idx3-ubyte': gzipSync(count(100)).slice(0, 40) },
      'cannot be unpacked (unexpected end of file)',
    ],
  ])('refuses %s', async (_, changed, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { ...good(), ...changed });
    await expect(mnist.read(folder, {})).rejects.toThrow(message);
  });

  it('tells what is missing', async () => {
    const folder = temporaryFolder();
    await expect(fashionMnist.read(folder, {})).rejects.toThrow(
      /Fashion-MNIST: expected train-images-idx3-ubyte in .*cbnn data get fashion-mnist/,
    );
  });

  it('never crashes on damaged files', async () => {
    const bytes = idx([3, 2, 4], count(24));
    const plain = await readDamaged(bytes, bytes.length, 500, (copy) => readIdx(copy, 'x'));
    expect(plain.errors).toBeGreaterThan(bytes.length);
    const packed = gzipSync(bytes);
    const { errors } = await readDamaged(packed, packed.length, 500, (copy) => readIdx(copy, 'x'));
    expect(errors).toBeGreaterThan(packed.length);
  });
});
