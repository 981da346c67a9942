import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import { contactSheet } from './contact-sheet.js';
import type { ImageSet } from './dataset.js';

/** 2x2 images of one colour each: class in red, index in green. */
function images(labels: readonly number[], channels = 3): ImageSet {
  const pixels = new Uint8Array(labels.length * 4 * channels);
  for (const [i, label] of labels.entries())
    for (let p = 0; p < 4; p++)
      pixels.set([100 + label, i + 1, 7].slice(0, channels), (i * 4 + p) * channels);
  return { count: labels.length, height: 2, width: 2, channels, pixels, labels: Uint16Array.from(labels) };
}

/** How many pixels have a colour. */
function count(sheet: Uint8Array, red: number, green: number, blue: number): number {
  const { data } = PNG.sync.read(Buffer.from(sheet));
  let found = 0;
  for (let i = 0; i < data.length; i += 4)
    if (data[i] === red && data[i + 1] === green && data[i + 2] === blue) found++;
  return found;
}

describe('contactSheet', () => {
  it('shows images of every class, spread over it, enlarged', () => {
    const sheet = contactSheet(images([1, 0, 1, 1, 0]), ['cat', 'dog'], { perClass: 2, scale: 3 });
    for (const [label, index] of [
      [1, 0],
      [0, 1],
      [1, 2],
      [0, 4],
    ] as const)
      expect(count(sheet, 100 + label, index + 1, 7)).toBe(36);
    expect(count(sheet, 101, 4, 7)).toBe(0);
  });

  it('writes the classes beside the rows', () => {
    const ink = (name: string) => count(contactSheet(images([0]), [name]), 0x30, 0x30, 0x30);
    // I has 9 dots of 3x5, each drawn as 2x2 pixels; a character without a glyph is a box.
    expect(ink('I')).toBe(9 * 4);
    expect(ink('i')).toBe(ink('I'));
    expect(ink(' ')).toBe(0);
    expect(ink('é')).toBeGreaterThan(40);
  });

  it('shows grey images grey', () => {
    expect(count(contactSheet(images([0], 1), ['a'], { scale: 1 }), 100, 100, 100)).toBe(4);
  });

  it('puts classes side by side on request, and every image on the sheet', () => {
    const labels = Array.from({ length: 25 }, (_, i) => i);
    const sheet = contactSheet(images(labels), labels.map(String), { perClass: 1, scale: 1 });
    for (const label of labels) expect(count(sheet, 100 + label, label + 1, 7)).toBe(4);
  });

  it.each([{ scale: 0 }, { perClass: 1.5 }, { columns: -1 }, { scale: 5000 }])('refuses %j', (options) => {
    expect(() => contactSheet(images([0]), ['a'], options)).toThrow('expected');
  });
});
