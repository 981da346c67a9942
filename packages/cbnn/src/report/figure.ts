/**
 * Figures: Observable Plot draws into a small DOM (linkedom), and what it draws is put into a frame of our own with a
 * heading, a legend and a note. The result is one SVG file that stands alone: white background, explicit sizes and
 * colours, no style sheet, no ids, no reference to anything outside.
 *
 * PNGs are made from that SVG by resvg with the DejaVu fonts of this package's dependency and no system fonts, so that
 * a picture comes out the same on every machine, also on one without any font.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as Plot from '@observablehq/plot';
import { Resvg } from '@resvg/resvg-js';
import { parseHTML } from 'linkedom';
import { type Markup, markup, printable, trusted } from './markup.js';
import { COLOURS } from './palette.js';

/** pixels */
export const FIGURE_WIDTH = 640;
const PADDING = 20;
const TEXT_SIZE = 14;
const FONTS = 'Helvetica Neue, Helvetica, Arial, DejaVu Sans Condensed, sans-serif';

export interface LegendEntry {
  readonly label: string;
  readonly colour: string;
  /** a symbol of the plot, `line` or `dash` for lines without symbols, `area` for a filled square */
  readonly symbol: Plot.SymbolType | 'line' | 'dash' | 'area';
  /** drawn as an outline */
  readonly hollow?: boolean;
}

/** What stands around a plot. */
export interface FigureFrame {
  readonly heading?: string;
  /** a line under the heading: what was measured, on what */
  readonly subheading?: string;
  readonly legend?: readonly LegendEntry[];
  /** small print under the plot; broken into lines here */
  readonly note?: string;
}

/** A plot, or several side by side, as a self-contained SVG. Heights and widths come from the plots' own options. */
export function renderSvg(
  plots: Plot.PlotOptions | readonly Plot.PlotOptions[],
  frame: FigureFrame = {},
): string {
  const panels = (isList(plots) ? plots : [plots]).map(drawPlot);
  let x = 0;
  const placed = panels.map((panel) => {
    const group = markup`<g transform="translate(${x},0)">${panel.content}</g>`;
    x += panel.width;
    return group;
  });
  return frameSvg(x, Math.max(...panels.map((panel) => panel.height)), markup`${placed}`, frame);
}

/** `content`, drawn in the coordinates 0..width and 0..height, in a figure's frame. */
export function frameSvg(width: number, height: number, content: Markup, frame: FigureFrame = {}): string {
  const full = width + 2 * PADDING;
  const parts: Markup[] = [];
  let y = PADDING;
  const write = (line: string, size: number, weight: number, colour: string) => {
    y += size * 1.3;
    parts.push(
      markup`<text x="${PADDING}" y="${round(y - size * 0.3)}" font-size="${size}" font-weight="${weight}" fill="${colour}">${line}</text>`,
    );
  };
  if (frame.heading) for (const line of wrap(frame.heading, width, 17)) write(line, 17, 700, COLOURS.black);
  if (frame.subheading)
    for (const line of wrap(frame.subheading, width, 13)) write(line, 13, 400, COLOURS.grey);
  if (frame.legend?.length) {
    y += 8;
    const legend = drawLegend(frame.legend, width);
    parts.push(markup`<g transform="translate(${PADDING},${round(y)})">${legend.content}</g>`);
    y += legend.height;
  }
  if (parts.length > 0) y += 8;
  parts.push(markup`<g transform="translate(${PADDING},${round(y)})">${content}</g>`);
  y += height;
  if (frame.note) {
    y += 6;
    for (const line of wrap(frame.note, width, 12)) write(line, 12, 400, COLOURS.grey);
  }
  const total = Math.ceil(y + PADDING);
  const label = [frame.heading, frame.subheading].filter(Boolean).join('. ') || 'figure';
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${full}" height="${total}" viewBox="0 0 ${full} ${total}" role="img" aria-label="${label}" font-family="${FONTS}" font-size="${TEXT_SIZE}" fill="${COLOURS.black}" color="${COLOURS.black}"><rect width="${full}" height="${total}" fill="#ffffff"/>${parts}</svg>\n`
    .text;
}

/** Axis settings all figures share: labels without arrows, the x label in the middle, light horizontal grid lines. */
export function plotDefaults(options: Plot.PlotOptions): Plot.PlotOptions {
  return {
    width: FIGURE_WIDTH,
    height: 360,
    marginTop: 30,
    marginLeft: 56,
    marginRight: 24,
    marginBottom: 48,
    ...options,
    x: { labelAnchor: 'center', labelArrow: 'none', ...options.x },
    y: { labelArrow: 'none', grid: true, tickSize: 0, ...options.y },
  };
}

/** The SVG as a PNG, `width` pixels wide (default: twice the SVG's own width, sharp in print and on dense screens). */
export function svgToPng(svg: string, width?: number): Uint8Array {
  const resvg = new Resvg(svg, {
    fitTo: width === undefined ? { mode: 'zoom', value: 2 } : { mode: 'width', value: width },
    font: {
      loadSystemFonts: false,
      fontFiles: fontFiles(),
      defaultFontFamily: 'DejaVu Sans Condensed',
      sansSerifFamily: 'DejaVu Sans Condensed',
    },
    background: '#ffffff',
  });
  return resvg.render().asPng();
}

/** Writes `name.svg` and `name.png` into `folder`, which is made if it is not there. */
export async function writeFigure(folder: string, name: string, svg: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const write = async (path: string, content: string | Uint8Array) => {
    await writeFile(`${path}.tmp`, content);
    await rename(`${path}.tmp`, path);
  };
  await write(join(folder, `${name}.svg`), svg);
  await write(join(folder, `${name}.png`), svgToPng(svg));
}

interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly content: Markup;
}

function drawPlot(options: Plot.PlotOptions): Drawing {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const element = Plot.plot({ ...options, document });
  // Plot's style sheet only matters inside a web page; everything a picture needs is in attributes.
  for (const style of element.querySelectorAll('style')) style.remove();
  return {
    width: Number(element.getAttribute('width')),
    height: Number(element.getAttribute('height')),
    content: trusted(
      `<g text-anchor="middle" fill="currentColor">${shorten(printable(String(element.innerHTML)))}</g>`,
    ),
  };
}

/** The legend is a plot too, so that its symbols are the plot's own. */
function drawLegend(entries: readonly LegendEntry[], width: number): Drawing {
  const lineHeight = 22;
  let x = 0;
  let row = 0;
  const placed = entries.map((entry) => {
    const isLine = entry.symbol === 'line' || entry.symbol === 'dash';
    const textAt = isLine ? 32 : 20;
    const size = textAt + textWidth(entry.label, 13);
    if (x > 0 && x + size > width) {
      x = 0;
      row++;
    }
    const position = { ...entry, isLine, x, textX: x + textAt, y: row * lineHeight + lineHeight / 2 };
    x += size + 18;
    return position;
  });
  const marks = placed.map((entry): Plot.Markish => {
    if (entry.isLine)
      return Plot.link([entry], {
        x1: entry.x,
        x2: entry.x + 24,
        y1: entry.y,
        y2: entry.y,
        stroke: entry.colour,
        strokeWidth: 2,
        ...(entry.symbol === 'dash' && { strokeDasharray: '5 4' }),
      });
    const symbol = entry.symbol === 'area' ? 'square' : (entry.symbol as Plot.SymbolType);
    return Plot.dot([entry], {
      x: entry.x + 7,
      y: entry.y,
      symbol,
      r: entry.symbol === 'area' ? 7 : 5,
      strokeWidth: 1.75,
      ...(entry.hollow
        ? { stroke: entry.colour, fill: 'white' }
        : { fill: entry.colour, stroke: entry.colour }),
    });
  });
  const labels = Plot.text(placed, { x: 'textX', y: 'y', text: 'label', textAnchor: 'start', fontSize: 13 });
  return drawPlot({
    width,
    height: (row + 1) * lineHeight,
    margin: 0,
    axis: null,
    x: { type: 'identity' },
    y: { type: 'identity' },
    marks: [...marks, labels],
  });
}

/** Room a text takes in a common sans-serif font, in pixels; an estimate, because the reader's font is not known. */
export function textWidth(text: string, size: number): number {
  let units = 0;
  for (const character of text) {
    if (/[ijlftrI.,:;'|!()[\] ]/.test(character)) units += 0.33;
    else if (/[mwMW%@]/.test(character)) units += 0.85;
    else if (/[A-Z0-9+=_#&]/.test(character)) units += 0.62;
    // Chinese, Japanese and Korean are as wide as they are high
    else units += character >= '\u2e80' ? 1 : 0.55;
  }
  return units * size;
}

/** Lines of at most `width` pixels, broken at spaces. */
function wrap(text: string, width: number, size: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(`${last} ${word}`, size) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Coordinates with two decimals: a hundredth of a pixel is enough, and files stay small and equal. Texts stay as they are. */
const shorten = (svg: string): string =>
  svg.replace(/<[^>]*>/g, (tag) => tag.replace(/\d+\.\d{3,}/g, (number) => String(round(Number(number)))));

const round = (value: number): number => Math.round(value * 100) / 100;

const isList = <T>(value: T | readonly T[]): value is readonly T[] => Array.isArray(value);

function fontFiles(): string[] {
  const require = createRequire(import.meta.url);
  const folder = join(dirname(require.resolve('dejavu-fonts-ttf/package.json')), 'ttf');
  return ['DejaVuSansCondensed.ttf', 'DejaVuSansCondensed-Bold.ttf'].map((file) => join(folder, file));
}
