/**
 * CIFAR-10 as published: 50,000 training and 10,000 test images of 32x32 RGB in ten classes. Two of its three versions
 * are read: `bin` (records of a label byte and 3072 pixel bytes) and `python` (pickled dictionaries). In both, an image
 * is planar: 1024 red values, row by row, then green, then blue.
 * Source: https://www.cs.toronto.edu/~kriz/cifar.html
 */
import { join } from 'node:path';
import { dataError } from '@cbnn/runtime';
import type { Dataset, ImageSet } from './dataset.js';
import { forEachFile, isFile, missingFiles, readBytes, readText, shortPath } from './files.js';
import { isKind, latin1, readPickle } from './pickle.js';
import type { DatasetSource, ReadOptions } from './source.js';

const SIDE = 32;
const PLANE = SIDE * SIDE;
const PIXELS = PLANE * 3;
const RECORD = 1 + PIXELS;
const CLASSES = 10;

const TRAIN_BATCHES = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`);

/** One file's images: labels and planar pixels. */
interface Batch {
  readonly labels: Uint8Array;
  /** `[count][3][32][32]`, or the records themselves with their label bytes */
  readonly planar: Uint8Array;
  /** bytes from one image's pixels to the next one's */
  readonly stride: number;
  /** offset of the first image's pixels */
  readonly offset: number;
}

function readBinaryBatch(path: string): Batch {
  const name = shortPath(path);
  const bytes = readBytes(path);
  const count = Math.floor(bytes.length / RECORD);
  if (count === 0 || bytes.length % RECORD !== 0)
    throw dataError(
      `${name}: expected records of ${RECORD} bytes, got ${count} and ${bytes.length - count * RECORD} bytes more from byte ${count * RECORD}; ` +
        'the file is truncated or not of the binary version',
    );
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const label = bytes[i * RECORD]!;
    if (label >= CLASSES)
      throw dataError(
        `${name}: expected a label from 0 to 9 at byte ${i * RECORD}, got ${label}; the file is damaged`,
      );
    labels[i] = label;
  }
  return { labels, planar: bytes, stride: RECORD, offset: 1 };
}

/** `[3][32][32]` to `[32][32][3]`. */
function interleave(planar: Uint8Array, from: number, pixels: Uint8Array, to: number): void {
  for (let i = 0; i < PLANE; i++)
    for (let c = 0; c < 3; c++) pixels[to + i * 3 + c] = planar[from + c * PLANE + i]!;
}

function joinBatches(batches: readonly Batch[]): ImageSet {
  const count = batches.reduce((sum, batch) => sum + batch.labels.length, 0);
  const pixels = new Uint8Array(count * PIXELS);
  const labels = new Uint16Array(count);
  let at = 0;
  for (const batch of batches)
    for (const [i, label] of batch.labels.entries()) {
      interleave(batch.planar, batch.offset + i * batch.stride, pixels, at * PIXELS);
      labels[at++] = label;
    }
  return { count, height: SIDE, width: SIDE, channels: 3, pixels, labels };
}

/** A batch of the Python version: a dictionary with `data`, a uint8 array [count][3072], and a list of `labels`. */
function readPythonBatch(path: string): Batch {
  const name = shortPath(path);
  const root = readPickle(readBytes(path), name);
  const fail = (problem: string) => dataError(`${name}: ${problem}; the file is no CIFAR-10 batch`);
  if (!(root instanceof Map)) throw fail('expected a dictionary');
  const data = root.get('data');
  const list = root.get('labels');
  if (!isKind(data, 'ndarray')) throw fail('expected "data", a uint8 array');
  const [count = 0, size = 0, ...rest] = data.shape;
  if (rest.length > 0 || size !== PIXELS || count < 1)
    throw fail(`expected "data" of Nx${PIXELS}, got ${data.shape.join('x')}`);
  if (!Array.isArray(list) || list.length !== count)
    throw fail(`expected "labels", a list of ${count} labels`);
  const labels = Uint8Array.from(list, (label, i) => {
    if (typeof label !== 'number' || label < 0 || label >= CLASSES)
      throw fail(
        `expected labels from 0 to 9, got ${typeof label === 'number' ? label : 'no number'} for image ${i}`,
      );
    return label;
  });
  const planar = data.fortran ? transpose(data.data, PIXELS, count) : data.data;
  return { labels, planar, stride: PIXELS, offset: 0 };
}

/** `[rows][columns]` to `[columns][rows]`. */
function transpose(from: Uint8Array, rows: number, columns: number): Uint8Array {
  const to = new Uint8Array(from.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c]!;
  return to;
}

function readBinaryClasses(path: string): string[] {
  return readText(path)
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter(Boolean);
}

function readPythonClasses(path: string): string[] {
  const root = readPickle(readBytes(path), shortPath(path));
  const names = root instanceof Map ? root.get('label_names') : undefined;
  if (!Array.isArray(names))
    throw dataError(`${shortPath(path)}: expected "label_names", a list of class names`);
  return names.map((name) => (name instanceof Uint8Array ? latin1(name) : ''));
}

/** The two versions: where and how their files lie. */
const VERSIONS = [
  {
    folder: 'cifar-10-batches-bin',
    extension: '.bin',
    meta: 'batches.meta.txt',
    readBatch: readBinaryBatch,
    readClasses: readBinaryClasses,
  },
  {
    folder: 'cifar-10-batches-py',
    extension: '',
    meta: 'batches.meta',
    readBatch: readPythonBatch,
    readClasses: readPythonClasses,
  },
] as const;

/** The folder, of those allowed, with the first batch of a version. */
function findVersion(folder: string) {
  for (const version of VERSIONS)
    for (const root of [join(folder, version.folder), folder])
      if (isFile(join(root, `${TRAIN_BATCHES[0]}${version.extension}`))) return { ...version, root };
  throw missingFiles(cifar10, folder, `${TRAIN_BATCHES[0]}.bin or ${TRAIN_BATCHES[0]}`);
}

/** Reads CIFAR-10 from `folder` or the official folder below it. */
export async function readCifar10(folder: string, options: ReadOptions = {}): Promise<Dataset> {
  const { root, extension, meta, readBatch, readClasses } = findVersion(folder);
  const files = [...TRAIN_BATCHES, 'test_batch'].map((name) => name + extension);
  for (const file of [...files, meta]) if (!isFile(join(root, file))) throw missingFiles(cifar10, root, file);

  const classes = readClasses(join(root, meta));
  if (classes.length !== CLASSES || classes.includes(''))
    throw dataError(
      `${meta}: expected ${CLASSES} class names, got ${classes.length} (${classes.join(', ')})`,
    );
  const batches: Batch[] = [];
  await forEachFile(files, 'reading CIFAR-10', options, (file) => batches.push(readBatch(join(root, file))));
  for (const [i, batch] of batches.entries())
    if (batch.labels.length !== batches[0]!.labels.length)
      throw dataError(
        `${files[i]}: expected ${batches[0]!.labels.length} images, as in ${files[0]}, got ${batch.labels.length}; one of the two is truncated`,
      );
  return {
    name: cifar10.name,
    title: cifar10.title,
    classes,
    train: joinBatches(batches.slice(0, -1)),
    test: joinBatches(batches.slice(-1)),
    split: 'last',
    validationShare: 0.1,
    augmentation: { mirror: true, shift: 4 },
  };
}

export const cifar10: DatasetSource = {
  name: 'cifar10',
  title: 'CIFAR-10',
  description: '50,000 + 10,000 colour photographs of 32x32 pixels: ten kinds of animals and vehicles',
  licence:
    'Alex Krizhevsky, Vinod Nair and Geoffrey Hinton, 2009; no licence stated, cite the technical report',
  files: [
    {
      url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
      size: 170052171,
      md5: 'c32a1d4ab5d03f1284b67883e8d87530',
      unpack: 'tar.gz',
      into: '',
    },
  ],
  layout: [
    'cifar-10-batches-bin/data_batch_1.bin ... data_batch_5.bin, test_batch.bin, batches.meta.txt',
    'or cifar-10-batches-py/data_batch_1 ... data_batch_5, test_batch, batches.meta',
  ].join('\n'),
  form: { classes: CLASSES, height: 32, width: 32, channels: 3 },
  sortedByClass: false,
  read: readCifar10,
};
