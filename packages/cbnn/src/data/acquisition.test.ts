import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { acquire, getDataset } from './acquisition.js';
import type { DatasetSource, OfficialFile } from './source.js';
import { writeTarGz, writeZip } from './testing/archives.js';
import { startServer } from './testing/file-server.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

const TAR = writeTarGz([{ path: 'toy/a.txt', content: 'from tar' }]);
const ZIP = writeZip([{ path: 'b.txt', content: 'from zip' }]);
const EVIL = writeTarGz([
  { path: 'toy/a.txt', content: 'good' },
  { path: '../evil.txt', content: 'evil' },
]);
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

function toy(files: readonly Partial<OfficialFile>[]): DatasetSource {
  return {
    name: 'toy',
    title: 'Toy',
    description: '',
    licence: '',
    files: files.map((file) => ({
      url: 'http://official.invalid/x',
      size: null,
      md5: null,
      unpack: 'none',
      into: '',
      ...file,
    })),
    layout: 'x',
    sortedByClass: false,
    form: { classes: 2, height: 1, width: 1, channels: 1 },
    read: () => Promise.reject(new Error('not read here')),
  };
}

const archives = toy([
  { url: 'http://official.invalid/a/one.tar.gz', unpack: 'tar.gz', md5: md5(TAR), size: TAR.length },
  { url: 'http://official.invalid/two.zip', unpack: 'zip', into: 'toy/deep' },
]);
const QUICK = { retryDelay: 1, retries: 1 };

describe('acquire', () => {
  it('downloads and unpacks archives, each into its folder, and cleans up', async () => {
    const server = await startServer({ '/one.tar.gz': TAR, '/two.zip': ZIP });
    const dataDir = join(temporaryFolder(), 'data');
    const { folder, downloaded } = await acquire(archives, dataDir, { ...QUICK, from: `${server.url}/` });
    expect(folder).toBe(join(dataDir, 'toy'));
    expect(downloaded).toEqual([`${server.url}/one.tar.gz`, `${server.url}/two.zip`]);
    expect(readFileSync(join(folder, 'toy/a.txt'), 'utf8')).toBe('from tar');
    expect(readFileSync(join(folder, 'toy/deep/b.txt'), 'utf8')).toBe('from zip');
    expect(readdirSync(dataDir).filter((name) => name !== '.downloads')).toEqual(['toy']);
    expect(readdirSync(join(dataDir, '.downloads'))).toEqual([]);
  });

  it('leaves alone what is there', async () => {
    const server = await startServer({});
    const dataDir = temporaryFolder();
    writeFiles(dataDir, { 'toy/mine.txt': 'x' });
    const { downloaded } = await acquire(archives, dataDir, { ...QUICK, from: server.url });
    expect(downloaded).toEqual([]);
    expect(server.requests).toHaveLength(0);
    expect(readdirSync(join(dataDir, 'toy'))).toEqual(['mine.txt']);
  });

  it('keeps the archives that came when another does not', async () => {
    const dataDir = temporaryFolder();
    const server = await startServer({ '/one.tar.gz': TAR });
    await expect(acquire(archives, dataDir, { ...QUICK, from: server.url })).rejects.toThrow(
      'two.zip: expected the file, got HTTP 404',
    );
    expect(existsSync(join(dataDir, 'toy'))).toBe(false);
    const whole = await startServer({ '/two.zip': ZIP });
    await acquire(archives, dataDir, { ...QUICK, from: whole.url });
    expect(existsSync(join(dataDir, 'toy/toy/deep/b.txt'))).toBe(true);
  });

  it('leaves nothing of an archive that is not safe', async () => {
    const dataDir = join(temporaryFolder(), 'data');
    const server = await startServer({ '/one.tar.gz': EVIL });
    const source = toy([{ url: 'http://official.invalid/one.tar.gz', unpack: 'tar.gz' }]);
    await expect(acquire(source, dataDir, { ...QUICK, from: server.url })).rejects.toThrow(
      'got entry "../evil.txt"',
    );
    expect(readdirSync(dataDir)).toEqual(['.downloads']);
    expect(readdirSync(join(dataDir, '.downloads/toy'))).toEqual([]);
    expect(readdirSync(join(dataDir, '..'))).toEqual(['data']);
  });

  it('fetches plain files that are missing, into the folder that data sets share', async () => {
    const server = await startServer({
      '/a.mat': Buffer.from('A'),
      '/b.mat': Buffer.from('B'),
      '/extra.mat': Buffer.from('E'),
    });
    const dataDir = temporaryFolder();
    const plain = ['a.mat', 'b.mat'].map((file) => ({ url: `http://official.invalid/${file}` }));
    const source = toy(plain);
    const larger = {
      ...toy([...plain, { url: 'http://official.invalid/extra.mat' }]),
      name: 'toy-extra',
      folder: 'toy',
    };
    writeFiles(dataDir, { 'toy/a.mat': 'mine' });
    expect((await acquire(source, dataDir, { ...QUICK, from: server.url })).downloaded).toEqual([
      `${server.url}/b.mat`,
    ]);
    expect(readFileSync(join(dataDir, 'toy/a.mat'), 'utf8')).toBe('mine');
    expect(await acquire(larger, dataDir, { ...QUICK, from: server.url })).toEqual({
      folder: join(dataDir, 'toy'),
      downloaded: [`${server.url}/extra.mat`],
    });
    expect(readdirSync(dataDir)).toEqual(['toy']);
    expect(readdirSync(join(dataDir, 'toy')).sort()).toEqual(['a.mat', 'b.mat', 'extra.mat']);
  });

  it('refuses a file with a wrong checksum', async () => {
    const server = await startServer({ '/one.tar.gz': Buffer.concat([TAR.subarray(0, -1), Buffer.of(1)]) });
    await expect(acquire(archives, temporaryFolder(), { ...QUICK, from: server.url })).rejects.toThrow(
      `expected md5 ${md5(TAR)}`,
    );
  });
});

describe('getDataset', () => {
  it('knows names, and that generated sets need no files', async () => {
    const dataDir = temporaryFolder();
    await expect(getDataset('cifar', dataDir)).rejects.toThrow('did you mean cifar10?');
    expect((await getDataset('signs', dataDir)).downloaded).toEqual([]);
    const server = await startServer({});
    await expect(getDataset('mnist', dataDir, { ...QUICK, from: server.url })).rejects.toThrow(
      'train-images-idx3-ubyte.gz: expected the file, got HTTP 404',
    );
  });
});
