/**
 * How the error rate grows when slices of the input are replaced by random bits: the paper's Figs 4, 7 and 8.
 * The x axis counts slices as the paper does, from 1 = least significant (bit 0) to 8 (bit 7).
 */
import * as Plot from '@observablehq/plot';
import type { NoiseScope, SensitivityPoint, SensitivityResult } from '../sensitivity/result.js';
import { firstSliceLabel } from './code-labels.js';
import { FIGURE_WIDTH, plotDefaults, renderSvg } from './figure.js';
import { formatInteger, formatPercent } from './format.js';
import { COLOURS, channelStyle, type SeriesStyle } from './palette.js';

/** Fig 4: slice N of every channel, and slices 1..N of every channel. */
export function sliceNoiseFigure(result: SensitivityResult): string {
  return noiseFigure(result, 'Error rate with random bits in the input slices', [
    { label: 'slice N alone', colour: COLOURS.blue, symbol: 'circle', points: pointsOf(result, 'slice') },
    {
      label: 'slices 1 to N together',
      colour: COLOURS.vermillion,
      symbol: 'square',
      points: pointsOf(result, 'lowest'),
    },
  ]);
}

/** Fig 7: one slice of one channel. */
export function channelSliceFigure(result: SensitivityResult): string {
  return noiseFigure(
    result,
    'Error rate with random bits in one slice of one channel',
    result.channelNames.map((label, channel) => ({
      label,
      ...channelStyle(channel),
      points: pointsOf(result, 'channel-slice', channel),
    })),
  );
}

/** Fig 8: slices 1..N of one channel, and of all channels. */
export function lowestSlicesFigure(result: SensitivityResult): string {
  const channels = result.channelNames.map((label, channel) => ({
    label: `${label} only`,
    ...channelStyle(channel),
    points: pointsOf(result, 'channel-lowest', channel),
  }));
  const all: Series = {
    label: 'all channels',
    colour: COLOURS.black,
    symbol: 'diamond',
    points: pointsOf(result, 'lowest'),
  };
  // with a single channel the two are the same measurement
  return noiseFigure(
    result,
    'Error rate with random bits in slices 1 to N',
    result.channels === 1 ? [all] : [...channels, all],
  );
}

interface Series extends SeriesStyle {
  readonly label: string;
  readonly points: readonly SensitivityPoint[];
}

/** Points of one scope (and channel) in the order of their bit. */
export function pointsOf(
  result: SensitivityResult,
  scope: NoiseScope,
  channel: number | null = null,
): SensitivityPoint[] {
  return result.points
    .filter((point) => point.scope === scope && point.channel === channel)
    .sort((a, b) => a.bit - b.bit);
}

interface Row {
  readonly x: number;
  readonly error: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Two panels of the same points: all of them, and the part near the error rate without noise, where the decision which
 * slices to keep is made and where the first panel shows one flat line.
 */
function noiseFigure(result: SensitivityResult, heading: string, series: readonly Series[]): string {
  const rows = series.map(({ points }, index): Row[] =>
    points.map((point) => ({
      // series stand side by side around their slice, so that their intervals do not cover each other
      x: point.bit + 1 + (index - (series.length - 1) / 2) * 0.13,
      error: point.error,
      low: Math.max(0, result.cleanError + point.interval[0]),
      high: Math.min(100, result.cleanError + point.interval[1]),
    })),
  );
  const top = Math.max(result.cleanError + 1, ...rows.flat().map((row) => row.high));
  const panel = (label: string, low: number, high: number) => {
    const marks = series.flatMap(({ colour, symbol }, index) => {
      const data = rows[index]!;
      const inside = data.filter((row) => row.error >= low && row.error <= high);
      const bars = inside.map((row) => ({
        ...row,
        low: Math.max(low, row.low),
        high: Math.min(high, row.high),
      }));
      return [
        Plot.ruleX(bars, { x: 'x', y1: 'low', y2: 'high', stroke: colour, strokeWidth: 1.75 }),
        Plot.line(upTo(data, high), { x: 'x', y: 'error', stroke: colour, strokeWidth: 1.75 }),
        Plot.dot(inside, { x: 'x', y: 'error', symbol, r: 4, fill: colour, stroke: 'white', strokeWidth: 1 }),
      ];
    });
    return plotDefaults({
      width: FIGURE_WIDTH / 2,
      height: 330,
      marginLeft: 46,
      marginRight: 10,
      x: { domain: [0.6, 8.4], label: null },
      y: { label, domain: [low, high], ticks: 6 },
      marks: [
        Plot.ruleY([low], { stroke: COLOURS.black }),
        Plot.ruleY([result.cleanError], { stroke: COLOURS.grey, strokeDasharray: '5 4', strokeWidth: 1.5 }),
        ...marks,
        Plot.axisX(BITS, {
          tickFormat: String,
          tickSize: 4,
          label: `slice N (1 = ${firstSliceLabel(result.code)})`,
          labelAnchor: 'center',
          labelArrow: 'none',
        }),
      ],
    });
  };
  const pruned = result.keptSlices.length < 8 * result.channels;
  return renderSvg(
    [
      panel('error rate (%)', 0, Math.min(100, top * 1.04)),
      panel('error rate (%), close-up', ...closeUp(result.cleanError, rows.flat())),
    ],
    {
      heading,
      subheading: `${result.dataset}, ${formatInteger(result.images)} ${result.split} images, mean of ${result.noiseSeeds.length} noise ${result.noiseSeeds.length === 1 ? 'seed' : 'seeds'}`,
      legend: [
        ...series,
        { label: `no noise: ${formatPercent(result.cleanError)}`, colour: COLOURS.grey, symbol: 'dash' },
      ],
      note: `Bars: 95 % intervals of the increase over the error rate without noise.${pruned ? ' Slices the network does not keep have no point.' : ''}`,
    },
  );
}

/**
 * What the close-up shows: `CLOSE_UP` points above the error rate without noise and a third of that below, and more where
 * intervals of points in there are wider, as they are of few images.
 */
export function closeUp(cleanError: number, rows: readonly Row[]): [low: number, high: number] {
  // As far as the point that costs least, where that is further.
  const least = Math.min(...rows.map((row) => row.error));
  const reach = rows.length > 0 ? Math.max(cleanError + CLOSE_UP, least) : cleanError + CLOSE_UP;
  const shown = rows.filter((row) => row.error <= reach);
  const low = Math.min(cleanError - CLOSE_UP / 3, ...shown.map((row) => row.low));
  return [Math.max(0, low), Math.max(reach, ...shown.map((row) => row.high))];
}

/** The part of a line below `high`: each stretch that leaves it ends where it crosses. Breaks are rows of NaN. */
export function upTo(rows: readonly Row[], high: number): { readonly x: number; readonly error: number }[] {
  const line: { x: number; error: number }[] = [];
  for (const [i, row] of rows.entries()) {
    const previous = rows[i - 1];
    if (previous && previous.error > high !== row.error > high) {
      const share = (high - previous.error) / (row.error - previous.error);
      line.push({ x: previous.x + share * (row.x - previous.x), error: high });
    }
    line.push(row.error > high ? { x: row.x, error: Number.NaN } : row);
  }
  return line;
}

const BITS = [1, 2, 3, 4, 5, 6, 7, 8];

/** percentage points */
const CLOSE_UP = 3;
