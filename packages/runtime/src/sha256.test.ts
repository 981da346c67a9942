import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sha256 } from './sha256.js';

const platform = (...parts: readonly Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

it('knows the hash of nothing and of abc', () => {
  expect(sha256()).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
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

it('agrees with the platform for any bytes in any number of parts', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }), (parts) => {
      expect(sha256(...parts)).toBe(platform(...parts));
    }),
  );
});

it('agrees with the platform on a megabyte', () => {
  const bytes = Uint8Array.from({ length: 1_000_003 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24);
  expect(sha256(bytes)).toBe(platform(bytes));
});
