/**
 * What the network sees of an image: its slices (the paper's Fig 3), and the image with its lowest slices replaced by
 * random bits beside the accuracy that is left (Fig 1).
 */
import { codeTable, type InputCode, type Slice, thermometerThresholds } from '@cbnn/runtime';
import * as Plot from '@observablehq/plot';
import { Random } from '../random.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { bitLabel, firstSliceLabel } from './code-labels.js';
import { FIGURE_WIDTH, frameSvg, plotDefaults, renderSvg } from './figure.js';
import { formatInteger } from './format.js';
import { type Markup, markup } from './markup.js';
import { COLOURS, channelStyle } from './palette.js';
import { type Picture, pictureUri, scaleTo } from './picture.js';
import { pointsOf } from './sensitivity-figures.js';

/** One channel of a picture, grey. */
export function channelPicture(picture: Picture, channel: number): Picture {
  const { height, width, channels } = picture;
  const pixels = Uint8Array.from(
    { length: height * width },
    (_, i) => picture.pixels[i * channels + channel]!,
  );
  return { height, width, channels: 1, pixels };
}

/** Every value in its code. */
const codedPicture = (picture: Picture, code?: InputCode): Picture => ({
  ...picture,
  pixels: code ? picture.pixels.map((value) => codeTable(code)[value]!) : picture.pixels,
});

/** The value that a byte of a code stands for, also one that no value has: as much of a thermometer as is filled. */
function decoded(byte: number, code: InputCode): number {
  if (code === 'gray') return codeTable(code).indexOf(byte);
  const filled = thermometerThresholds.filter((_, bit) => (byte >> bit) & 1).length;
  return Math.round((255 * filled) / thermometerThresholds.length);
}

/** One slice of a picture that is coded already: white where the bit is 1 (+1), black where it is 0 (-1). */
export function slicePicture(picture: Picture, slice: Slice): Picture {
  const channel = channelPicture(picture, slice.channel);
  return { ...channel, pixels: channel.pixels.map((value) => ((value >> slice.bit) & 1) * 255) };
}

/** The picture with every bit of `slices` replaced by a random one, as bits of `code`. */
export function distortedPicture(
  picture: Picture,
  slices: readonly Slice[],
  random: Random,
  code?: InputCode,
): Picture {
  const pixels = codedPicture(picture, code).pixels.slice();
  for (const { channel, bit } of slices) {
    for (let i = channel; i < pixels.length; i += picture.channels)
      pixels[i] = (pixels[i]! & ~(1 << bit)) | (random.below(2) << bit);
  }
  return { ...picture, pixels: code ? pixels.map((byte) => decoded(byte, code)) : pixels };
}

/**
 * Fig 3: a row per channel with the channel and its eight slices, the kept ones framed, the others faded; `kept` is
 * null for a network that takes the channels whole. `picture` is what the network codes and slices: stretch its contrast first where
 * the model does.
 */
export function sliceFigure(
  picture: Picture,
  kept: readonly Slice[] | null,
  channelNames: readonly string[],
  code?: InputCode,
): string {
  const coded = codedPicture(picture, code);
  const colour = picture.channels >= 3;
  const cell = 50;
  const gap = 5;
  const header = 40;
  const groupGap = 20;
  const left = (colour ? cell + 14 : 0) + 56;
  const columnX = (column: number) => left + column * (cell + gap) + (column > 0 ? groupGap : 0);
  const width = Math.max(FIGURE_WIDTH, columnX(8) + cell);
  // an image that is not square fills its cell in its own proportions
  const shrink = cell / Math.max(picture.height, picture.width);
  const [w, h] = [picture.width * shrink, picture.height * shrink];
  const scale = scaleTo(picture, 2 * cell);
  const isKept = (slice: Slice) =>
    kept === null || kept.some(({ channel, bit }) => channel === slice.channel && bit === slice.bit);
  const image = (content: Picture, x: number, y: number, opacity: number) =>
    markup`<image x="${x + (cell - w) / 2}" y="${y + (cell - h) / 2}" width="${w}" height="${h}" opacity="${opacity}" href="${pictureUri(content, scale)}"/>`;
  const frame = (x: number, y: number, colour: string, strength: number) =>
    markup`<rect x="${x + (cell - w) / 2 - 1}" y="${y + (cell - h) / 2 - 1}" width="${w + 2}" height="${h + 2}" fill="none" stroke="${colour}" stroke-width="${strength}"/>`;
  const border = (x: number, y: number, isInput: boolean) =>
    frame(x, y, isInput ? COLOURS.blue : COLOURS.faint, isInput ? 2.5 : 1);
  const label = (text: string, x: number, y: number, size: number, colour: string = COLOURS.black) =>
    markup`<text x="${x}" y="${y}" font-size="${size}" fill="${colour}" text-anchor="middle">${text}</text>`;

  const parts: Markup[] = [
    label('8-bit', columnX(0) + cell / 2, 14, 13),
    label('channel', columnX(0) + cell / 2, 30, 13),
  ];
  if (colour) {
    const y = header + ((picture.channels - 1) * (cell + gap)) / 2;
    parts.push(label('image', cell / 2, 30, 13), image(picture, 0, y, 1), frame(0, y, COLOURS.faint, 1));
  }
  for (let bit = 0; bit < 8; bit++) {
    parts.push(label(`slice ${bit + 1}`, columnX(bit + 1) + cell / 2, 14, 13));
    parts.push(label(bitLabel(bit, code), columnX(bit + 1) + cell / 2, 30, 11, COLOURS.grey));
  }
  for (let channel = 0; channel < picture.channels; channel++) {
    const y = header + channel * (cell + gap);
    parts.push(
      markup`<text x="${left - 10}" y="${y + cell / 2 + 5}" text-anchor="end" font-size="13" font-weight="700" fill="${channelStyle(channel).colour}">${channelNames[channel]}</text>`,
      image(channelPicture(picture, channel), columnX(0), y, 1),
      border(columnX(0), y, kept === null),
    );
    for (let bit = 0; bit < 8; bit++) {
      const x = columnX(bit + 1);
      const keep = isKept({ channel, bit });
      parts.push(image(slicePicture(coded, { channel, bit }), x, y, keep ? 1 : 0.28));
      parts.push(border(x, y, keep && kept !== null));
    }
  }
  const all = 8 * picture.channels;
  return frameSvg(width, header + picture.channels * (cell + gap), markup`${parts}`, {
    heading: 'An image and its bit slices',
    subheading:
      kept === null
        ? 'the network takes the 8-bit channels (framed) whole; these are the bits they are made of'
        : kept.length === all
          ? `all ${all} slices are inputs of the network`
          : `${kept.length} of ${all} slices are inputs of the network (framed); the others are pruned (faded)`,
    note: `White: the bit is 1 (+1 in the network). Black: the bit is 0 (−1). Slice 1 is the ${firstSliceLabel(code)}.`,
  });
}

/**
 * Fig 1: the accuracy that is left when slices 1..N of every channel are random, and how an image then looks.
 * `seed` names the random bits of the example pictures.
 */
export function distortionFigure(result: SensitivityResult, picture: Picture, seed = 1): string {
  const clean = {
    distorted: 0,
    accuracy: 100 - result.cleanError,
    low: 0,
    high: 0,
    slices: [] as readonly Slice[],
  };
  const rows = [
    { ...clean, low: clean.accuracy, high: clean.accuracy },
    ...pointsOf(result, 'lowest').map((point) => ({
      distorted: point.bit + 1,
      accuracy: 100 - point.error,
      low: Math.max(0, clean.accuracy - point.interval[1]),
      high: Math.min(100, clean.accuracy - point.interval[0]),
      slices: point.slices,
    })),
  ].map((row) => ({
    ...row,
    uri: pictureUri(
      distortedPicture(picture, row.slices, new Random(seed, row.distorted), result.code),
      scaleTo(picture, 120),
    ),
  }));
  const ticks = rows.map((row) => row.distorted);
  const example = 54;
  const marginBottom = 26 + example + 36;
  return renderSvg(
    plotDefaults({
      height: 430,
      marginBottom,
      x: { domain: [-0.5, 8.5], label: null },
      y: { label: 'accuracy (%)', domain: [0, 100], ticks: 5 },
      marks: [
        Plot.ruleY([0], { stroke: COLOURS.black }),
        Plot.ruleY([clean.accuracy], { stroke: COLOURS.grey, strokeDasharray: '5 4', strokeWidth: 1.5 }),
        Plot.ruleX(rows, { x: 'distorted', y1: 'low', y2: 'high', stroke: COLOURS.blue, strokeWidth: 1.75 }),
        Plot.line(rows, { x: 'distorted', y: 'accuracy', stroke: COLOURS.blue, strokeWidth: 1.75 }),
        Plot.dot(rows, { x: 'distorted', y: 'accuracy', fill: COLOURS.blue, stroke: 'white', r: 5 }),
        Plot.text(rows, {
          x: 'distorted',
          y: 'accuracy',
          text: (row: { accuracy: number }) => row.accuracy.toFixed(1),
          dx: 6,
          dy: -12,
          textAnchor: 'start',
          fontSize: 13,
          fill: COLOURS.blue,
          stroke: 'white',
          strokeWidth: 4,
        }),
        Plot.axisX(ticks, {
          tickFormat: String,
          tickSize: 4,
          label: 'number of lowest slices of every channel that are random bits',
          labelAnchor: 'center',
          labelArrow: 'none',
          labelOffset: marginBottom - 6,
        }),
        Plot.image(rows, {
          x: 'distorted',
          frameAnchor: 'bottom',
          src: 'uri',
          width: example,
          height: example,
          dy: 26 + example / 2,
        }),
      ],
    }),
    {
      heading: 'Accuracy on distorted input',
      subheading: `${result.dataset}, ${formatInteger(result.images)} ${result.split} images, mean of ${result.noiseSeeds.length} noise ${result.noiseSeeds.length === 1 ? 'seed' : 'seeds'}; below: one image with that distortion`,
      note: 'Dashed: the accuracy without noise. Bars: 95 % intervals of the difference from it.',
    },
  );
}
