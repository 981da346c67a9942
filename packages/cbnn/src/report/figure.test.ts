import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as Plot from '@observablehq/plot';
import { PNG } from 'pngjs';
import { describe, expect, test } from 'vitest';
import { frameSvg, plotDefaults, renderSvg, svgToPng, textWidth, writeFigure } from './figure.js';
import { markup } from './markup.js';

const HOSTILE = '</text><script>alert("1")</script> & \u0000 \u00a0 ]]>';

const dots = (label: string) =>
  plotDefaults({
    width: 300,
    height: 200,
    x: { label },
    marks: [
      Plot.dot([
        [1, 2],
        [3, 4],
      ]),
    ],
  });

/** Pixels that are not white. */
function ink(png: Uint8Array): number {
  const { data } = PNG.sync.read(Buffer.from(png));
  let count = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i]! + data[i + 1]! + data[i + 2]! < 600) count++;
  return count;
}

describe('a rendered figure', () => {
  test('is one SVG with a white background, and names nothing outside itself', () => {
    const svg = renderSvg(dots('epoch'), { heading: 'Heading', note: 'Note' });
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="340"/);
    expect(svg).toContain('fill="#ffffff"');
    expect(svg.match(/https?:/g)).toHaveLength(1);
    expect(svg).not.toMatch(/<style|<script|\bid=|url\(|undefined|NaN/);
    for (const text of ['Heading', 'Note', 'epoch']) expect(svg).toContain(`>${text}<`);
  });

  test('is the same every time', () => {
    expect(renderSvg(dots('x'), { heading: 'a' })).toBe(renderSvg(dots('x'), { heading: 'a' }));
  });

  test('places several plots side by side', () => {
    expect(renderSvg([dots('a'), dots('b')])).toContain('viewBox="0 0 640 240"');
  });

  test('stays well-formed with text that tries to break out of it', () => {
    const svg = renderSvg(dots(HOSTILE), {
      heading: HOSTILE,
      note: HOSTILE,
      legend: [{ label: HOSTILE, colour: '#000', symbol: 'circle' }],
    });
    expect(svg).not.toContain('<script');
    // resvg reads strict XML and throws when it is not
    expect(svgToPng(svg, 200).length).toBeGreaterThan(1000);
  });

  test('breaks long notes into lines', () => {
    const svg = renderSvg(dots('x'), { note: 'word '.repeat(60).trim() });
    expect(svg.match(/>word[ a-z]*</g)!.length).toBeGreaterThan(3);
  });
});

describe('a PNG', () => {
  test('has the width that was asked for, or twice that of the SVG', () => {
    const svg = renderSvg(dots('x'));
    expect(PNG.sync.read(Buffer.from(svgToPng(svg, 500))).width).toBe(500);
    expect(PNG.sync.read(Buffer.from(svgToPng(svg))).width).toBe(680);
  });

  test('shows its text without the fonts of the system', () => {
    const blank = ink(svgToPng(frameSvg(300, 50, markup``)));
    const regular = ink(svgToPng(frameSvg(300, 50, markup`<text y="30">some words</text>`)));
    const bold = ink(svgToPng(frameSvg(300, 50, markup`<text y="30" font-weight="700">some words</text>`)));
    expect(blank).toBe(0);
    expect(regular).toBeGreaterThan(800);
    expect(bold).toBeGreaterThan(regular * 1.2);
  });
});

test('figures are written as SVG and PNG with nothing left over', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cbnn-figure-'));
  try {
    const svg = renderSvg(dots('x'));
    await writeFigure(join(folder, 'new', 'figures'), 'one', svg);
    await writeFigure(join(folder, 'new', 'figures'), 'one', svg);
    expect((await readdir(join(folder, 'new', 'figures'))).sort()).toEqual(['one.png', 'one.svg']);
    expect(await readFile(join(folder, 'new', 'figures', 'one.svg'), 'utf8')).toBe(svg);
    expect((await readFile(join(folder, 'new', 'figures', 'one.png'))).subarray(1, 4).toString()).toBe('PNG');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.each([
  ['iiiii', 'mmmmm'],
  ['one', 'one two'],
  ['ab', '汉字'],
])('%s is narrower than %s', (narrow, wide) => {
  expect(textWidth(narrow, 14)).toBeLessThan(textWidth(wide, 14));
});

test('shortens coordinates, not texts', () => {
  const svg = renderSvg(
    plotDefaults({ marks: [Plot.text([[1, 2]], { text: () => '0.0366 ms', dx: 1.23456 })] }),
  );
  expect(svg).toContain('0.0366 ms');
  expect(svg).not.toMatch(/="[^"]*\d\.\d{3}/);
});
