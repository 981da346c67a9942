/**
 * `signs`: pictures of invented traffic signs, drawn on the spot, so that everything can be tried without a download.
 *
 * Twelve classes of outline and pictogram (sign-shapes.ts), every one of them in any colours, before clutter in the
 * same colours, turned, tilted, half hidden, in shadow, out of focus, noisy; and under very different light: a third
 * of the pictures is dark, their content in the low bits, as it is in GTSRB. Neither colours nor average pictures tell
 * the classes apart.
 *
 * A picture is composed in linear light from the back to the front, each layer covering the one before by the soft
 * threshold of a signed distance; how soft is the focus. Light, haze and sensor noise follow, then rounding to 8 bits.
 * A picture depends on (seed, part, index) only, so that any of them, and any number, can be made again.
 */
import { setImmediate } from 'node:timers/promises';
import { configError } from '@cbnn/runtime';
import { Random } from '../random.js';
import type { Dataset, ImageSet } from './dataset.js';
import { type Distance, disc, rectangle, SIGN_DESIGNS, type SignDesign, stroke } from './sign-shapes.js';
import type { DatasetSource, ReadOptions } from './source.js';

const SIDE = 32;
const PIXELS = SIDE * SIDE * 3;

/** The purpose that names this file's random streams. */
const STREAM = 0x51635;

/** Pictures of the two parts never share a stream. */
export type SignPart = 'train' | 'test';
const PART_STREAM: Readonly<Record<SignPart, number>> = { train: 0, test: 1 };

type Color = readonly [red: number, green: number, blue: number];

const WHITE: Color = [0.92, 0.92, 0.9];
const BLACK: Color = [0.05, 0.05, 0.06];
const RED: Color = [0.75, 0.09, 0.1];
const BLUE: Color = [0.08, 0.22, 0.65];
const YELLOW: Color = [0.95, 0.75, 0.08];
const GREEN: Color = [0.06, 0.45, 0.2];
const ORANGE: Color = [0.93, 0.45, 0.06];

/** Colours of rim, field and pictogram: any class may have any of them. */
const LIVERIES: readonly (readonly [rim: Color, field: Color, ink: Color])[] = [
  [RED, WHITE, BLACK],
  [RED, YELLOW, BLACK],
  [WHITE, RED, WHITE],
  [WHITE, BLUE, WHITE],
  [BLUE, WHITE, BLUE],
  [BLACK, YELLOW, BLACK],
  [BLACK, ORANGE, BLACK],
  [WHITE, GREEN, WHITE],
  [BLACK, WHITE, RED],
];

const BACKDROPS: readonly Color[] = [
  [0.5, 0.65, 0.85],
  [0.75, 0.78, 0.8],
  [0.2, 0.33, 0.14],
  [0.38, 0.36, 0.33],
  [0.5, 0.38, 0.26],
  [0.14, 0.16, 0.2],
];

/** A picture being painted: linear light, `[32][32][3]`. */
class Canvas {
  readonly light = new Float64Array(PIXELS);
  /** width of an edge in pixels */
  constructor(private readonly softness: number) {}

  /** Calls `color` into every pixel. */
  fill(color: (x: number, y: number, channel: number) => number): void {
    for (let i = 0, y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++) for (let c = 0; c < 3; c++) this.light[i++] = color(x, y, c);
  }

  /** Covers with `color` where `shape`, placed by `frame`, is; only within `reach` radii of the frame's origin. */
  draw(shape: Distance, frame: Frame, color: Color, reach: number): void {
    const perUnit = frame.radius / this.softness;
    this.within(frame, reach, (i, u, v) => {
      const cover = 0.5 - shape(u, v) * perUnit;
      if (cover <= 0) return;
      const part = Math.min(1, cover);
      for (let c = 0; c < 3; c++) this.light[i + c] = this.light[i + c]! * (1 - part) + color[c]! * part;
    });
  }

  /** Multiplies the light where `shape` is by `factor`. */
  shade(shape: Distance, frame: Frame, factor: number, reach: number): void {
    const perUnit = frame.radius / (this.softness * 2);
    this.within(frame, reach, (i, u, v) => {
      const part = Math.min(1, Math.max(0, 0.5 - shape(u, v) * perUnit));
      for (let c = 0; c < 3; c++) this.light[i + c] = this.light[i + c]! * (1 - part * (1 - factor));
    });
  }

  /** Visits the pixels in the square of `reach` radii around a frame, with their coordinates (u, v) in it. */
  private within(frame: Frame, reach: number, visit: (index: number, u: number, v: number) => void): void {
    const half = reach * frame.radius + this.softness;
    const clamp = (value: number) => Math.min(SIDE, Math.max(0, value));
    const [left, right] = [clamp(Math.floor(frame.x - half)), clamp(Math.ceil(frame.x + half))];
    const [top, bottom] = [clamp(Math.floor(frame.y - half)), clamp(Math.ceil(frame.y + half))];
    const cos = Math.cos(frame.angle) / frame.radius;
    const sin = Math.sin(frame.angle) / frame.radius;
    for (let y = top; y < bottom; y++)
      for (let x = left; x < right; x++) {
        const dx = x + 0.5 - frame.x;
        const dy = y + 0.5 - frame.y;
        visit((y * SIDE + x) * 3, (cos * dx + sin * dy) / frame.squeeze, cos * dy - sin * dx);
      }
  }
}

/** Where a shape lies: centre and radius in pixels, angle in radians, width in parts of the height (seen askew). */
interface Frame {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly angle: number;
  readonly squeeze: number;
}

/** Draws from one stream, with the distributions that a scene needs. */
class Dice extends Random {
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /**
   * Nearly normal, mean 0 and deviation 1, from the sum of the four bytes of one draw: noise for three thousand values
   * of a picture, a third of its cost.
   */
  grain(): number {
    const bits = this.uint32();
    return ((bits & 255) + ((bits >>> 8) & 255) + ((bits >>> 16) & 255) + (bits >>> 24) - 510) / 147.8;
  }

  /** A colour near the given one. */
  tint(color: Color, spread: number): Color {
    const gain = this.between(1 - spread, 1 + spread);
    const mix = (value: number) =>
      Math.min(1, Math.max(0, value * gain + this.between(-spread, spread) * 0.15));
    return [mix(color[0]), mix(color[1]), mix(color[2])];
  }
}

const distantColor = (dice: Dice): Color =>
  dice.chance(0.4) ? dice.tint(dice.pick(dice.pick(LIVERIES)), 0.3) : dice.tint(dice.pick(BACKDROPS), 0.4);

/** A two-coloured gradient with things standing about. */
function paintBackground(canvas: Canvas, dice: Dice): void {
  const from = dice.tint(dice.pick(BACKDROPS), 0.35);
  const to = dice.tint(dice.pick(BACKDROPS), 0.35);
  const angle = dice.between(-0.6, 0.6);
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const horizon = dice.between(8, 26);
  const width = dice.between(2, 24);
  canvas.fill((x, y, c) => {
    const part = Math.min(1, Math.max(0, 0.5 + ((y - horizon) * cos + (x - SIDE / 2) * sin) / width));
    return from[c]! * (1 - part) + to[c]! * part;
  });
  for (let things = 2 + dice.below(5); things > 0; things--) {
    const frame = {
      x: dice.between(-2, 34),
      y: dice.between(-2, 34),
      radius: dice.between(2, 8),
      angle: dice.between(0, Math.PI),
      squeeze: dice.between(0.4, 1.6),
    };
    const shape = dice.pick([disc(1), rectangle(1.6, 1.6), stroke(-2.2, 0, 2.2, 0, 0.35), rectangle(0.5, 3)]);
    canvas.draw(shape, frame, distantColor(dice), 4);
  }
}

/** Pole, rim, field and pictogram. */
function paintSign(canvas: Canvas, design: SignDesign, frame: Frame, dice: Dice): void {
  const [rim, field, ink] = dice.pick(LIVERIES).map((color) => dice.tint(color, 0.18)) as [
    Color,
    Color,
    Color,
  ];
  const rimWidth = dice.between(0.12, 0.24);
  const bold = dice.between(-0.02, 0.04);
  if (dice.chance(0.6)) {
    const pole = { ...frame, y: frame.y + frame.radius * 2, squeeze: 1 };
    canvas.draw(rectangle(0.16, 2.6), pole, dice.tint([0.45, 0.45, 0.45], 0.3), 1.5);
  }
  canvas.draw((x, y) => design.outline(x, y) - 0.06, frame, dice.chance(0.5) ? WHITE : BLACK, 1.6);
  canvas.draw(design.outline, frame, rim, 1.6);
  canvas.draw((x, y) => design.outline(x, y) + rimWidth, frame, field, 1.6);
  const { pictogram } = design;
  if (pictogram) canvas.draw((x, y) => pictogram(x, y) - bold, frame, ink, 1.2);
}

/** Sometimes a shadow, and something in front of the sign's edge. */
function paintForeground(canvas: Canvas, frame: Frame, dice: Dice): void {
  if (dice.chance(0.3)) {
    const shadow = { ...frame, angle: dice.between(0, 2 * Math.PI), squeeze: 1 };
    const edge = dice.between(-0.4, 0.5);
    canvas.shade((x) => x - edge, shadow, dice.between(0.35, 0.7), 2.5);
  }
  if (dice.chance(0.3)) {
    const around = dice.between(0, 2 * Math.PI);
    const frameOfThing = {
      x: frame.x + Math.cos(around) * frame.radius,
      y: frame.y + Math.sin(around) * frame.radius,
      radius: frame.radius * dice.between(0.25, 0.5),
      angle: dice.between(0, Math.PI),
      squeeze: dice.between(0.5, 1.5),
    };
    canvas.draw(dice.pick([disc(1), stroke(-3, 0, 3, 0, 0.5)]), frameOfThing, distantColor(dice), 3.5);
  }
}

/** Exposure, haze, contrast and noise: linear light 0..1 to 8 bits. */
function expose(light: Float64Array, dice: Dice, pixels: Uint8Array, at: number): void {
  const dark = dice.chance(0.35);
  const gain = dark ? Math.exp(dice.between(Math.log(16), Math.log(60))) : dice.between(110, 255);
  const haze = dark ? dice.between(0, 8) : dice.chance(0.2) ? dice.between(40, 110) : dice.between(0, 15);
  const contrast = haze > 15 ? dice.between(0.35, 0.7) : 1;
  const cast = [dice.between(0.85, 1.1), dice.between(0.9, 1.05), dice.between(0.85, 1.1)];
  const readNoise = dice.between(0.3, dark ? 1.2 : 4);
  const shotNoise = dice.between(0, dark ? 0.15 : 0.5);
  for (let i = 0; i < PIXELS; i++) {
    const value = haze + light[i]! * gain * contrast * cast[i % 3]!;
    const noisy = value + dice.grain() * (readNoise + shotNoise * Math.sqrt(Math.max(0, value)));
    pixels[at + i] = Math.min(255, Math.max(0, Math.round(noisy)));
  }
}

/** Draws picture `index` of a part into `pixels` from `at` on, `[32][32][3]`; its class is `index % 12`. */
export function drawSign(seed: number, part: SignPart, index: number, pixels: Uint8Array, at: number): void {
  const dice = new Dice(STREAM, seed, PART_STREAM[part], index);
  const canvas = new Canvas(dice.chance(0.3) ? dice.between(1.5, 3.2) : dice.between(0.9, 1.5));
  const frame: Frame = {
    x: SIDE / 2 + dice.between(-4, 4),
    y: SIDE / 2 + dice.between(-4, 4),
    radius: dice.between(7.5, 13),
    angle: dice.between(-0.3, 0.3),
    squeeze: dice.between(0.72, 1),
  };
  paintBackground(canvas, dice);
  paintSign(canvas, SIGN_DESIGNS[index % SIGN_DESIGNS.length]!, frame, dice);
  paintForeground(canvas, frame, dice);
  expose(canvas.light, dice, pixels, at);
}

/** Makes the first `count` pictures of a part. */
async function drawSigns(count: number, part: SignPart, options: ReadOptions): Promise<ImageSet> {
  const stage = `drawing ${part === 'train' ? 'training' : 'test'} images`;
  const pixels = new Uint8Array(count * PIXELS);
  for (let i = 0; i < count; i++) {
    if (i % 200 === 0) {
      options.onProgress?.({ stage, done: i, total: count });
      await setImmediate();
      options.signal?.throwIfAborted();
    }
    drawSign(options.seed ?? 1, part, i, pixels, i * PIXELS);
  }
  options.onProgress?.({ stage, done: count, total: count });
  const labels = Uint16Array.from({ length: count }, (_, i) => i % SIGN_DESIGNS.length);
  return { count, height: SIDE, width: SIDE, channels: 3, pixels, labels };
}

/** Makes the data set `signs`; `trainCount` and `testCount` are at least 12 and at most a million. */
export async function generateSigns(options: ReadOptions = {}): Promise<Dataset> {
  const { trainCount = 8000, testCount = 2000 } = options;
  for (const [what, count] of [
    ['train count', trainCount],
    ['test count', testCount],
  ] as const)
    if (!Number.isInteger(count) || count < SIGN_DESIGNS.length || count > 1_000_000)
      throw configError(`${what}: expected an integer from ${SIGN_DESIGNS.length} to 1000000, got ${count}`);
  return {
    name: signs.name,
    title: signs.title,
    classes: SIGN_DESIGNS.map((design) => design.name),
    train: await drawSigns(trainCount, 'train', options),
    test: await drawSigns(testCount, 'test', options),
    split: 'stratified',
    validationShare: 0.1,
    // A mirrored left turn is a right turn.
    augmentation: { mirror: false, shift: 2 },
  };
}

export const signs: DatasetSource = {
  name: 'signs',
  title: 'Signs',
  description: 'generated pictures of 12 invented traffic signs, 32x32: nothing to download',
  licence: 'made by this program; free to use',
  files: [],
  layout: '',
  form: { classes: SIGN_DESIGNS.length, height: 32, width: 32, channels: 3 },
  sortedByClass: false,
  read: (_folder, options) => generateSigns(options),
};
