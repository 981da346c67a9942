/** Error against the bits of a fixed-point network. */
import * as Plot from '@observablehq/plot';
import { narrowed, type PrecisionPoint, type PrecisionResult } from '../compare/precision.js';
import { plotDefaults, renderSvg } from './figure.js';
import { formatPercent } from './format.js';
import { COLOURS, channelStyle } from './palette.js';

const LABELS = {
  both: 'weights and activations',
  weights: 'weights alone, activations of 16 bits',
  activations: 'activations alone, weights of 16 bits',
} as const;

export function precisionFigure({
  dataset,
  architecture,
  split,
  images,
  float,
  points,
}: PrecisionResult): string {
  const widths = [...new Set(points.map(({ bits }) => bits))];
  const styles = narrowed.map((_, i) => channelStyle(i));
  const styleOf = ({ narrowed: kind }: PrecisionPoint) => styles[narrowed.indexOf(kind)]!;
  return renderSvg(
    plotDefaults({
      x: { label: 'bits', ticks: widths, tickFormat: String },
      y: {
        label: `${split} error, %`,
        domain: [0, 1.05 * Math.max(...points.map(({ error }) => error.high))],
      },
      marks: [
        Plot.ruleY([float.error], { stroke: COLOURS.grey, strokeDasharray: '5 4' }),
        ...narrowed.flatMap((kind, i) => {
          const own = points.filter((point) => point.narrowed === kind);
          return [
            Plot.line(own, {
              x: 'bits',
              y: (p: PrecisionPoint) => p.error.error,
              stroke: styles[i]!.colour,
              strokeWidth: 2,
            }),
            Plot.dot(own, {
              x: 'bits',
              y: (p: PrecisionPoint) => p.error.error,
              fill: (p: PrecisionPoint) => styleOf(p).colour,
              symbol: () => styles[i]!.symbol,
              r: 4,
            }),
          ];
        }),
      ],
    }),
    {
      heading: 'Error against bits of fixed point',
      subheading: `${dataset}, ${architecture}; ${images} ${split} images, not trained again`,
      legend: [
        ...narrowed.map((kind, i) => ({
          label: LABELS[kind],
          colour: styles[i]!.colour,
          symbol: styles[i]!.symbol,
        })),
        {
          label: `float32, ${formatPercent(float.error)}`,
          colour: COLOURS.grey,
          symbol: 'dash' as const,
        },
      ],
      note: 'A step, a power of two, for the weights of each layer and for what it hands on, chosen for the least square error; batch norm in float32.',
    },
  );
}
