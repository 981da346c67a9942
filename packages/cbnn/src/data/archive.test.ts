import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unpackTarGz, unpackZip, unsafePath } from './archive.js';
import { writeTarGz, writeZip } from './testing/archives.js';
import { readDamaged } from './testing/damage.js';
import { temporaryFolder, writeFiles } from './testing/temporary-folder.js';

const ENTRIES = [
  { path: 'set/a.txt', content: 'first' },
  { path: 'set/deep/b.bin', content: 'x'.repeat(5000) },
];

const FORMATS = [
  ['tar.gz', unpackTarGz, writeTarGz],
  ['zip', unpackZip, writeZip],
] as const;

describe.each(FORMATS)('unpacking a %s file', (format, unpack, write) => {
  async function unpackBytes(bytes: Uint8Array): Promise<string> {
    const folder = temporaryFolder();
    writeFiles(folder, { [`archive.${format}`]: bytes });
    await unpack(join(folder, `archive.${format}`), join(folder, 'out'));
    return join(folder, 'out');
  }

  it('writes its files', async () => {
    const out = await unpackBytes(write(ENTRIES));
    expect(readFileSync(join(out, 'set/a.txt'), 'utf8')).toBe('first');
    expect(readFileSync(join(out, 'set/deep/b.bin'), 'utf8')).toBe('x'.repeat(5000));
  });

  it.each(['../evil.txt', 'set/../../evil.txt', '/cbnn/evil.txt', '..\\evil.txt', 'C:/evil.txt'])(
    'refuses the entry %s and writes nothing outside',
    async (path) => {
      const folder = temporaryFolder();
      writeFiles(folder, { 'deep/archive': write([...ENTRIES, { path, content: 'evil' }]) });
      await expect(unpack(join(folder, 'deep/archive'), join(folder, 'deep/out'))).rejects.toThrow(
        /deep.archive: .*(evil\.txt|outside)/,
      );
      expect(readdirSync(folder)).toEqual(['deep']);
      expect(readdirSync(join(folder, 'deep')).sort()).toEqual(['archive', 'out']);
      expect(existsSync('/cbnn/evil.txt')).toBe(false);
    },
  );

  it('refuses an empty archive', async () => {
    await expect(unpackBytes(write([]))).rejects.toThrow('cannot be unpacked');
  });

  it('refuses a truncated archive', async () => {
    const bytes = write(ENTRIES);
    await expect(unpackBytes(bytes.slice(0, bytes.length * 0.6))).rejects.toThrow(
      /cannot be unpacked .* damaged or truncated/,
    );
  });

  it('refuses something else', async () => {
    await expect(unpackBytes(Buffer.from('<html>not found</html>'))).rejects.toThrow('cannot be unpacked');
  });

  it('never crashes on a damaged archive', async () => {
    const { errors } = await readDamaged(write(ENTRIES), 40, 60, unpackBytes);
    expect(errors).toBeGreaterThanOrEqual(40);
  });

  it('stops when told to', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, { archive: write(ENTRIES) });
    const aborted = unpack(join(folder, 'archive'), join(folder, 'out'), { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toThrow('aborted');
  });
});

describe('links', () => {
  it.each([
    ['symbolic links', { path: 'set/link', type: '2' as const, link: '/etc' }, 'SymbolicLink'],
    ['devices', { path: 'set/null', type: '3' as const }, 'CharacterDevice'],
  ])('are refused in tar files: %s', async (_, entry, type) => {
    const folder = temporaryFolder();
    writeFiles(folder, { archive: writeTarGz([entry, { path: 'set/link/x', content: 'x' }]) });
    await expect(unpackTarGz(join(folder, 'archive'), join(folder, 'out'))).rejects.toThrow(
      `(of type ${type})`,
    );
    expect(existsSync(join(folder, 'out/set/link'))).toBe(false);
  });

  it('are refused in zip files', async () => {
    const folder = temporaryFolder();
    writeFiles(folder, { archive: writeZip([{ path: 'link', content: '/etc' }], 0xa1ff) });
    await expect(unpackZip(join(folder, 'archive'), join(folder, 'out'))).rejects.toThrow(
      'got entry "link" (a link)',
    );
  });
});

describe('unsafePath', () => {
  it.each(['a', 'a/b.txt', 'a..b/c', '..a/b', './a/'])('accepts %s', (path) => {
    expect(unsafePath(path)).toBeNull();
  });
  it.each(['', '..', 'a/..', '../a', '/a', '\\a', 'a\\..\\b', 'a\\b', 'c:a', 'a\0b'])(
    'refuses %j',
    (path) => {
      expect(unsafePath(path)).not.toBeNull();
    },
  );
});
