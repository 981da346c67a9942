/** Getting a data set that is known by name: download, check, unpack, and only then give the folder its name. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { dataError } from '@cbnn/runtime';
import { unpackTarGz, unpackZip } from './archive.js';
import { type DownloadOptions, download } from './download.js';
import { isFolder, reason } from './files.js';
import { findDataset } from './registry.js';
import { type DatasetSource, datasetFolder, type OfficialFile } from './source.js';

export interface AcquisitionOptions
  extends Pick<DownloadOptions, 'onProgress' | 'signal' | 'retries' | 'retryDelay'> {
  /** fetch the files, under their official names, from this URL instead of the official ones */
  readonly from?: string;
}

export interface Acquisition {
  /** where the data set lies */
  readonly folder: string;
  /** URLs that were fetched; empty where everything was there */
  readonly downloaded: readonly string[];
}

/**
 * Gets the files of data set `name` into its folder under `dataDir`. What is there already is left as it is. Archives
 * are kept in `<dataDir>/.downloads` until all are unpacked, so that an interrupted run can go on.
 * Throws a config error for an unknown name; a data error where the files cannot be had, or are not what they should be.
 */
export async function getDataset(
  name: string,
  dataDir: string,
  options: AcquisitionOptions = {},
): Promise<Acquisition> {
  return acquire(findDataset(name), dataDir, options);
}

/** As `getDataset`, for a source that need not be in the registry. */
export async function acquire(
  source: DatasetSource,
  dataDir: string,
  options: AcquisitionOptions = {},
): Promise<Acquisition> {
  const { files } = source;
  const folder = datasetFolder(source, dataDir);
  try {
    mkdirSync(dataDir, { recursive: true });
  } catch (error) {
    throw dataError(`${dataDir}: cannot be made (${reason(error)})`);
  }
  const downloaded = files.every((file) => file.unpack === 'none')
    ? await getPlainFiles(files, folder, options)
    : await getArchives(source, files, dataDir, folder, options);
  return { folder, downloaded };
}

/** Files that are read as they are downloaded: each gets its name when it is complete. */
async function getPlainFiles(
  files: readonly OfficialFile[],
  folder: string,
  options: AcquisitionOptions,
): Promise<string[]> {
  const downloaded: string[] = [];
  for (const file of files) {
    const target = join(folder, file.into, basename(file.url));
    if (existsSync(target)) continue;
    downloaded.push(await fetchFile(file, target, options));
  }
  return downloaded;
}

/** Archives: unpacked into a temporary folder, which gets its name when all are. */
async function getArchives(
  source: DatasetSource,
  files: readonly OfficialFile[],
  dataDir: string,
  folder: string,
  options: AcquisitionOptions,
): Promise<string[]> {
  if (isFolder(folder) && readdirSync(folder).length > 0) return [];
  const downloads = join(dataDir, '.downloads', source.name);
  const downloaded: string[] = [];
  for (const file of files) {
    const archive = join(downloads, basename(file.url));
    if (!existsSync(archive)) downloaded.push(await fetchFile(file, archive, options));
  }
  const temporary = `${folder}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  try {
    for (const file of files)
      await unpack(file, join(downloads, basename(file.url)), join(temporary, file.into), options);
    // An empty folder of that name may exist.
    rmSync(folder, { recursive: true, force: true });
    renameSync(temporary, folder);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  rmSync(downloads, { recursive: true, force: true });
  return downloaded;
}

/** Downloads one file and returns the URL it came from. */
async function fetchFile(file: OfficialFile, target: string, options: AcquisitionOptions): Promise<string> {
  const url =
    options.from === undefined ? file.url : `${options.from.replace(/\/+$/, '')}/${basename(file.url)}`;
  await download(url, target, { ...options, size: file.size, md5: file.md5 });
  return url;
}

/** Unpacks an archive; one that cannot be is deleted, so that the next run fetches it anew. */
async function unpack(
  file: OfficialFile,
  archive: string,
  folder: string,
  options: AcquisitionOptions,
): Promise<void> {
  try {
    await (file.unpack === 'zip' ? unpackZip : unpackTarGz)(archive, folder, options);
  } catch (error) {
    if (!options.signal?.aborted) rmSync(archive, { force: true });
    throw error;
  }
}
