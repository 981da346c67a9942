/**
 * What a compaction tried: every candidate's error rate against its size or its work. Candidates on the front are those
 * that nothing smaller beats.
 */
import * as Plot from '@observablehq/plot';
import type { CompactionResult, CompactionTry } from '../compact/result.js';
import { type LegendEntry, plotDefaults, renderSvg } from './figure.js';
import { formatBytes, formatCount, formatInteger, tickText } from './format.js';
import { COLOURS } from './palette.js';

export type CompactionMeasure = 'bytes' | 'macs';

const AXES = {
  bytes: { label: 'packed model, log scale', format: formatBytes, heading: 'Error rate against model size' },
  macs: {
    label: 'multiply-accumulates per image, log scale',
    format: formatCount,
    heading: 'Error rate against work',
  },
} as const;

interface Point {
  readonly size: number;
  readonly error: number;
  readonly low: number;
  readonly high: number;
}

/** Points that no other point beats in both size and error, smallest first. */
export function paretoFront<T extends { readonly size: number; readonly error: number }>(
  points: readonly T[],
): T[] {
  const front: T[] = [];
  for (const point of [...points].sort((a, b) => a.size - b.size || a.error - b.error)) {
    const last = front.at(-1);
    if (last === undefined || point.error < last.error) front.push(point);
  }
  return front;
}

/** What a candidate had to do to be accepted. The 95 % intervals shown are two-sided, and a little wider than the limit. */
export function acceptanceRule({ acceptance, maxDrop }: CompactionResult): string {
  const bound = `at most ${maxDrop} ${points(maxDrop)}`;
  return acceptance === 'confident'
    ? `the one-sided 95 % upper limit of its drop (the upper end of a 90 % interval) is ${bound}`
    : `its measured drop is ${bound}, whatever its interval`;
}

const points = (count: number): string => (count === 1 ? 'point' : 'points');

/** Validation error against bytes or MACs, with what was accepted, the chosen candidate and the bound. */
export function compactionFigure(result: CompactionResult, measure: CompactionMeasure): string {
  const axis = AXES[measure];
  const { baseline } = result;
  const place = (one: CompactionTry): Point => ({
    size: one[measure],
    error: one.validationError,
    low: Math.max(0, baseline.validationError + one.interval[0]),
    high: Math.min(100, baseline.validationError + one.interval[1]),
  });
  const accepted = result.tries.filter((one) => one.accepted).map(place);
  const rejected = result.tries.filter((one) => !one.accepted).map(place);
  const chosen = result.tries.filter((one) => one.id === result.chosen).map(place);
  const base = { size: baseline[measure], error: baseline.validationError };
  const everything: { size: number; error: number }[] = [...accepted, ...rejected, base];
  const bound = baseline.validationError + result.maxDrop;
  const sizes = everything.map((point) => point.size);
  const [least, most] = [Math.min(...sizes) / 1.25, Math.max(...sizes) * 1.25];
  const lows = [...accepted, ...rejected].map((point) => point.low);
  const highs = [...accepted, ...rejected].map((point) => point.high);
  const series = (points: readonly Point[], colour: string, symbol: Plot.SymbolType, hollow: boolean) => [
    Plot.ruleX(points, {
      x: 'size',
      y1: 'low',
      y2: 'high',
      stroke: colour,
      strokeWidth: 1.5,
      strokeOpacity: 0.55,
    }),
    Plot.dot(points, {
      x: 'size',
      y: 'error',
      symbol,
      r: 5,
      stroke: colour,
      strokeWidth: 2,
      fill: hollow ? 'white' : colour,
    }),
  ];
  const legend: LegendEntry[] = [
    { label: 'baseline', colour: COLOURS.black, symbol: 'diamond' },
    { label: 'accepted', colour: COLOURS.green, symbol: 'circle' },
    { label: 'rejected', colour: COLOURS.vermillion, symbol: 'times' },
    ...(chosen.length > 0
      ? [{ label: 'chosen', colour: COLOURS.blue, symbol: 'circle', hollow: true } as const]
      : []),
    { label: 'front', colour: COLOURS.light, symbol: 'line' },
    {
      label: `bound: +${result.maxDrop} ${points(result.maxDrop)}`,
      colour: COLOURS.grey,
      symbol: 'dash',
    },
  ];
  return renderSvg(
    plotDefaults({
      height: 400,
      x: {
        type: 'log',
        domain: [least, most],
        label: axis.label,
        ticks: logTicks(least, most),
        tickFormat: (value: number) => tickText(axis.format(value)),
        tickSize: 4,
      },
      y: {
        label: 'validation error rate (%)',
        // these differences are small against the error itself: the axis shows where they are, not from zero
        domain: [Math.min(base.error, ...lows), Math.max(bound, base.error, ...highs)],
        nice: true,
        ticks: 6,
        insetTop: 8,
        insetBottom: 8,
      },
      marks: [
        Plot.ruleY([bound], { stroke: COLOURS.grey, strokeDasharray: '5 4', strokeWidth: 1.5 }),
        Plot.line(paretoFront(everything), {
          x: 'size',
          y: 'error',
          curve: 'step-after',
          stroke: COLOURS.light,
          strokeWidth: 2.5,
        }),
        ...series(rejected, COLOURS.vermillion, 'times', true),
        ...series(accepted, COLOURS.green, 'circle', false),
        Plot.dot(chosen, { x: 'size', y: 'error', r: 11, stroke: COLOURS.blue, strokeWidth: 2.25 }),
        Plot.text([...chosen, base], {
          x: 'size',
          y: 'error',
          text: (point: { size: number }) => axis.format(point.size),
          dx: -14,
          dy: 14,
          textAnchor: 'end',
          fontWeight: 700,
          fontSize: 13,
          stroke: 'white',
          strokeWidth: 4,
          fill: COLOURS.black,
        }),
        Plot.dot([base], { x: 'size', y: 'error', symbol: 'diamond', r: 7, fill: COLOURS.black }),
      ],
    }),
    {
      heading: axis.heading,
      subheading: `${result.dataset}, ${result.tries.length} retrained candidates, ${formatInteger(result.validationImages)} validation images`,
      legend,
      note: `Accepted: ${acceptanceRule(result)}. Bars: 95 % intervals of the drop, paired by image. Vertical axis not from zero.`,
    },
  );
}

/** 1, 2 and 5 times powers of ten within `low`..`high`; finer where that would leave fewer than three. */
export function logTicks(low: number, high: number): number[] {
  for (const digits of [
    [1],
    [1, 2, 5],
    [1, 1.5, 2, 3, 4, 5, 6, 8],
    [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9],
  ]) {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      for (const digit of digits) {
        const tick = Number((digit * 10 ** power).toPrecision(3));
        if (tick >= low && tick <= high) ticks.push(tick);
      }
    if (ticks.length >= 4) return ticks;
  }
  return [Number(low.toPrecision(3)), Number(high.toPrecision(3))];
}
