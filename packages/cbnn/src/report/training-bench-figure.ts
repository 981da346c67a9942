/** Times of a training step as bars, a row for each width, batch, engine and number of threads. */
import type { StepTime, TrainingBenchResult } from '../bench/training.js';
import { renderSvg } from './figure.js';
import { familyShade } from './palette.js';
import { milliseconds, TIMES_NOTE, timeBars } from './time-bars.js';

const nameOf = ({ width, batch, engine, threads }: StepTime): string =>
  `W=${width}, batch ${batch}, ${engine}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;

const fills = { native: familyShade('blue', 0.5), onnx: familyShade('orange', 0.5) };

/** Median milliseconds a step, with the span from the fastest to the slowest tenth. */
export function trainingBenchFigure({ cpu, technique, input, times }: TrainingBenchResult): string {
  const bars = times.map((one) => ({
    ...one,
    name: nameOf(one),
    fill: fills[one.kind],
    text: `${milliseconds(one.median)}${one.share === null || one.kind === 'onnx' ? '' : `, ${one.share.toFixed(2)} of ONNX`}`,
  }));
  return renderSvg(timeBars(bars, { label: 'milliseconds per step', isLogarithmic: false, rowHeight: 30 }), {
    heading: 'Time of a training step',
    subheading: `${technique}, 32x32x3 ${input === '8-bit' ? '8-bit images' : 'images as 24 bit slices'}; ${cpu}`,
    legend: [
      {
        label: technique === 'bnn' ? 'native step, int8 gradients' : 'native step, bfloat16',
        colour: fills.native,
        symbol: 'area',
      },
      { label: 'ONNX graph, float32', colour: fills.onnx, symbol: 'area' },
    ],
    note: `${TIMES_NOTE}.`,
  });
}
