/**
 * Downloading a large file over connections that break: the bytes collect in `<target>.part`, a broken transfer goes on
 * where it stopped (HTTP Range), now or in a later run, and only a complete file of the right size and checksum gets
 * the target's name. Source: RFC 9110, section 14 (range requests).
 */
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type CbnnError, configError, dataError } from '@cbnn/runtime';
import { reason } from './files.js';
import type { OnDataProgress } from './source.js';

export interface DownloadOptions {
  /** expected length in bytes */
  readonly size?: number | null;
  /** expected checksums, hexadecimal */
  readonly md5?: string | null;
  readonly sha256?: string | null;
  /** attempts in a row that may fail without a byte of progress; 4 by default */
  readonly retries?: number;
  /** milliseconds before the first retry, doubled for each further one; 1000 by default */
  readonly retryDelay?: number;
  readonly onProgress?: OnDataProgress;
  readonly signal?: AbortSignal;
}

/** A transfer that broke, and may be tried again. */
class Interruption extends Error {}

/** Codes of errors that another attempt will not mend. */
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'CERT_HAS_EXPIRED']);

/**
 * Fetches `url` to the file `target`, whose folder is made if need be. A `target.part` left by an earlier attempt is
 * continued. Throws a data error for a server that cannot be reached, HTTP errors, a transfer that keeps breaking, and
 * a wrong size or checksum (then the part is deleted); a config error for anything but an http or https URL.
 */
export async function download(url: string, target: string, options: DownloadOptions = {}): Promise<void> {
  const { retries = 4, retryDelay = 1000, signal } = options;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw configError(`download: expected an http or https URL, got "${url}"`);
  const part = `${target}.part`;
  try {
    mkdirSync(dirname(target), { recursive: true });
  } catch (error) {
    throw dataError(`${dirname(target)}: cannot be made (${reason(error)})`);
  }

  let failures = 0;
  // The most there ever was: a server without ranges begins anew each time, and less than before is no progress.
  let most = fileSize(part);
  // An earlier run may have fetched everything.
  while (options.size == null || fileSize(part) !== options.size) {
    try {
      await transfer(url, part, options);
      break;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Interruption)) throw error;
      failures = fileSize(part) > most ? 1 : failures + 1;
      most = Math.max(most, fileSize(part));
      if (failures > retries)
        throw dataError(
          `${url}: expected the whole file, got ${fileSize(part)} bytes before the connection broke (${error.message}); run it again to go on from there`,
        );
      await setTimeout(retryDelay * 2 ** (failures - 1), undefined, signal && { signal });
    }
  }
  await verify(url, part, options);
  renameSync(part, target);
}

const fileSize = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** One request, from the end of the part on. Returns when the part is complete. */
async function transfer(url: string, part: string, options: DownloadOptions): Promise<void> {
  const { signal, onProgress } = options;
  const offset = fileSize(part);
  const response = await request(url, offset, signal);
  const restart = () => {
    rmSync(part, { force: true });
    return new Interruption('the server sent another range than asked for');
  };

  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  const rangeTotal = range && range[2] !== '*' ? Number(range[2]) : null;
  if (response.status === 416) {
    await response.body?.cancel();
    if (offset > 0 && rangeTotal === offset) return;
    throw restart();
  }
  if (response.status === 206 && Number(range?.[1]) !== offset) {
    await response.body?.cancel();
    throw restart();
  }
  if (response.status !== 206 && response.status !== 200) {
    await response.body?.cancel();
    const status = `HTTP ${response.status} ${response.statusText}`.trim();
    if (response.status >= 500 || response.status === 408 || response.status === 429)
      throw new Interruption(status);
    throw dataError(
      `${url}: expected the file, got ${status}; check the address, or get the file from elsewhere`,
    );
  }

  // A server that knows no ranges answers 200 with the whole file: then the part begins anew.
  const start = response.status === 206 ? offset : 0;
  const length = response.headers.has('content-encoding') ? null : response.headers.get('content-length');
  const total = options.size ?? rangeTotal ?? (length === null ? null : start + Number(length));
  const stage = `downloading ${url.slice(url.lastIndexOf('/') + 1)}`;
  const file = await openPart(part, start > 0 ? 'a' : 'w');
  let done = start;
  try {
    onProgress?.({ stage, done, total });
    for await (const chunk of response.body ?? []) {
      await file.writeFile(chunk);
      done += chunk.length;
      onProgress?.({ stage, done, total });
      if (options.size != null && done > options.size) break;
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (isDiskError(error)) throw dataError(`${part}: cannot be written (${reason(error)})`);
    throw new Interruption(networkReason(error));
  } finally {
    await file.close();
  }
  if (total !== null && done < total) throw new Interruption(`${done} of ${total} bytes came`);
}

async function request(url: string, offset: number, signal?: AbortSignal): Promise<Response> {
  try {
    // Not `gzip`: fetch would unpack a .gz file that is sent as an encoding.
    const headers = { 'accept-encoding': 'identity', ...(offset > 0 && { range: `bytes=${offset}-` }) };
    return await fetch(url, { headers, ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    if (UNREACHABLE.has(errorCode(error)))
      throw dataError(
        `${url}: cannot connect (${networkReason(error)}); check the network and the address, or put the file there by hand`,
      );
    throw new Interruption(networkReason(error));
  }
}

async function openPart(part: string, flags: 'a' | 'w') {
  try {
    return await open(part, flags);
  } catch (error) {
    throw dataError(`${part}: cannot be written (${reason(error)})`);
  }
}

/** The system's code of an error or of its cause: fetch wraps everything in `fetch failed`. */
function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return errorCode(error.cause);
}

const isDiskError = (error: unknown) =>
  ['ENOSPC', 'EDQUOT', 'EIO', 'EFBIG', 'EROFS'].includes(errorCode(error));

function networkReason(error: unknown): string {
  return errorCode(error) || (error instanceof Error ? error.message : String(error));
}

/** Checks size and checksums of the finished part; deletes it where they are wrong. */
async function verify(url: string, part: string, options: DownloadOptions): Promise<void> {
  const fail = (what: string, expected: string | number, got: string | number): CbnnError => {
    rmSync(part, { force: true });
    return dataError(
      `${url}: expected ${what} ${expected}, got ${got}; the file is damaged or another one; try again`,
    );
  };
  const size = fileSize(part);
  if (options.size != null && size !== options.size) throw fail('a size of', options.size, size);
  for (const algorithm of ['md5', 'sha256'] as const) {
    const expected = options[algorithm];
    if (expected == null) continue;
    const hash = createHash(algorithm);
    for await (const chunk of createReadStream(part, options.signal && { signal: options.signal }))
      hash.update(chunk as Uint8Array);
    const got = hash.digest('hex');
    if (got !== expected.toLowerCase()) throw fail(algorithm, expected, got);
  }
}
