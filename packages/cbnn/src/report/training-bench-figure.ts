/** Times of a training step as bars, one panel of rows for each width. */
import * as Plot from '@observablehq/plot';
import type { StepTime, TrainingBenchResult } from '../bench/training.js';
import { plotDefaults, renderSvg, textWidth } from './figure.js';
import { COLOURS, familyShade } from './palette.js';

const nameOf = ({ width, engine, threads }: StepTime): string =>
  `W=${width}, ${engine}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;

const fills = { native: familyShade('blue', 0.5), onnx: familyShade('orange', 0.5) };

/** Median milliseconds a step, with the span from the fastest to the slowest tenth. */
export function trainingBenchFigure({ cpu, batch, input, times }: TrainingBenchResult): string {
  const rows = times.map((one) => ({ ...one, name: nameOf(one) }));
  const text = ({ median, share, kind }: StepTime) =>
    `${median.toPrecision(3)} ms${share === null || kind === 'onnx' ? '' : `, ${share.toFixed(2)} of ONNX`}`;
  return renderSvg(
    plotDefaults({
      height: 52 + 30 * rows.length,
      marginTop: 8,
      marginBottom: 42,
      marginLeft: 16 + Math.max(...rows.map(({ name }) => textWidth(name, 14))),
      marginRight: 160,
      x: {
        label: 'milliseconds per step',
        domain: [0, 1.02 * Math.max(...rows.map(({ slow }) => slow))],
        grid: true,
      },
      y: { domain: rows.map(({ name }) => name), label: null, grid: false, padding: 0.25 },
      marks: [
        Plot.barX(rows, { y: 'name', x1: 0, x2: 'median', fill: ({ kind }: StepTime) => fills[kind] }),
        Plot.ruleY(rows, { y: 'name', x1: 'fast', x2: 'slow', stroke: COLOURS.black, strokeWidth: 2 }),
        Plot.text(rows, { y: 'name', x: 'slow', text, textAnchor: 'start', dx: 6 }),
      ],
    }),
    {
      heading: 'Time of a training step',
      subheading: `batch ${batch}, 32x32x3 ${input === '8-bit' ? '8-bit images' : 'images as 24 bit slices'}; ${cpu}`,
      legend: [
        { label: 'native step, int8 gradients', colour: fills.native, symbol: 'area' },
        { label: 'ONNX graph, float32', colour: fills.onnx, symbol: 'area' },
      ],
      note: 'Bars: medians of steps in alternating turns; lines: from the fastest tenth to the slowest.',
    },
  );
}
