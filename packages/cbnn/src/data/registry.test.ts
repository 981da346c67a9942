import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { datasets, findDataset, formOf, loadDataset } from './registry.js';
import { idxFiles } from './testing/idx-writer.js';
import { plainPng } from './testing/pictures.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

describe('the registry', () => {
  it('knows its data sets, each with a source, a licence and a layout', () => {
    expect(datasets.map(({ name }) => name)).toEqual([
      'signs',
      'cifar10',
      'gtsrb',
      'svhn',
      'svhn-extra',
      'chars74k',
      'mnist',
      'fashion-mnist',
    ]);
    for (const source of datasets) {
      expect(source.licence).not.toBe('');
      expect(source.files.length === 0).toBe(source.layout === '');
      for (const { url, md5 } of source.files) {
        expect(URL.canParse(url)).toBe(true);
        expect(md5 ?? '0'.repeat(32)).toMatch(/^[0-9a-f]{32}$/);
      }
    }
  });

  it('suggests the nearest name', () => {
    expect(() => findDataset('cifar-10')).toThrow(/got "cifar-10"; did you mean cifar10\?/);
    expect(() => findDataset('imagenet')).toThrow(
      /^data set: expected one of signs, cifar10, .*got "imagenet"$/,
    );
  });
});

describe('formOf', () => {
  it.each([
    ['', {}],
    ['train/', { size: 9 }],
  ])('tells the form of a folder of images (classes in "%s") before they are read', async (part, choices) => {
    const folder = temporaryFolder();
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      for (let n = 0; n < 4; n++) writeFiles(folder, { [`${part}${name}/${n}.png`]: plainPng(9 * n, i, 7) });
      if (part !== '') writeFiles(folder, { [`test/${name}/1.png`]: plainPng(200, i, 7) });
    }
    const { classes, train } = await loadDataset(folder, { dataDir: '', ...choices });
    const { height, width, channels } = train;
    expect(formOf(folder, choices)).toEqual({ classes: classes.length, height, width, channels });
  });

  it('tells that of the generated set and of MNIST files', async () => {
    const { classes, train } = await loadDataset('signs', { dataDir: '', trainCount: 24, testCount: 12 });
    const { height, width, channels } = train;
    expect(formOf('signs', {})).toEqual({ classes: classes.length, height, width, channels });
    expect(formOf('mnist', {})).toEqual({ classes: 10, height: 28, width: 28, channels: 1 });
    const folder = temporaryFolder();
    writeFiles(folder, idxFiles());
    expect(formOf(folder, {})).toBeNull();
  });

  it('suggests the nearest name', () => {
    expect(() => formOf('gtsbr', {})).toThrow('did you mean gtsrb?');
  });
});

describe('loadDataset', () => {
  it('reads a known name from its folder and says what is missing there', async () => {
    const dataDir = temporaryFolder();
    await expect(loadDataset('svhn', { dataDir })).rejects.toThrow(
      `expected train_32x32.mat in ${join(dataDir, 'svhn')}`,
    );
  });

  it('finds the files of svhn-extra among those of svhn', async () => {
    const dataDir = temporaryFolder();
    writeFiles(dataDir, { 'svhn/train_32x32.mat': '' });
    await expect(loadDataset('svhn-extra', { dataDir })).rejects.toThrow(
      `expected extra_32x32.mat in ${join(dataDir, 'svhn')}`,
    );
  });

  it('takes a known name for the data set, even where a folder here has that name', async () => {
    const here = temporaryFolder();
    writeFiles(here, { 'svhn/a/1.png': plainPng(1, 1, 1), 'svhn/b/1.png': plainPng(2, 2, 2) });
    const before = process.cwd();
    process.chdir(here);
    try {
      await expect(loadDataset('svhn', { dataDir: 'none' })).rejects.toThrow('expected train_32x32.mat in');
    } finally {
      process.chdir(before);
    }
  });

  it('takes a path for a folder of pictures, and a limit spread over its classes', async () => {
    const folder = temporaryFolder();
    for (let i = 0; i < 10; i++)
      writeFiles(folder, { [`a/${i}.png`]: plainPng(i, 0, 0), [`b/${i}.png`]: plainPng(i, 1, 0) });
    const whole = await loadDataset(folder, { dataDir: '/nowhere' });
    expect(whole.train.count).toBe(16);
    const { train, test } = await loadDataset(folder, { dataDir: '/nowhere', limit: 4 });
    expect([...train.labels]).toEqual([0, 0, 1, 1]);
    expect(test.count).toBe(whole.test.count);
  });

  it('takes a path for a folder of IDX files too', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, idxFiles());
    const { name, classes, train } = await loadDataset(folder, { dataDir: '/nowhere', limit: 2 });
    expect(name).toBe(basename(folder));
    expect(classes).toEqual(['0', '4', '9']);
    expect([...train.labels]).toEqual([2, 0]);
  });

  it('keeps the first images of a data set that is not sorted by class', async () => {
    const options = { dataDir: '/nowhere', trainCount: 36, testCount: 12 };
    const whole = await loadDataset('signs', options);
    const { train } = await loadDataset('signs', { ...options, limit: 20 });
    expect(train.count).toBe(20);
    expect(train.pixels).toEqual(whole.train.pixels.slice(0, 20 * 3072));
    expect((await loadDataset('signs', { ...options, limit: 99 })).train.count).toBe(36);
  });

  it.each([0, -3, 1.5])('refuses the limit %d', async (limit) => {
    await expect(loadDataset('signs', { dataDir: '', limit })).rejects.toThrow(
      'limit: expected a positive integer',
    );
  });
});
