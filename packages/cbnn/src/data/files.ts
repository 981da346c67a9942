/** Reading files with errors that say which file, and folders in an order that does not depend on the machine. */
import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type CbnnError, dataError } from '@cbnn/runtime';
import type { DatasetSource, ReadOptions } from './source.js';

export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The whole file. Throws a data error that names it. */
export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw dataError(`${path}: cannot be read (${reason(error)})`);
  }
}

export function readText(path: string): string {
  return new TextDecoder().decode(readBytes(path));
}

/** Entries of a folder by name, in code-unit order, without dot files. Throws a data error that names the folder. */
export function listFolder(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.'))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw dataError(`${path}: cannot be listed (${reason(error)})`);
  }
}

/** The end of a path that still tells which file is meant: its folder and its name. */
export function shortPath(path: string): string {
  return join(basename(dirname(path)), basename(path));
}

/** A system error in a few words, e.g. `ENOENT: no such file or directory`. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message.replace(/, \w+( '.*')?$/, '');
}

/** The error for files that are not where they should be: the layout, and how to get it. */
export function missingFiles(
  source: Pick<DatasetSource, 'name' | 'title' | 'layout'>,
  folder: string,
  missing: string,
): CbnnError {
  const layout = source.layout.replace(/^/gm, '  ');
  return dataError(
    `${source.title}: expected ${missing} in ${folder}, found none; run \`cbnn data get ${source.name}\`, or put the official files there:\n${layout}`,
  );
}

/**
 * Calls `each` for every item, telling progress about a hundred times and letting the event loop breathe then,
 * so that reading thousands of small files can be watched and stopped.
 */
export async function forEachFile<T>(
  items: readonly T[],
  stage: string,
  options: Pick<ReadOptions, 'onProgress' | 'signal'>,
  each: (item: T, index: number) => void,
): Promise<void> {
  const step = Math.max(1, Math.ceil(items.length / 100));
  for (const [index, item] of items.entries()) {
    if (index % step === 0) {
      options.onProgress?.({ stage, done: index, total: items.length });
      await setImmediate();
      options.signal?.throwIfAborted();
    }
    each(item, index);
  }
  options.onProgress?.({ stage, done: items.length, total: items.length });
}
