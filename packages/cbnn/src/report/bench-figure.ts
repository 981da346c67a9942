/** Times of engines as bars: what one image takes. */
import * as Plot from '@observablehq/plot';
import type { BenchResult, EngineTime } from '../bench/bench.js';
import { plotDefaults, renderSvg, textWidth } from './figure.js';
import { COLOURS, familyShade } from './palette.js';

const nameOf = ({ engine, threads, batch }: EngineTime): string =>
  `${engine}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, batch ${batch}`;

const fills = {
  packed: familyShade('blue', 0.5),
  float32: familyShade('orange', 0.5),
  int8: familyShade('orange', 0.2),
};

/** Median milliseconds an image, with the span from the fastest to the slowest tenth. */
export function benchFigure({ architecture, input, cpu, times }: BenchResult): string {
  const rows = times.map((one) => ({ ...one, name: nameOf(one) }));
  const text = ({ median, ratio }: EngineTime) =>
    `${median.toPrecision(3)} ms${ratio === 1 ? '' : `, ${ratio.toFixed(1)}x float32`}`;
  return renderSvg(
    plotDefaults({
      height: 52 + 34 * rows.length,
      marginTop: 8,
      marginBottom: 42,
      marginLeft: 16 + Math.max(...rows.map(({ name }) => textWidth(name, 14))),
      marginRight: 150,
      x: { label: 'milliseconds per image', ticks: 5, grid: true },
      y: { domain: rows.map(({ name }) => name), label: null, grid: false, padding: 0.25 },
      marks: [
        Plot.barX(rows, {
          y: 'name',
          x: 'median',
          fill: ({ kind }: EngineTime) => fills[kind],
        }),
        Plot.ruleY(rows, { y: 'name', x1: 'fast', x2: 'slow', stroke: COLOURS.black, strokeWidth: 2 }),
        Plot.text(rows, { y: 'name', x: 'slow', text, textAnchor: 'start', dx: 6 }),
      ],
    }),
    {
      heading: 'Time per image',
      subheading: `${architecture}, ${input}; ${cpu}`,
      legend: [
        { label: 'packed model, bit-exact', colour: fills.packed, symbol: 'area' },
        { label: 'the same architecture in float32', colour: fills.float32, symbol: 'area' },
        { label: 'and in int8', colour: fills.int8, symbol: 'area' },
      ],
      note: 'Bars: medians of calls in alternating turns; lines: from the fastest tenth to the slowest.',
    },
  );
}
