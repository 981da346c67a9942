/** The data sets that are known by name, and the one way to open any of them or a folder of images. */
import { configError } from '@cbnn/runtime';
import { unknownName } from '../suggest.js';
import { chars74k } from './chars74k.js';
import { cifar10 } from './cifar10.js';
import { type Dataset, takeImages } from './dataset.js';
import { isFolder } from './files.js';
import { folderForm, readFolder } from './folder.js';
import { signs } from './generated.js';
import { gtsrb } from './gtsrb.js';
import { fashionMnist, isIdxFolder, mnist, readIdxFolder } from './mnist.js';
import {
  type DatasetSource,
  datasetFolder,
  type ImageForm,
  type ReadingChoices,
  type ReadOptions,
} from './source.js';
import { svhn, svhnExtra } from './svhn.js';

/** All data sets known by name. */
export const datasets: readonly DatasetSource[] = [
  signs,
  cifar10,
  gtsrb,
  svhn,
  svhnExtra,
  chars74k,
  mnist,
  fashionMnist,
];

export interface LoadOptions extends ReadOptions {
  /** folder that holds one folder per data set, named like it */
  readonly dataDir: string;
  /**
   * keep only this many of the images that are not test images: the first ones, or, where they are sorted by class, as
   * many spread evenly. Applied to `train` as read, before anyone splits validation images off it (split.ts), so both
   * together are at most this many. The test images stay complete.
   */
  readonly limit?: number;
}

export const isKnownDataset = (name: string): boolean => datasets.some((source) => source.name === name);

/** The data set known as `name`. Throws a config error with the nearest name. */
export function findDataset(name: string): DatasetSource {
  const found = datasets.find((source) => source.name === name);
  if (found) return found;
  const names = datasets.map((source) => source.name);
  throw unknownName('data set', name, names, 'a folder of images');
}

/** Of folders of images. */
const FOLDER_CHOICES: readonly (keyof ReadingChoices)[] = ['size', 'testShare'];

/** Why a data set refuses a choice that it does not leave open, and which ones do. */
const FIXED: Readonly<Record<keyof ReadingChoices, string>> = {
  size: 'has one size; this is for folders of images',
  roi: 'has no regions of interest; this is for gtsrb',
  quality: 'has pictures of one quality; this is for chars74k',
  testShare: 'has a test set of its own; this is for folders of images and for chars74k',
};

/** Throws a config error for a choice that the data set does not leave open. */
export function checkChoices(nameOrFolder: string, choices: ReadingChoices): void {
  const open = isKnownDataset(nameOrFolder)
    ? (findDataset(nameOrFolder).choices ?? [])
    : isIdxFolder(nameOrFolder)
      ? []
      : FOLDER_CHOICES;
  for (const [name, why] of Object.entries(FIXED) as [keyof ReadingChoices, string][])
    if (choices[name] !== undefined && !open.includes(name))
      throw configError(`${name === 'testShare' ? 'test share' : name}: ${nameOrFolder} ${why}`);
}

/**
 * The form of a data set's images, before they are read; null for a folder of IDX files, whose classes are the labels that
 * occur. Throws a config error for an unknown name.
 */
export function formOf(nameOrFolder: string, choices: ReadingChoices): ImageForm | null {
  if (isKnownDataset(nameOrFolder) || !isFolder(nameOrFolder)) return findDataset(nameOrFolder).form;
  return isIdxFolder(nameOrFolder) ? null : folderForm(nameOrFolder, choices);
}

/**
 * Reads a data set by name from its folder under `dataDir`, or a folder of class folders or of IDX files.
 * Throws a config error for an unknown name or a choice that is not open, and a data error for missing or damaged files.
 */
export async function loadDataset(nameOrFolder: string, options: LoadOptions): Promise<Dataset> {
  const { limit } = options;
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 1))
    throw configError(`limit: expected a positive integer, got ${limit}`);
  checkChoices(nameOrFolder, options);
  // A name that is known always means that data set; a folder of the same name can be given as ./name.
  if (!isKnownDataset(nameOrFolder) && isFolder(nameOrFolder)) {
    const read = isIdxFolder(nameOrFolder) ? readIdxFolder : readFolder;
    const dataset = await read(nameOrFolder, options);
    return limitTraining(dataset, limit, true);
  }
  const source = findDataset(nameOrFolder);
  const dataset = await source.read(datasetFolder(source, options.dataDir), options);
  return limitTraining(dataset, limit, source.sortedByClass);
}

/** Keeps `limit` training images: the first, or evenly spread ones. */
function limitTraining(dataset: Dataset, limit: number | undefined, spread: boolean): Dataset {
  const { count } = dataset.train;
  if (limit === undefined || limit >= count) return dataset;
  const indices = Uint32Array.from({ length: limit }, (_, i) =>
    spread ? Math.floor((i * count) / limit) : i,
  );
  return { ...dataset, train: takeImages(dataset.train, indices) };
}
