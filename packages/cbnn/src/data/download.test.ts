import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type DownloadOptions, download } from './download.js';
import { startServer } from './testing/file-server.js';
import { temporaryFolder } from './testing/temporary-folder.js';

const CONTENT = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) ^ (i >> 7)));
const MD5 = createHash('md5').update(CONTENT).digest('hex');
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');

const QUICK = { retryDelay: 1 } satisfies DownloadOptions;

describe('download', () => {
  it('fetches, checks and names a file, making its folder', async () => {
    const server = await startServer({ '/x.bin': CONTENT });
    const target = join(temporaryFolder(), 'a/b/x.bin');
    const progress: (number | null)[][] = [];
    await download(`${server.url}/x.bin`, target, {
      size: CONTENT.length,
      md5: MD5,
      sha256: SHA256.toUpperCase(),
      onProgress: ({ stage, done, total }) => {
        expect(stage).toBe('downloading x.bin');
        progress.push([done, total]);
      },
    });
    expect(readFileSync(target).equals(CONTENT)).toBe(true);
    expect(existsSync(`${target}.part`)).toBe(false);
    expect(progress[0]).toEqual([0, CONTENT.length]);
    expect(progress.at(-1)).toEqual([CONTENT.length, CONTENT.length]);
  });

  it('goes on where the connection was cut, again and again', async () => {
    const server = await startServer({ '/x.bin': CONTENT }, { cutAfter: 70_000 });
    const target = join(temporaryFolder(), 'x.bin');
    await download(`${server.url}/x.bin`, target, { ...QUICK, md5: MD5, retries: 1 });
    expect(readFileSync(target).equals(CONTENT)).toBe(true);
    const ranges = server.requests.map(({ headers }) => headers.range);
    expect(ranges.length).toBeGreaterThanOrEqual(4);
    expect(ranges[0]).toBeUndefined();
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('goes on with what an earlier run left', async () => {
    const server = await startServer({ '/x.bin': CONTENT });
    const target = join(temporaryFolder(), 'x.bin');
    writeFileSync(`${target}.part`, CONTENT.subarray(0, 1234));
    await download(`${server.url}/x.bin`, target, { ...QUICK, md5: MD5 });
    expect(server.requests.map(({ headers }) => headers.range)).toEqual(['bytes=1234-']);
    expect(readFileSync(target).equals(CONTENT)).toBe(true);
  });

  it('begins anew with a server that ignores ranges', async () => {
    const server = await startServer({ '/x.bin': CONTENT }, { ranges: false });
    const target = join(temporaryFolder(), 'x.bin');
    writeFileSync(`${target}.part`, 'something else');
    await download(`${server.url}/x.bin`, target, { ...QUICK, md5: MD5 });
    expect(readFileSync(target).equals(CONTENT)).toBe(true);
  });

  it('asks for nothing where the part is whole', async () => {
    const server = await startServer({ '/x.bin': CONTENT });
    const target = join(temporaryFolder(), 'x.bin');
    writeFileSync(`${target}.part`, CONTENT);
    await download(`${server.url}/x.bin`, target, { ...QUICK, size: CONTENT.length, md5: MD5 });
    expect(server.requests).toHaveLength(0);
    // Without a known size, the server says so (416).
    writeFileSync(`${target}.part`, CONTENT);
    await download(`${server.url}/x.bin`, target, { ...QUICK, md5: MD5 });
    expect(server.requests).toHaveLength(1);
  });

  it('begins anew where the part is longer than the file', async () => {
    const server = await startServer({ '/x.bin': CONTENT });
    const target = join(temporaryFolder(), 'x.bin');
    writeFileSync(`${target}.part`, Buffer.concat([CONTENT, Buffer.of(1)]));
    await download(`${server.url}/x.bin`, target, { ...QUICK, md5: MD5 });
    expect(server.requests.map(({ headers }) => headers.range)).toEqual([
      `bytes=${CONTENT.length + 1}-`,
      undefined,
    ]);
    expect(readFileSync(target).equals(CONTENT)).toBe(true);
  });

  it('does not trust a server that sends another range', async () => {
    let calls = 0;
    const server = await startServer((_, response) => {
      const start = calls++ === 0 ? 5 : 0;
      response
        .writeHead(calls === 1 ? 206 : 200, { 'content-range': `bytes ${start}-9/10` })
        .end('0123456789'.slice(start));
    });
    const target = join(temporaryFolder(), 'x.bin');
    writeFileSync(`${target}.part`, '012');
    await download(`${server.url}/x.bin`, target, QUICK);
    expect(readFileSync(target, 'utf8')).toBe('0123456789');
  });

  it('deletes a file with a wrong checksum or size', async () => {
    const server = await startServer({ '/x.bin': CONTENT });
    for (const [options, message] of [
      [{ md5: '0'.repeat(32) }, `expected md5 ${'0'.repeat(32)}, got ${MD5}`],
      [{ sha256: '0'.repeat(64) }, `expected sha256 ${'0'.repeat(64)}, got ${SHA256}`],
      [{ size: 1000 }, 'expected a size of 1000, got'],
    ] as const) {
      const folder = temporaryFolder();
      await expect(
        download(`${server.url}/x.bin`, join(folder, 'x.bin'), { ...QUICK, ...options }),
      ).rejects.toThrow(message);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it('keeps the part of a transfer that keeps breaking', async () => {
    const server = await startServer({ '/x.bin': CONTENT }, { cutAfter: 50_000, ranges: false });
    const target = join(temporaryFolder(), 'x.bin');
    await expect(download(`${server.url}/x.bin`, target, { ...QUICK, retries: 2 })).rejects.toThrow(
      /expected the whole file, got \d+ bytes before the connection broke .*run it again/,
    );
    expect(existsSync(`${target}.part`)).toBe(true);
    expect(existsSync(target)).toBe(false);
  });

  it('tries again when a server is busy, but not when a file is not there', async () => {
    let calls = 0;
    const busy = (_: unknown, response: ServerResponse) => {
      if (calls++ < 2) response.writeHead(503).end('busy');
      else response.end('fine');
    };
    const server = await startServer(busy);
    const target = join(temporaryFolder(), 'x.bin');
    await download(`${server.url}/x.bin`, target, QUICK);
    expect(readFileSync(target, 'utf8')).toBe('fine');

    const other = await startServer({});
    await expect(download(`${other.url}/no.bin`, target, QUICK)).rejects.toThrow(
      /no\.bin: expected the file, got HTTP 404 Not Found/,
    );
    expect(other.requests).toHaveLength(1);
  });

  it('says when a server cannot be reached', async () => {
    const server = await startServer({});
    await server.close();
    const target = join(temporaryFolder(), 'x.bin');
    await expect(download(`${server.url}/x.bin`, target, QUICK)).rejects.toThrow(
      /x\.bin: cannot connect \(ECONNREFUSED\); check the network/,
    );
  });

  it('does not let fetch unpack what it stores', async () => {
    const server = await startServer({ '/x.bin': CONTENT });
    await download(`${server.url}/x.bin`, join(temporaryFolder(), 'x.bin'), QUICK);
    expect(server.requests[0]!.headers['accept-encoding']).toBe('identity');
  });

  it('stops when told to, and keeps what it has', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('x'.repeat(100));
    });
    const target = join(temporaryFolder(), 'x.bin');
    const abort = new AbortController();
    const running = download(`${server.url}/x.bin`, target, {
      ...QUICK,
      signal: abort.signal,
      onProgress: ({ done }) => done === 100 && abort.abort(),
    });
    await expect(running).rejects.toThrow('aborted');
    expect(readFileSync(`${target}.part`)).toHaveLength(100);
  });

  it.each(['no url', 'file:///etc/passwd', 'ftp://x/y'])('refuses %j', async (url) => {
    await expect(download(url, join(temporaryFolder(), 'x'), QUICK)).rejects.toThrow(
      'expected an http or https URL',
    );
  });
});
