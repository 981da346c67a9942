/** Times as bars: medians, with the span from the fastest to the slowest tenth of calls. */
import * as Plot from '@observablehq/plot';
import { FIGURE_WIDTH, plotDefaults, textWidth } from './figure.js';
import { COLOURS } from './palette.js';

export interface TimeBar {
  readonly name: string;
  readonly median: number;
  readonly fast: number;
  readonly slow: number;
  readonly fill: string;
  /** behind the bar */
  readonly text: string;
}

export const TIMES_NOTE =
  'Bars: medians of calls in alternating turns; lines: from the fastest tenth to the slowest';

/** Pixels that bars have between long names. */
const LEAST_WIDTH = 260;

/** `0.0467 ms`, `35.5 ms`, `1651 ms` */
export const milliseconds = (value: number): string =>
  `${value >= 1000 ? value.toFixed(0) : value.toPrecision(3)} ms`;

/** One bar in each row; logarithmic where times span decades: in equal steps all bars but the longest would be lines. */
export function timeBars(
  bars: readonly TimeBar[],
  { label, isLogarithmic, rowHeight }: { label: string; isLogarithmic: boolean; rowHeight: number },
): Plot.PlotOptions {
  const most = Math.max(...bars.map(({ slow }) => slow));
  const domain: [number, number] = isLogarithmic
    ? [0.5 * Math.min(...bars.map(({ fast }) => fast)), 1.1 * most]
    : [0, 1.02 * most];
  const marginLeft = 16 + Math.max(...bars.map(({ name }) => textWidth(name, 14)));
  const marginRight = 16 + Math.max(...bars.map(({ text }) => textWidth(text, 14)));
  return plotDefaults({
    width: Math.max(FIGURE_WIDTH, marginLeft + LEAST_WIDTH + marginRight),
    height: 52 + rowHeight * bars.length,
    ...{ marginTop: 8, marginBottom: 42, marginLeft, marginRight },
    x: {
      label: isLogarithmic ? `${label} (logarithmic)` : label,
      domain,
      grid: true,
      ...(isLogarithmic && { type: 'log', ticks: logTicks(domain), tickFormat: String }),
    },
    y: { domain: bars.map(({ name }) => name), label: null, grid: false, padding: 0.25 },
    marks: [
      Plot.barX(bars, { y: 'name', x1: domain[0], x2: 'median', fill: 'fill' }),
      Plot.ruleY(bars, { y: 'name', x1: 'fast', x2: 'slow', stroke: COLOURS.black, strokeWidth: 2 }),
      Plot.text(bars, { y: 'name', x: 'slow', text: 'text', textAnchor: 'start', dx: 6 }),
    ],
  });
}

/** 1, 2 and 5 times powers of ten. */
export function logTicks([from, to]: readonly [number, number]): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); 10 ** power <= to; power++)
    for (const step of [1, 2, 5]) {
      // Powers of ten are not exact below 1: 5e-2 is, as it is read.
      const tick = Number(`${step}e${power}`);
      if (tick >= from && tick <= to) ticks.push(tick);
    }
  return ticks;
}
