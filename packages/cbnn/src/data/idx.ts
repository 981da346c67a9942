/**
 * The IDX format of MNIST and its relatives: two zero bytes, a type (8 = uint8), the number of dimensions, the
 * dimensions as big-endian 32-bit integers, then the values, last axis fastest. Images are [N][height][width] or, in
 * colour, [N][height][width][channels]; labels are [N]. Files may be gzipped.
 * Source: http://yann.lecun.com/exdb/mnist/ (section "File formats").
 */
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { dataError } from '@cbnn/runtime';
import type { Dataset, ImageSet } from './dataset.js';
import { forEachFile, isFile, missingFiles, readBytes, reason, shortPath } from './files.js';
import type { DatasetSource, OfficialFile, ReadOptions } from './source.js';

const UINT8 = 8;

/** An array of an IDX file. */
export interface IdxArray {
  readonly dimensions: readonly number[];
  readonly values: Uint8Array;
}

/** Reads an IDX file, gzipped or not. Throws a data error, with the byte offset, for a wrong header or length. */
export function readIdx(file: Uint8Array, name: string): IdxArray {
  const bytes = file[0] === 0x1f && file[1] === 0x8b ? gunzip(file, name) : file;
  if (bytes.length < 4)
    throw dataError(`${name}: expected an IDX header of 4 bytes, got ${bytes.length}; the file is truncated`);
  const [zero0, zero1, type, rank] = bytes;
  if (zero0 !== 0 || zero1 !== 0 || type !== UINT8 || rank === 0)
    throw dataError(
      `${name}: expected the IDX header 00 00 08 (uint8) and a rank at byte 0, got ${Buffer.from(bytes.subarray(0, 4)).toString('hex')}`,
    );
  const start = 4 + rank! * 4;
  if (bytes.length < start)
    throw dataError(
      `${name}: expected ${rank} dimensions up to byte ${start}, got ${bytes.length} bytes; the file is truncated`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, start);
  const dimensions = Array.from({ length: rank! }, (_, i) => view.getUint32(4 + i * 4));
  const count = dimensions.reduce((product, side) => product * side, 1);
  if (bytes.length - start !== count)
    throw dataError(
      `${name}: expected ${count} values (${dimensions.join('x')}) from byte ${start}, got ${bytes.length - start}; ` +
        `the file is ${bytes.length - start < count ? 'truncated' : 'too long'}`,
    );
  return { dimensions, values: bytes.subarray(start) };
}

function gunzip(file: Uint8Array, name: string): Uint8Array {
  try {
    return gunzipSync(file);
  } catch (error) {
    throw dataError(`${name}: cannot be unpacked (${reason(error)}); the file is damaged or truncated`);
  }
}

/** The path of `<stem>-images-idx3-ubyte` in one of the spellings in use. */
function findFile(source: DatasetSource, folder: string, stem: string, ranks: readonly number[]): string {
  for (const rank of ranks)
    for (const separator of ['-', '.'])
      for (const suffix of ['', '.gz']) {
        const path = join(folder, `${stem}${separator}idx${rank}-ubyte${suffix}`);
        if (isFile(path)) return path;
      }
  throw missingFiles(source, folder, `${stem}-idx${ranks[0]}-ubyte`);
}

function readSet(imageFile: string, labelFile: string, classes: number): ImageSet {
  const images = readIdx(readBytes(imageFile), shortPath(imageFile));
  const labels = readIdx(readBytes(labelFile), shortPath(labelFile));
  const [count = 0, height = 0, width = 0, channels = 1, ...rest] = images.dimensions;
  if (images.dimensions.length < 3 || rest.length > 0 || count < 1 || height < 1 || width < 1 || channels < 1)
    throw dataError(
      `${shortPath(imageFile)}: expected images (3 or 4 dimensions, none 0), got ${images.dimensions.join('x')}`,
    );
  if (labels.dimensions.length !== 1 || labels.values.length !== count)
    throw dataError(
      `${shortPath(labelFile)}: expected ${count} labels, one per image, got ${labels.dimensions.join('x')}`,
    );
  const wrong = labels.values.findIndex((label) => label >= classes);
  if (wrong >= 0)
    throw dataError(
      `${shortPath(labelFile)}: expected labels from 0 to ${classes - 1}, got ${labels.values[wrong]} at byte ${8 + wrong}; the file is damaged`,
    );
  return { count, height, width, channels, pixels: images.values, labels: Uint16Array.from(labels.values) };
}

async function readMnist(
  source: DatasetSource,
  classes: readonly string[],
  folder: string,
  options: ReadOptions,
): Promise<Dataset> {
  const paths = ['train', 't10k'].map((part) => ({
    images: findFile(source, folder, `${part}-images`, [3, 4]),
    labels: findFile(source, folder, `${part}-labels`, [1]),
  }));
  const sets: ImageSet[] = [];
  await forEachFile(paths, `reading ${source.title}`, options, ({ images, labels }) => {
    sets.push(readSet(images, labels, classes.length));
  });
  const [train, test] = sets as [ImageSet, ImageSet];
  if (train.height !== test.height || train.width !== test.width || train.channels !== test.channels)
    throw dataError(
      `${source.title}: expected test images of ${train.height}x${train.width}x${train.channels}, as the training images, ` +
        `got ${test.height}x${test.width}x${test.channels}`,
    );
  return {
    name: source.name,
    title: source.title,
    classes,
    train,
    test,
    split: 'stratified',
    validationShare: 0.1,
    augmentation: { mirror: false, shift: 2 },
  };
}

/** A data set of the four IDX files that MNIST has. */
function idxSource(
  about: Pick<DatasetSource, 'name' | 'title' | 'description' | 'licence'>,
  classes: readonly string[],
  files: readonly OfficialFile[],
): DatasetSource {
  const source: DatasetSource = {
    ...about,
    files,
    layout: [
      'train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte',
      '(with or without .gz; idx4 for colour)',
    ].join('\n'),
    sortedByClass: false,
    read: (folder, options) => readMnist(source, classes, folder, options),
  };
  return source;
}

const gz = (base: string, file: string, md5: string): OfficialFile => ({
  url: `${base}/${file}.gz`,
  size: null,
  md5,
  unpack: 'none',
  into: '',
});

const MNIST_BASE = 'https://ossci-datasets.s3.amazonaws.com/mnist';
const FASHION_BASE = 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com';

export const mnist = idxSource(
  {
    name: 'mnist',
    title: 'MNIST',
    description: '60,000 + 10,000 handwritten digits, 28x28, grey',
    licence: 'Yann LeCun, Corinna Cortes and Christopher J. C. Burges; free to use',
  },
  [...'0123456789'],
  [
    gz(MNIST_BASE, 'train-images-idx3-ubyte', 'f68b3c2dcbeaaa9fbdd348bbdeb94873'),
    gz(MNIST_BASE, 'train-labels-idx1-ubyte', 'd53e105ee54ea40749a09fcbcd1e9432'),
    gz(MNIST_BASE, 't10k-images-idx3-ubyte', '9fb629c4189551a2d022fa330f9573f3'),
    gz(MNIST_BASE, 't10k-labels-idx1-ubyte', 'ec29112dd5afa0611ce80d1b7f02629c'),
  ],
);

export const fashionMnist = idxSource(
  {
    name: 'fashion-mnist',
    title: 'Fashion-MNIST',
    description: '60,000 + 10,000 pictures of clothes in ten classes, 28x28, grey',
    licence: 'Zalando SE, 2017; MIT licence',
  },
  ['T-shirt/top', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot'],
  [
    gz(FASHION_BASE, 'train-images-idx3-ubyte', '8d4fb7e6c68d591d4c3dfef9ec88bf0d'),
    gz(FASHION_BASE, 'train-labels-idx1-ubyte', '25c81989df183df01b3e8a0aad5dffbe'),
    gz(FASHION_BASE, 't10k-images-idx3-ubyte', 'bef4ecab320f06d8554ea6380940ec79'),
    gz(FASHION_BASE, 't10k-labels-idx1-ubyte', 'bb300cfdad3c16e7a12a480ee83cd310'),
  ],
);
