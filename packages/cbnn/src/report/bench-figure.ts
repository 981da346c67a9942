/** Times of engines as bars: what one image takes. */
import type { BenchResult, EngineTime } from '../bench/bench.js';
import { renderSvg } from './figure.js';
import { familyShade } from './palette.js';
import { milliseconds, TIMES_NOTE, timeBars } from './time-bars.js';

const nameOf = ({ engine, threads, batch }: EngineTime): string =>
  `${engine}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, batch ${batch}`;

const fills = {
  packed: familyShade('blue', 0.5),
  float32: familyShade('orange', 0.5),
  int8: familyShade('orange', 0.2),
};

/** Median milliseconds an image, with the span from the fastest to the slowest tenth. */
export function benchFigure({ architecture, input, cpu, times }: BenchResult): string {
  // The reference engine, slow on purpose, would leave the others a corner of the scale.
  const shown = times.filter(({ engine }) => engine !== 'reference');
  const bars = shown.map((one) => ({
    ...one,
    name: nameOf(one),
    fill: fills[one.kind],
    text: `${milliseconds(one.median)}${one.ratio === null || one.ratio === 1 ? '' : `, ${one.ratio.toFixed(1)}x`}`,
  }));
  return renderSvg(timeBars(bars, { label: 'milliseconds per image', isLogarithmic: true, rowHeight: 34 }), {
    heading: 'Time per image',
    subheading: `${architecture}, ${input}; ${cpu}`,
    legend: [
      { label: 'packed model, bit-exact', colour: fills.packed, symbol: 'area' },
      { label: 'the same architecture in float32', colour: fills.float32, symbol: 'area' },
      { label: 'and in int8', colour: fills.int8, symbol: 'area' },
    ],
    note: `${TIMES_NOTE}; x: times as fast as ONNX Runtime's float32 with as many threads and images.`,
  });
}
