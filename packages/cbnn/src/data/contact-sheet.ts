/** A contact sheet: some images of every class side by side, as a PNG picture. */
import { configError, dataError } from '@cbnn/runtime';
import { PNG } from 'pngjs';
import type { ImageSet } from './dataset.js';
import { GLYPH_HEIGHT, GLYPH_WIDTH, writeText } from './tiny-font.js';

export interface ContactSheetOptions {
  /** images of each class; 10 by default */
  readonly perClass?: number;
  /** classes side by side; 1 by default, or 2 from 20 classes on */
  readonly columns?: number;
  /** how many times larger images are drawn; 2 by default */
  readonly scale?: number;
}

const GAP = 2;
const MARGIN = 8;
const BACKGROUND = 0xf6;
const INK = 0x30;
const TEXT_SCALE = 2;
const MAX_PIXELS = 64_000_000;

/**
 * PNG bytes of a sheet with one labelled row per class. Grey images stay grey; of images with other channel counts
 * than 1 and 3, the first channel is shown. Throws a config error for options that make no picture.
 */
export function contactSheet(
  images: ImageSet,
  classes: readonly string[],
  options: ContactSheetOptions = {},
): Uint8Array {
  const { perClass = 10, scale = 2, columns = classes.length >= 20 ? 2 : 1 } = options;
  for (const [name, value] of Object.entries({ perClass, scale, columns }))
    if (!Number.isInteger(value) || value < 1)
      throw configError(`${name}: expected a positive integer, got ${value}`);
  if (classes.length === 0) throw dataError('contact sheet: expected at least one class, got none');

  const letters = Math.max(...classes.map((name) => [...name].length));
  const labelWidth = letters * (GLYPH_WIDTH + 1) * TEXT_SCALE + MARGIN;
  const cell = { width: images.width * scale + GAP, height: images.height * scale + GAP };
  const rows = Math.ceil(classes.length / columns);
  const columnWidth = labelWidth + perClass * cell.width + MARGIN;
  const rowHeight = Math.max(cell.height, GLYPH_HEIGHT * TEXT_SCALE + GAP);
  const width = MARGIN + columns * columnWidth;
  const height = 2 * MARGIN + rows * rowHeight;
  if (width * height > MAX_PIXELS)
    throw configError(
      `contact sheet: expected at most ${MAX_PIXELS} pixels, got ${width}x${height}; use fewer images or a smaller scale`,
    );

  const png = new PNG({ width, height });
  png.data.fill(BACKGROUND);
  const paint = (x: number, y: number, red: number, green: number, blue: number) => {
    png.data.set([red, green, blue, 255], (y * width + x) * 4);
  };
  for (let i = 3; i < png.data.length; i += 4) png.data[i] = 255;

  const shown = spreadOverClass(images, classes.length, perClass);
  for (const [label, name] of classes.entries()) {
    const left = MARGIN + Math.floor(label / rows) * columnWidth;
    const top = MARGIN + (label % rows) * rowHeight;
    const textTop = top + Math.floor((rowHeight - GAP - GLYPH_HEIGHT * TEXT_SCALE) / 2);
    writeText(name, (x, y) => {
      for (let dy = 0; dy < TEXT_SCALE; dy++)
        for (let dx = 0; dx < TEXT_SCALE; dx++)
          paint(left + x * TEXT_SCALE + dx, textTop + y * TEXT_SCALE + dy, INK, INK, INK);
    });
    for (const [position, index] of shown[label]!.entries())
      drawImage(images, index, scale, left + labelWidth + position * cell.width, top, paint);
  }
  return PNG.sync.write(png, { colorType: 2 });
}

function drawImage(
  images: ImageSet,
  index: number,
  scale: number,
  left: number,
  top: number,
  paint: (x: number, y: number, red: number, green: number, blue: number) => void,
): void {
  const { width, height, channels, pixels } = images;
  const [green, blue] = channels === 3 ? [1, 2] : [0, 0];
  for (let y = 0; y < height * scale; y++)
    for (let x = 0; x < width * scale; x++) {
      const at = ((index * height + Math.floor(y / scale)) * width + Math.floor(x / scale)) * channels;
      paint(left + x, top + y, pixels[at]!, pixels[at + green]!, pixels[at + blue]!);
    }
}

/** Indices of `perClass` images of each class, spread evenly: neighbours may be frames of one film. */
function spreadOverClass(images: ImageSet, classes: number, perClass: number): number[][] {
  const found: number[][] = Array.from({ length: classes }, () => []);
  for (const [index, label] of images.labels.entries()) found[label]?.push(index);
  return found.map((all) => {
    const count = Math.min(perClass, all.length);
    return Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)]!);
  });
}
