/**
 * Colours and symbols of every figure: the palette of Okabe and Ito ("Color universal design", 2008), which people with
 * any common form of colour blindness can tell apart. Colour never stands alone: each series has its own symbol too.
 */
import type { SymbolType } from '@observablehq/plot';

export const COLOURS = {
  blue: '#0072B2',
  vermillion: '#D55E00',
  green: '#009E73',
  orange: '#E69F00',
  sky: '#56B4E9',
  purple: '#CC79A7',
  black: '#1b1f24',
  grey: '#6b7280',
  light: '#b4bcc8',
  faint: '#d0d5dc',
} as const;

export interface SeriesStyle {
  readonly colour: string;
  readonly symbol: SymbolType;
}

/** Red, green and blue first, because input channels mostly are; then what is left. */
const CHANNEL_STYLES: readonly SeriesStyle[] = [
  { colour: COLOURS.vermillion, symbol: 'circle' },
  { colour: COLOURS.green, symbol: 'triangle' },
  { colour: COLOURS.blue, symbol: 'square' },
  { colour: COLOURS.purple, symbol: 'diamond' },
  { colour: COLOURS.orange, symbol: 'star' },
  { colour: COLOURS.sky, symbol: 'wye' },
];

/** The style of input channel `channel` (from 0); styles repeat after six channels. */
export const channelStyle = (channel: number): SeriesStyle =>
  CHANNEL_STYLES[channel % CHANNEL_STYLES.length]!;

/** A colour between white (0) and dark blue (1), evenly darkening. */
export function shade(amount: number): string {
  return ramp(amount, [
    [255, 255, 255],
    [158, 202, 225],
    [0, 114, 178],
    [0, 51, 96],
  ]);
}

/** A colour between pale and dark, of blue or of orange: for parts of one family. */
export function familyShade(family: 'blue' | 'orange', amount: number): string {
  return family === 'blue'
    ? ramp(amount, [
        [176, 214, 236],
        [0, 114, 178],
        [0, 62, 110],
      ])
    : ramp(amount, [
        [249, 213, 150],
        [230, 159, 0],
        [190, 90, 0],
      ]);
}

type Rgb = readonly [number, number, number];

function ramp(amount: number, stops: readonly Rgb[]): string {
  const position = Math.min(1, Math.max(0, amount)) * (stops.length - 1);
  const index = Math.min(stops.length - 2, Math.floor(position));
  const [from, to] = [stops[index]!, stops[index + 1]!];
  const mixed = from.map((value, i) => Math.round(value + (to[i]! - value) * (position - index)));
  return `rgb(${mixed.join(',')})`;
}
