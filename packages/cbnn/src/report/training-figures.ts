/** How a training run went: loss and error rates by epoch. */
import * as Plot from '@observablehq/plot';
import type { EpochMetrics } from './data.js';
import { FIGURE_WIDTH, type LegendEntry, plotDefaults, renderSvg } from './figure.js';
import { formatPercent } from './format.js';
import { COLOURS } from './palette.js';

/** Loss (left) and training and validation error rates (right) against the epoch, from 1. */
export function learningFigure(label: string, metrics: readonly EpochMetrics[]): string {
  const validated = metrics.filter((one) => one.validationError !== undefined);
  const best = validated.reduce<EpochMetrics | undefined>(
    (least, one) => (least && least.validationError! <= one.validationError! ? least : one),
    undefined,
  );
  const last = Math.max(2, ...metrics.map((one) => one.epoch));
  const x: Plot.ScaleOptions = {
    label: 'epoch',
    domain: [1, last],
    ticks: epochTicks(last),
    tickFormat: String,
  };
  const half = { width: FIGURE_WIDTH / 2, height: 300, marginLeft: 52, marginRight: 14 };
  const series = (channel: 'trainError' | 'validationError' | 'loss', colour: string, data = metrics) => [
    Plot.line(data, { x: 'epoch', y: channel, stroke: colour, strokeWidth: 1.75 }),
    // a run of a few epochs is a few points, not a curve
    ...(data.length <= 15 ? [Plot.dot(data, { x: 'epoch', y: channel, fill: colour, r: 3 })] : []),
  ];
  const loss = plotDefaults({
    ...half,
    x,
    y: { label: 'training loss', zero: true, nice: true, tickFormat: tidy },
    marks: [Plot.ruleY([0], { stroke: COLOURS.black }), ...series('loss', COLOURS.grey)],
  });
  const error = plotDefaults({
    ...half,
    x,
    y: { label: 'error rate (%)', zero: true, nice: true },
    marks: [
      Plot.ruleY([0], { stroke: COLOURS.black }),
      ...series('trainError', COLOURS.blue),
      ...series('validationError', COLOURS.vermillion, validated),
      ...(best
        ? [
            Plot.dot([best], {
              x: 'epoch',
              y: 'validationError',
              r: 6.5,
              stroke: COLOURS.vermillion,
              strokeWidth: 1.75,
            }),
          ]
        : []),
    ],
  });
  const legend: LegendEntry[] = [
    { label: 'loss', colour: COLOURS.grey, symbol: 'line' },
    { label: 'training error', colour: COLOURS.blue, symbol: 'line' },
    ...(best
      ? [
          { label: 'validation error', colour: COLOURS.vermillion, symbol: 'line' } as const,
          {
            label: `lowest: ${formatPercent(best.validationError!)} (epoch ${best.epoch})`,
            colour: COLOURS.vermillion,
            symbol: 'circle',
            hollow: true,
          } as const,
        ]
      : []),
  ];
  return renderSvg([loss, error], { heading: `Learning curves: ${label}`, legend });
}

/** About six whole epochs, the first one among them. */
function epochTicks(last: number): number[] {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((size) => last / size <= 6) ?? Math.ceil(last / 6);
  const ticks = [1];
  for (let epoch = step; epoch <= last; epoch += step) if (epoch > 1) ticks.push(epoch);
  return ticks;
}

const tidy = (value: number): string => String(Number(value.toPrecision(3)));
