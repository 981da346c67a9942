/**
 * Any folder of pictures as a data set: one folder per class, and its name is the class's. Where the folder holds
 * `train` and `test`, those hold the class folders; otherwise a share of the pictures becomes the test set, seeded,
 * every class in proportion, identical pictures kept on one side.
 */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { configError, dataError } from '@cbnn/runtime';
import type { Dataset, ImageSet } from './dataset.js';
import { forEachFile, isFolder, listFolder, readBytes, shortPath } from './files.js';
import { decodeImage, IMAGE_NAME } from './image.js';
import { resize } from './resize.js';
import type { ImageForm, ReadingChoices, ReadOptions } from './source.js';
import { divide, type Split, stratified } from './split.js';
import { groupTwins } from './twins.js';

const DEFAULT_SIZE = 32;
const MAX_SIZE = 512;

/** A picture file and its class. */
export interface LabelledFile {
  readonly path: string;
  readonly label: number;
}

/** The names of the folders in `folder`, sorted. Throws a data error that lists anything else but dot files. */
function classFolders(folder: string): string[] {
  const entries = listFolder(folder).map((entry) => entry.name);
  refuse(
    folder,
    'only class folders',
    entries.filter((name) => !isFolder(join(folder, name))),
  );
  if (entries.length < 2)
    throw dataError(
      `${folder}: expected a folder per class, two or more, got ${entries.length}; see \`cbnn data --help\``,
    );
  return entries;
}

/** Picture files of one class, sorted. Throws a data error that lists files that are no pictures. */
export function pictureFiles(folder: string, isPicture: RegExp = IMAGE_NAME): string[] {
  const names = listFolder(folder).map((entry) => entry.name);
  refuse(
    folder,
    'only PNG, JPEG and PPM files',
    names.filter((name) => !isPicture.test(name) || isFolder(join(folder, name))),
  );
  if (names.length === 0)
    throw dataError(`${folder}: expected pictures of a class, got an empty folder; fill or remove it`);
  return names.map((name) => join(folder, name));
}

function refuse(folder: string, expected: string, others: readonly string[]): void {
  if (others.length === 0) return;
  const listed = others.slice(0, 5).join(', ') + (others.length > 5 ? ` and ${others.length - 5} more` : '');
  throw dataError(`${folder}: expected ${expected}, got ${listed}; move them elsewhere`);
}

/** Decodes and resizes pictures to `size` x `size` RGB (the whole picture: another aspect ratio is squeezed). */
export async function readPictures(
  files: readonly LabelledFile[],
  size: number,
  stage: string,
  options: ReadOptions,
): Promise<ImageSet> {
  const bytes = size * size * 3;
  const pixels = new Uint8Array(files.length * bytes);
  const labels = new Uint16Array(files.length);
  await forEachFile(files, stage, options, ({ path, label }, i) => {
    pixels.set(resize(decodeImage(readBytes(path), shortPath(path)), size, size).pixels, i * bytes);
    labels[i] = label;
  });
  return { count: files.length, height: size, width: size, channels: 3, pixels, labels };
}

/** Splits off a test set, seeded and stratified, twins kept together. Groups are set only where there are twins. */
export function splitTest(
  images: ImageSet,
  classes: readonly string[],
  options: ReadOptions,
): { train: ImageSet; test: ImageSet } {
  const share = options.testShare ?? 0.2;
  if (!(share > 0 && share < 1))
    throw configError(`test share: expected a number between 0 and 1, got ${share}`);
  const grouped = groupTwins(images);
  const count = Math.round(images.count * share);
  const split: Split = divide(grouped, stratified(grouped, count, options.seed ?? 1));
  for (const [label, name] of classes.entries())
    for (const side of [split.train, split.validation])
      if (!side.labels.includes(label))
        throw dataError(
          `class "${name}": expected at least 2 different pictures, one to train and one to test; add some`,
        );
  return { train: split.train, test: split.validation };
}

const hasOwnTest = (folder: string): boolean =>
  existsSync(join(folder, 'train')) && existsSync(join(folder, 'test'));

function sizeOf({ size = DEFAULT_SIZE }: ReadingChoices): number {
  if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE)
    throw configError(`size: expected an integer from 1 to ${MAX_SIZE}, got ${size}`);
  return size;
}

/** The form that a folder's images will have, from its class folders. */
export function folderForm(folder: string, choices: ReadingChoices): ImageForm {
  const size = sizeOf(choices);
  const classes = classFolders(hasOwnTest(folder) ? join(folder, 'train') : folder).length;
  return { classes, height: size, width: size, channels: 3 };
}

/** Reads a folder of class folders, or of `train` and `test` with class folders. Classes are in sorted order. */
export async function readFolder(folder: string, options: ReadOptions = {}): Promise<Dataset> {
  const size = sizeOf(options);
  const name = basename(resolve(folder));
  const rest = {
    name,
    title: name,
    split: 'stratified',
    validationShare: 0.1,
    augmentation: { mirror: false, shift: 2 },
  } as const;

  if (!hasOwnTest(folder)) {
    const classes = classFolders(folder);
    const files = labelledFiles(folder, classes);
    const images = await readPictures(files, size, 'reading images', options);
    return { ...rest, classes, ...splitTest(images, classes, options) };
  }
  if (options.testShare !== undefined)
    throw configError(
      `test share: ${folder} has a test folder of its own; leave it out, or give the pictures in one folder`,
    );
  const others = listFolder(folder)
    .map((entry) => entry.name)
    .filter((entry) => entry !== 'train' && entry !== 'test');
  refuse(folder, 'only train and test', others);
  const classes = classFolders(join(folder, 'train'));
  const testClasses = classFolders(join(folder, 'test'));
  if (classes.join('/') !== testClasses.join('/'))
    throw dataError(
      `${folder}: expected the same classes in train and test, got ${classes.join(', ')} and ${testClasses.join(', ')}`,
    );
  const train = await readPictures(
    labelledFiles(join(folder, 'train'), classes),
    size,
    'reading training images',
    options,
  );
  const test = await readPictures(
    labelledFiles(join(folder, 'test'), classes),
    size,
    'reading test images',
    options,
  );
  return { ...rest, classes, train: groupTwins(train), test };
}

function labelledFiles(folder: string, classes: readonly string[]): LabelledFile[] {
  return classes.flatMap((name, label) => pictureFiles(join(folder, name)).map((path) => ({ path, label })));
}
