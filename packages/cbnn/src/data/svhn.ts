/**
 * SVHN, format 2: 32x32 crops around single digits of house numbers; 73,257 to train, 26,032 to test, and 531,131
 * easier ones to train with (`extra`). In each MATLAB file, X is [32][32][3][N] (column-major: the row of an image runs fastest) and
 * y is [N][1], where 10 means digit 0.
 *
 * A crop shows its neighbours in the house number too, and they are the crops before and after it: validation images
 * are therefore whole blocks of the official order. Source: http://ufldl.stanford.edu/housenumbers/
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { dataError } from '@cbnn/runtime';
import type { Dataset, ImageSet } from './dataset.js';
import { isFile, missingFiles, shortPath } from './files.js';
import { type MatArray, matArrays } from './mat5.js';
import type { DatasetSource, OfficialFile, ReadOptions } from './source.js';

const SIDE = 32;
const PIXELS = SIDE * SIDE * 3;
const DIGITS = 10;

const TRAIN = 'train_32x32.mat';
const EXTRA = 'extra_32x32.mat';
const TEST = 'test_32x32.mat';

/** Images read between two looks at the abort signal. */
const BATCH = 2000;

/** How many images the X of a file should hold. Throws a data error where it has another shape. */
async function countImages(path: string, signal?: AbortSignal): Promise<number> {
  for await (const array of matArrays(path, signal)) if (array.name === 'X') return imageCount(array, path);
  throw dataError(`${shortPath(path)}: expected an array named X, found none`);
}

function imageCount(array: MatArray, path: string): number {
  const [height, width, channels, count = 1, ...rest] = array.dimensions;
  const size = statSync(path).size;
  // Deflate packs at most 1032:1; more images than that is a damaged count, which must not be allocated.
  if (height !== SIDE || width !== SIDE || channels !== 3 || rest.length > 0 || count < 1)
    throw dataError(`${shortPath(path)}: expected X of 32x32x3xN, got ${array.dimensions.join('x')}`);
  if (count * PIXELS > size * 1032) return tooMany(path, count, size);
  return count;
}

function tooMany(path: string, count: number, size: number): never {
  throw dataError(
    `${shortPath(path)}: expected ${count} images, but ${size} bytes cannot hold them; the file is truncated, download it again`,
  );
}

/** Reads X into `pixels` and y into `labels`, which have room for all of the file's images. */
async function readMat(
  path: string,
  pixels: Uint8Array,
  labels: Uint16Array,
  stage: string,
  options: ReadOptions,
): Promise<void> {
  const name = shortPath(path);
  const seen = new Set<string>();
  for await (const array of matArrays(path, options.signal)) {
    if (array.name === 'X') await readPixels(array, name, pixels, stage, options);
    else if (array.name === 'y') await readLabels(array, name, labels);
    else continue;
    seen.add(array.name);
  }
  for (const wanted of ['X', 'y'])
    if (!seen.has(wanted))
      throw dataError(`${name}: expected an array named ${wanted}, found none; the file may be truncated`);
}

async function readPixels(
  array: MatArray,
  name: string,
  pixels: Uint8Array,
  stage: string,
  options: ReadOptions,
): Promise<void> {
  const count = pixels.length / PIXELS;
  const columnMajor = new Uint8Array(PIXELS);
  for (let i = 0; i < count; i++) {
    if (i % BATCH === 0) {
      options.onProgress?.({ stage, done: i, total: count });
      await setImmediate();
      options.signal?.throwIfAborted();
    }
    const got = await array.readBytes(columnMajor);
    if (got < PIXELS)
      throw dataError(
        `${name}: expected ${count} images (${count * PIXELS} bytes of X), got ${i} (${i * PIXELS + got} bytes) at ${array.position()}; ` +
          'the file is truncated, download it again',
      );
    for (let c = 0; c < 3; c++)
      for (let x = 0; x < SIDE; x++)
        for (let y = 0; y < SIDE; y++)
          pixels[i * PIXELS + (y * SIDE + x) * 3 + c] = columnMajor[(c * SIDE + x) * SIDE + y]!;
  }
  options.onProgress?.({ stage, done: count, total: count });
}

async function readLabels(array: MatArray, name: string, labels: Uint16Array): Promise<void> {
  const values = await array.readNumbers();
  if (values.length !== labels.length)
    throw dataError(`${name}: expected as many labels as images, ${labels.length}, got ${values.length}`);
  for (const [i, value] of values.entries()) {
    if (!Number.isInteger(value) || value < 1 || value > DIGITS)
      throw dataError(
        `${name}: expected labels from 1 to 10, got ${value} for image ${i} (element ${i} of y)`,
      );
    labels[i] = value % DIGITS;
  }
}

/** Reads files one behind the other into one set. */
async function readFiles(paths: readonly string[], stage: string, options: ReadOptions): Promise<ImageSet> {
  const counts: number[] = [];
  for (const path of paths) counts.push(await countImages(path, options.signal));
  const count = counts.reduce((sum, part) => sum + part, 0);
  const pixels = new Uint8Array(count * PIXELS);
  const labels = new Uint16Array(count);
  let from = 0;
  for (const [i, path] of paths.entries()) {
    const to = from + counts[i]!;
    await readMat(
      path,
      pixels.subarray(from * PIXELS, to * PIXELS),
      labels.subarray(from, to),
      stage,
      options,
    );
    from = to;
  }
  return { count, height: SIDE, width: SIDE, channels: 3, pixels, labels };
}

async function readSvhn(
  source: DatasetSource,
  trainFiles: readonly string[],
  folder: string,
  options: ReadOptions,
): Promise<Dataset> {
  for (const file of [...trainFiles, TEST])
    if (!isFile(join(folder, file))) throw missingFiles(source, folder, file);
  const paths = trainFiles.map((file) => join(folder, file));
  const train = await readFiles(paths, 'reading training images', options);
  const test = await readFiles([join(folder, TEST)], 'reading test images', options);
  return {
    name: source.name,
    title: source.title,
    classes: Array.from({ length: DIGITS }, (_, digit) => String(digit)),
    train,
    test,
    split: 'blocks',
    validationShare: 0.1,
    augmentation: { mirror: false, shift: 2 },
  };
}

const mat = (file: string, size: number | null, md5: string): OfficialFile => ({
  url: `http://ufldl.stanford.edu/housenumbers/${file}`,
  size,
  md5,
  unpack: 'none',
  into: '',
});

const FILES = [
  mat(TRAIN, 182040794, 'e26dedcc434d2e4c54c9b2d4a06d8373'),
  mat(TEST, 64275384, 'eb5a983be6a315427106f1b164d9cef3'),
];

const LICENCE = 'Yuval Netzer et al., 2011; for non-commercial use only';

export const svhn: DatasetSource = {
  name: 'svhn',
  title: 'SVHN',
  description: '73,257 + 26,032 photographs of house-number digits of 32x32 pixels',
  licence: LICENCE,
  files: FILES,
  layout: `${TRAIN}, ${TEST}`,
  form: { classes: DIGITS, height: 32, width: 32, channels: 3 },
  sortedByClass: false,
  read: (folder, options) => readSvhn(svhn, [TRAIN], folder, options),
};

/** SVHN with the `extra` images behind its training images; it adds one file to the folder of `svhn`. */
export const svhnExtra: DatasetSource = {
  name: 'svhn-extra',
  folder: svhn.name,
  title: 'SVHN with extra',
  description:
    'SVHN with 531,131 easier training images more; a download of 1.3 GB, and 1.9 GB of pixels in memory',
  licence: LICENCE,
  files: [...FILES, mat(EXTRA, null, 'a93ce644f1a588dc4d68dda5feec44a7')],
  layout: `${TRAIN}, ${EXTRA}, ${TEST}`,
  form: { classes: DIGITS, height: 32, width: 32, channels: 3 },
  sortedByClass: false,
  read: (folder, options) => readSvhn(svhnExtra, [TRAIN, EXTRA], folder, options),
};
