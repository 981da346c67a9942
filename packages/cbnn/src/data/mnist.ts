/**
 * MNIST and its relatives: four IDX files, images and labels, to train and to test. Images are [N][height][width] or,
 * in colour, [N][height][width][channels]; labels are [N]. Any folder of four such files is a data set too: its classes
 * are the labels that occur.
 */
import { basename, join, resolve } from 'node:path';
import { type CbnnError, dataError } from '@cbnn/runtime';
import type { Dataset, ImageSet } from './dataset.js';
import { forEachFile, isFile, missingFiles, readBytes, shortPath } from './files.js';
import { readIdx } from './idx.js';
import type { DatasetSource, OfficialFile, ReadOptions } from './source.js';
import { groupTwins } from './twins.js';

const PARTS = ['train', 't10k'] as const;

/** Numbers of dimensions that are in the names of the files: of images, grey or in colour, and of labels. */
const RANKS = { images: [3, 4], labels: [1] } as const;

const LAYOUT = [
  'train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte',
  '(with or without .gz; idx4 for colour)',
].join('\n');

/** The path of e.g. `train-images-idx3-ubyte` in one of the spellings in use, or null. */
function findFile(folder: string, part: string, kind: keyof typeof RANKS): string | null {
  for (const rank of RANKS[kind])
    for (const separator of ['-', '.'])
      for (const suffix of ['', '.gz']) {
        const path = join(folder, `${part}-${kind}${separator}idx${rank}-ubyte${suffix}`);
        if (isFile(path)) return path;
      }
  return null;
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

/** Reads the four files. `missing` makes the error for one that is not there. */
async function readMnist(
  { name, title }: Pick<DatasetSource, 'name' | 'title'>,
  classes: readonly string[],
  folder: string,
  options: ReadOptions,
  missing: (file: string) => CbnnError,
): Promise<Dataset> {
  const find = (part: string, kind: keyof typeof RANKS): string => {
    const path = findFile(folder, part, kind);
    if (path === null) throw missing(`${part}-${kind}-idx${RANKS[kind][0]}-ubyte`);
    return path;
  };
  const paths = PARTS.map((part) => ({ images: find(part, 'images'), labels: find(part, 'labels') }));
  const sets: ImageSet[] = [];
  await forEachFile(paths, `reading ${title}`, options, ({ images, labels }) => {
    sets.push(readSet(images, labels, classes.length));
  });
  const [train, test] = sets as [ImageSet, ImageSet];
  if (train.height !== test.height || train.width !== test.width || train.channels !== test.channels)
    throw dataError(
      `${title}: expected test images of ${train.height}x${train.width}x${train.channels}, as the training images, ` +
        `got ${test.height}x${test.width}x${test.channels}`,
    );
  return {
    name,
    title,
    classes,
    train,
    test,
    split: 'stratified',
    validationShare: 0.1,
    augmentation: { mirror: false, shift: 2 },
  };
}

/** Whether `folder` holds any of the four files. */
export const isIdxFolder = (folder: string): boolean =>
  PARTS.some((part) => findFile(folder, part, 'images') ?? findFile(folder, part, 'labels'));

/** Reads a folder of the four files. A class is a label that occurs in training, and is named by its number. */
export async function readIdxFolder(folder: string, options: ReadOptions = {}): Promise<Dataset> {
  const name = basename(resolve(folder));
  const numbers = Array.from({ length: 256 }, (_, label) => String(label));
  const dataset = await readMnist({ name, title: name }, numbers, folder, options, (file) =>
    dataError(
      `${folder}: expected ${file} beside the other IDX files, found none; such a folder holds\n${LAYOUT.replace(/^/gm, '  ')}`,
    ),
  );
  return onlyTrained({ ...dataset, train: groupTwins(dataset.train) });
}

/** Without the classes that have no training images. */
function onlyTrained(dataset: Dataset): Dataset {
  const { title, classes, train, test } = dataset;
  const kept = [...new Set(train.labels)].sort((a, b) => a - b);
  if (kept.length < 2)
    throw dataError(`${title}: expected two classes or more, got only label ${kept.join()} in training`);
  const stray = test.labels.findIndex((label) => !kept.includes(label));
  if (stray >= 0)
    throw dataError(
      `${title}: expected test images of classes that have training images, got label ${test.labels[stray]} for test image ${stray}; remove it or add training images`,
    );
  const relabel = (images: ImageSet) => ({
    ...images,
    labels: images.labels.map((label) => kept.indexOf(label)),
  });
  return {
    ...dataset,
    classes: kept.map((label) => classes[label]!),
    train: relabel(train),
    test: relabel(test),
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
    layout: LAYOUT,
    sortedByClass: false,
    form: { classes: classes.length, height: 28, width: 28, channels: 1 },
    read: (folder, options) =>
      readMnist(source, classes, folder, options, (file) => missingFiles(source, folder, file)),
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
