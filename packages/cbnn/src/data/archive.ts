/**
 * Unpacking .tar.gz and .zip files into a folder. Only plain files and folders below it are written: an entry that
 * would land elsewhere (an absolute path, `..`), a link or a device makes the whole archive refused.
 */
import { createWriteStream, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { CbnnError, dataError } from '@cbnn/runtime';
import { x as extractTar } from 'tar';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { reason, shortPath } from './files.js';
import type { OnDataProgress } from './source.js';

export interface UnpackOptions {
  readonly onProgress?: OnDataProgress;
  readonly signal?: AbortSignal;
}

/** Why an entry must not be written, or null. Both kinds of slashes count, so that a file is as safe on any system. */
export function unsafePath(path: string): string | null {
  if (path === '' || path.includes('\0')) return 'a broken name';
  if (/^([/\\]|[A-Za-z]:)/.test(path)) return 'an absolute path';
  if (path.split(/[/\\]/).includes('..')) return 'a path outside the folder';
  if (path.includes('\\')) return 'a backslash in its name';
  return null;
}

const refused = (archive: string, entry: string, why: string): CbnnError =>
  dataError(
    `${shortPath(archive)}: expected files below its folder, got entry "${entry}" (${why}); the archive is not safe to unpack`,
  );

const damaged = (archive: string, error: unknown): CbnnError =>
  dataError(
    `${shortPath(archive)}: cannot be unpacked (${reason(error)}); the archive is damaged or truncated, download it again`,
  );

/** Unpacks a .tar.gz (or .tar) file into `folder`, which is made if need be. */
export async function unpackTarGz(
  archive: string,
  folder: string,
  options: UnpackOptions = {},
): Promise<void> {
  const { onProgress, signal } = options;
  mkdirSync(folder, { recursive: true });
  let refusal: CbnnError | null = null;
  let entries = 0;
  try {
    await extractTar({
      file: archive,
      cwd: folder,
      strict: true,
      preserveOwner: false,
      // It must not throw: from the first refusal on, and when stopped, it skips what is left.
      filter(path, entry) {
        const type = 'type' in entry ? entry.type : 'File';
        const isPlain = type === 'File' || type === 'OldFile' || type === 'Directory';
        const why = isPlain ? unsafePath(path) : `of type ${type}`;
        if (why !== null) refusal ??= refused(archive, path, why);
        entries++;
        onProgress?.({ stage: 'unpacking', done: entries, total: null });
        return refusal === null && !signal?.aborted;
      },
    });
  } catch (error) {
    throw refusal ?? damaged(archive, error);
  }
  signal?.throwIfAborted();
  if (refusal !== null) throw refusal;
  if (entries === 0) throw damaged(archive, 'it is empty');
}

/** Upper half of a zip entry's attributes, where it was packed under Unix: its mode, of which 0xa000 is a link. */
const isLink = (entry: Entry) => ((entry.externalFileAttributes >>> 16) & 0xf000) === 0xa000;

/** Unpacks a .zip file into `folder`, which is made if need be. */
export async function unpackZip(archive: string, folder: string, options: UnpackOptions = {}): Promise<void> {
  const { onProgress, signal } = options;
  mkdirSync(folder, { recursive: true });
  let zip: ZipFile | undefined;
  try {
    zip = await openPromise(archive, { autoClose: false, strictFileNames: true });
    let done = 0;
    for await (const entry of zip.eachEntry()) {
      signal?.throwIfAborted();
      const why = isLink(entry) ? 'a link' : unsafePath(entry.fileName);
      if (why !== null) throw refused(archive, entry.fileName, why);
      await writeEntry(zip, entry, join(folder, entry.fileName));
      done++;
      onProgress?.({ stage: 'unpacking', done, total: zip.entryCount });
    }
    if (done === 0) throw new Error('it is empty');
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof CbnnError ? error : damaged(archive, error);
  } finally {
    zip?.close();
  }
}

/** Writes one entry and checks its CRC, which the zip reader leaves to its caller. */
async function writeEntry(zip: ZipFile, entry: Entry, path: string): Promise<void> {
  if (entry.fileName.endsWith('/')) {
    mkdirSync(path, { recursive: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  let sum = 0;
  const check = new Transform({
    transform(chunk: Uint8Array, _encoding, pass) {
      sum = crc32(chunk, sum);
      pass(null, chunk);
    },
  });
  await pipeline(await zip.openReadStreamPromise(entry), check, createWriteStream(path));
  if (sum !== entry.crc32) throw new Error(`wrong CRC of ${entry.fileName}`);
}
