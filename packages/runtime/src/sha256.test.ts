import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { sha256, sha256Async } from './sha256.js';

const platform = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

afterEach(() => vi.unstubAllGlobals());

it('knows the hash of nothing and of abc', () => {
  expect(sha256(new Uint8Array())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(sha256(new TextEncoder().encode('abc'))).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
});

it('agrees with the platform at every length around the block borders', () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 151 + length) & 255);
    expect(sha256(bytes)).toBe(platform(bytes));
  }
});

it('agrees with the platform for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
      expect(sha256(bytes)).toBe(platform(bytes));
    }),
  );
});

it('agrees with the platform on a megabyte', () => {
  const bytes = Uint8Array.from({ length: 1_000_003 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24);
  expect(sha256(bytes)).toBe(platform(bytes));
});

it('asks the platform where it can be waited for, and does without', async () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 151) & 255);
  const digest = vi.spyOn(crypto.subtle, 'digest');
  expect(await sha256Async(bytes)).toBe(platform(bytes));
  expect(digest).toHaveBeenCalledOnce();
  // A page that is not served over HTTPS has a `crypto` without `subtle`.
  for (const without of [{}, undefined]) {
    vi.stubGlobal('crypto', without);
    expect(await sha256Async(bytes)).toBe(platform(bytes));
  }
  expect(digest).toHaveBeenCalledOnce();
});
