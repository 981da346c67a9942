/** Times of engines as bars: what one image takes. */
import * as Plot from '@observablehq/plot';
import type { BenchResult, EngineTime } from '../bench/bench.js';
import { plotDefaults, renderSvg, textWidth } from './figure.js';
import { COLOURS, familyShade } from './palette.js';

const nameOf = ({ engine, threads, batch }: EngineTime): string =>
  `${engine}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, batch ${batch}`;

const TICKS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];

const fills = {
  packed: familyShade('blue', 0.5),
  float32: familyShade('orange', 0.5),
  int8: familyShade('orange', 0.2),
};

/** Median milliseconds an image, with the span from the fastest to the slowest tenth. */
export function benchFigure({ architecture, input, cpu, times }: BenchResult): string {
  const rows = times.map((one) => ({ ...one, name: nameOf(one) }));
  const text = ({ median, ratio }: EngineTime) =>
    `${median.toPrecision(3)} ms${ratio === null || ratio === 1 ? '' : `, ${ratio.toFixed(1)}x`}`;
  const domain: [number, number] = [
    0.5 * Math.min(...rows.map(({ fast }) => fast)),
    1.1 * Math.max(...rows.map(({ slow }) => slow)),
  ];
  return renderSvg(
    plotDefaults({
      height: 52 + 34 * rows.length,
      marginTop: 8,
      marginBottom: 42,
      marginLeft: 16 + Math.max(...rows.map(({ name }) => textWidth(name, 14))),
      marginRight: 130,
      // From 0.1 ms to tens of them: in equal steps, all bars but the longest would be lines.
      x: {
        label: 'milliseconds per image (logarithmic)',
        type: 'log',
        domain,
        ticks: TICKS.filter((tick) => tick >= domain[0] && tick <= domain[1]),
        tickFormat: String,
        grid: true,
      },
      y: { domain: rows.map(({ name }) => name), label: null, grid: false, padding: 0.25 },
      marks: [
        Plot.barX(rows, {
          y: 'name',
          x1: domain[0],
          x2: 'median',
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
      note: "Bars: medians of calls in alternating turns; lines: from the fastest tenth to the slowest; x: times as fast as ONNX Runtime's float32 with as many threads and images.",
    },
  );
}
