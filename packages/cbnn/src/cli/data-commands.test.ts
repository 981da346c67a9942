import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import cliProgress from 'cli-progress';
import { PNG } from 'pngjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DatasetSource } from '../data/source.js';
import { startServer } from '../data/testing/file-server.js';
import { plainPng } from '../data/testing/pictures.js';
import { temporaryFolder, writeFiles } from '../data/testing/temporary-folder.js';
import { main } from './main.js';

const FILE = Buffer.from(Uint8Array.from({ length: 30_000 }, (_, i) => (i * 7) ^ (i >> 8)));

/** A data set whose one file is small: nothing that a test can make has the official checksums. */
const toy: DatasetSource = {
  name: 'toy',
  title: 'Toy',
  description: 'a file',
  licence: '',
  files: [
    {
      url: 'http://official.invalid/toy.bin',
      size: null,
      md5: createHash('md5').update(FILE).digest('hex'),
      unpack: 'none',
      into: '',
    },
  ],
  layout: 'toy.bin',
  sortedByClass: false,
  form: { classes: 2, height: 1, width: 1, channels: 1 },
  read: () => Promise.reject(new Error('not read here')),
};

vi.mock('../data/registry.js', async (original) => {
  const registry = await original<typeof import('../data/registry.js')>();
  return {
    ...registry,
    findDataset: (name: string) => (name === 'toy' ? toy : registry.findDataset(name)),
  };
});

let output = '';
let errors = '';

/** Runs the program; `terminal`: as on a terminal, with bars and text instead of JSON lines. */
async function run(args: readonly string[], terminal = false): Promise<number> {
  output = '';
  errors = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    output += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    errors += text;
    return true;
  });
  const before = process.stdout.isTTY;
  process.stdout.isTTY = terminal;
  try {
    return await main(['data', ...args]);
  } finally {
    process.stdout.isTTY = before;
    vi.mocked(process.stdout.write).mockRestore();
    vi.mocked(process.stderr.write).mockRestore();
  }
}

/** The last JSON line: those before it tell of progress. */
const lastResult = () => JSON.parse(output.trimEnd().split('\n').at(-1)!) as Record<string, unknown>;

beforeEach(() => {
  vi.stubEnv('CBNN_DATA', undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** Two classes, red and green, of five pictures each. */
function pictureFolder(): string {
  const folder = temporaryFolder();
  for (let i = 0; i < 5; i++)
    writeFiles(folder, { [`red/${i}.png`]: plainPng(250, i, 0), [`green/${i}.png`]: plainPng(i, 250, 0) });
  return folder;
}

describe('cbnn data list', () => {
  it.each([[['list']], [[]]])('names the data sets and what else can be read (%j)', async (args) => {
    expect(await run(args, true)).toBe(0);
    for (const name of ['cifar10', 'svhn', 'svhn-extra', 'gtsrb', 'chars74k', 'mnist', 'signs'])
      expect(output).toMatch(new RegExp(`^${name} `, 'm'));
    expect(output).toContain('Any folder of class folders with PNG, JPEG or PPM images');
  });

  it('is one JSON line when piped', async () => {
    expect(await run(['list'])).toBe(0);
    expect(output.trimEnd()).not.toContain('\n');
    expect(lastResult()).toMatchObject({
      datasets: expect.arrayContaining([expect.objectContaining({ name: 'gtsrb' })]),
    });
  });
});

describe('cbnn data show', () => {
  it('prints counts and class balance, and writes a contact sheet as PNG', async () => {
    const sheet = join(temporaryFolder(), 'sheet.png');
    expect(await run(['show', pictureFolder(), '--sheet', sheet])).toBe(0);
    expect(lastResult()).toMatchObject({
      sheet,
      statistics: {
        classes: ['green', 'red'],
        train: { images: 8, perClass: [4, 4], imbalance: 1 },
        test: { images: 2, perClass: [1, 1] },
      },
    });
    const { data } = PNG.sync.read(readFileSync(sheet));
    const pixels = Array.from({ length: data.length / 4 }, (_, i) => [...data.subarray(i * 4, i * 4 + 3)]);
    // Four training images of each class, drawn twice as large.
    expect(pixels.filter(([red, green]) => red === 250 && green! < 5)).toHaveLength(4 * 64 * 64);
    expect(pixels.filter(([red, green]) => green === 250 && red! < 5)).toHaveLength(4 * 64 * 64);
  });

  it('prints a table on a terminal', async () => {
    const sheet = join(temporaryFolder(), 'sheet.png');
    expect(await run(['show', pictureFolder(), '--sheet', sheet], true)).toBe(0);
    expect(output).toContain('8 training and 2 test images of 32x32x3');
    expect(output).toMatch(/^green +4 +1$/m);
    expect(output).toContain(`contact sheet: ${sheet}`);
  });

  it('writes no sheet of what cannot be read', async () => {
    const folder = pictureFolder();
    writeFiles(folder, { 'red/broken.png': 'no picture' });
    const sheet = join(temporaryFolder(), 'sheet.png');
    expect(await run(['show', folder, '--sheet', sheet])).toBe(1);
    expect(errors).toMatch(/^cbnn: .*broken\.png: expected a PNG, JPEG or P6 PPM picture.*\n$/);
    expect(existsSync(sheet)).toBe(false);
  });

  it('looks for a known name in ./data, in CBNN_DATA, or in --data-dir', async () => {
    expect(await run(['show', 'svhn'])).toBe(1);
    expect(errors).toContain(`expected train_32x32.mat in ${join('data', 'svhn')}`);
    vi.stubEnv('CBNN_DATA', '/nowhere');
    await run(['show', 'svhn']);
    expect(errors).toContain(`in ${join('/nowhere', 'svhn')}`);
    await run(['show', 'svhn', '--data-dir', '/elsewhere']);
    expect(errors).toContain(`in ${join('/elsewhere', 'svhn')}`);
  });
});

describe('cbnn data get', () => {
  it('downloads what is missing, and nothing twice', async () => {
    const server = await startServer({ '/toy.bin': FILE });
    const dataDir = temporaryFolder();
    const args = ['get', 'toy', '--from', server.url, '--data-dir', dataDir];
    expect(await run(args)).toBe(0);
    expect(lastResult()).toEqual({
      name: 'toy',
      folder: join(dataDir, 'toy'),
      downloaded: [`${server.url}/toy.bin`],
    });
    expect(readFileSync(join(dataDir, 'toy', 'toy.bin'))).toEqual(FILE);
    expect(await run(args, true)).toBe(0);
    expect(output).toBe(`toy: already in ${join(dataDir, 'toy')}\n`);
    expect(server.requests).toHaveLength(1);
  });

  it('goes on where an earlier run stopped, and where a connection breaks', async () => {
    const server = await startServer({ '/toy.bin': FILE }, { cutAfter: 15_000 });
    const dataDir = temporaryFolder();
    writeFiles(dataDir, { 'toy/toy.bin.part': FILE.subarray(0, 10_000) });
    expect(await run(['get', 'toy', '--from', server.url, '--data-dir', dataDir])).toBe(0);
    const offsets = server.requests.map(({ headers }) =>
      Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1]),
    );
    expect(offsets[0]).toBe(10_000);
    // How many of the 15,000 bytes were read before the cut depends on how busy the machine is.
    expect(offsets.at(-1)).toBeGreaterThan(10_000);
    expect(readFileSync(join(dataDir, 'toy', 'toy.bin'))).toEqual(FILE);
    expect(readdirSync(join(dataDir, 'toy'))).toEqual(['toy.bin']);
  });

  it('refuses a file with a wrong checksum, and leaves nothing of it', async () => {
    const server = await startServer({ '/toy.bin': Buffer.from(FILE).fill(0, 500, 600) });
    const dataDir = temporaryFolder();
    expect(await run(['get', 'toy', '--from', server.url, '--data-dir', dataDir])).toBe(1);
    expect(errors).toMatch(/^cbnn: http.*toy\.bin: expected md5 [0-9a-f]{32}, got [0-9a-f]{32};.*\n$/);
    expect(readdirSync(join(dataDir, 'toy'))).toEqual([]);
  });

  it('stops its bar after an error: a bar left running would keep the process alive', async () => {
    const start = vi.spyOn(cliProgress.SingleBar.prototype, 'start').mockReturnValue();
    const stop = vi.spyOn(cliProgress.SingleBar.prototype, 'stop').mockReturnValue();
    const server = await startServer({ '/toy.bin': FILE.subarray(1) });
    const args = ['get', 'toy', '--from', server.url, '--data-dir', temporaryFolder()];
    expect(await run(args, true)).toBe(1);
    expect(errors).toContain('expected md5');
    expect(start).toHaveBeenCalledOnce();
    expect(stop).toHaveBeenCalledOnce();
  });

  it('suggests the nearest name', async () => {
    expect(await run(['get', 'svhn-extr'])).toBe(1);
    expect(errors).toContain('did you mean svhn-extra?');
  });
});
