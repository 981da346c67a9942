/** What the registry knows of a data set: where it comes from, how its files lie, and the reader that opens them. */
import { join } from 'node:path';
import type { Dataset } from './dataset.js';

/** Told now and then while a data set is read, downloaded or made. */
export interface DataProgress {
  /** e.g. `reading training images` */
  readonly stage: string;
  readonly done: number;
  /** null: not known (a server that does not say how long a file is) */
  readonly total: number | null;
}

export type OnDataProgress = (progress: DataProgress) => void;

/** What a user may choose about how images are read, where the data set leaves it open. */
export interface ReadingChoices {
  /** height and width that images are resized to; 32 by default. For image folders only: the others have a fixed size. */
  readonly size?: number;
  /** GTSRB: `crop` (default) to the region of interest, or the `whole` picture */
  readonly roi?: 'crop' | 'whole';
  /** Chars74K: which pictures; `both` by default */
  readonly quality?: 'good' | 'both';
  /** share of the images that becomes the test set where the data set has none, in (0, 1); 0.2 by default */
  readonly testShare?: number;
}

/** Options of all readers; a reader ignores those that do not concern it. */
export interface ReadOptions extends ReadingChoices {
  /** seed of a train/test split that the data set itself does not have (image folders, Chars74K), and of `signs`; 1 by default */
  readonly seed?: number;
  /** `signs`: images to make; 8000 and 2000 by default */
  readonly trainCount?: number;
  readonly testCount?: number;
  readonly onProgress?: OnDataProgress;
  readonly signal?: AbortSignal;
}

/** One file to download. */
export interface OfficialFile {
  readonly url: string;
  /** length in bytes; null where it is not certain */
  readonly size: number | null;
  /** hexadecimal; null where it is not certain */
  readonly md5: string | null;
  /** what to do with it; `none` keeps the file as it is */
  readonly unpack: 'tar.gz' | 'zip' | 'none';
  /** folder, under the data set's own, to unpack or to put it in; '' for that folder itself */
  readonly into: string;
}

/** What is known of a data set's images before they are read. */
export interface ImageForm {
  /** how many there are */
  readonly classes: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export interface DatasetSource {
  /** how it is asked for, e.g. `cifar10` */
  readonly name: string;
  /** its folder under the data folder, where that is not its name: data sets may share files */
  readonly folder?: string;
  /** e.g. `CIFAR-10` */
  readonly title: string;
  readonly description: string;
  /** who made it and on which terms */
  readonly licence: string;
  readonly files: readonly OfficialFile[];
  /** how the files lie under the data set's folder, one per line; '' for a generated set */
  readonly layout: string;
  /** whether training images come sorted by class: then a limit must take every k-th image, not the first ones */
  readonly sortedByClass: boolean;
  readonly form: ImageForm;
  /** what it leaves open; nothing where absent */
  readonly choices?: readonly (keyof ReadingChoices)[];
  /** Reads it from `folder`. Throws a data error that names the file and, where there is one, the byte offset. */
  read(folder: string, options: ReadOptions): Promise<Dataset>;
}

/** Where the files of a data set lie. */
export const datasetFolder = ({ name, folder }: DatasetSource, dataDir: string): string =>
  join(dataDir, folder ?? name);
