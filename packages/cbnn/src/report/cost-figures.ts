/** Where a network's bytes and MACs are: one bar per network, one segment per layer. */
import * as Plot from '@observablehq/plot';
import type { LayerCost } from '../cost/cost.js';
import type { NamedCost } from './data.js';
import { FIGURE_WIDTH, plotDefaults, renderSvg, textWidth } from './figure.js';
import { formatBytes, formatCount, tickText } from './format.js';
import { COLOURS, familyShade } from './palette.js';

interface Segment {
  readonly network: string;
  readonly layer: string;
  readonly from: number;
  readonly to: number;
  readonly colour: string;
  readonly dark: boolean;
}

/** Stacked bars of bytes or MACs by layer, in order: convolutions blue, dense layers orange, deeper layers darker. */
export function costFigure(costs: readonly NamedCost[], measure: 'bytes' | 'macs'): string {
  const format = measure === 'bytes' ? formatBytes : formatCount;
  const labels = distinct(costs.map(({ label }) => label));
  const segments = costs.flatMap(({ cost }, i) => stack(labels[i]!, cost.layers, measure));
  const totals = costs.map(({ cost }, i) => ({ network: labels[i]!, total: cost[measure] }));
  const longest = Math.max(1, ...totals.map(({ total }) => total));
  const marginLeft = Math.min(200, 16 + Math.max(...labels.map((label) => textWidth(label, 14))));
  const marginRight = 84;
  const pixels = (value: number) => (value / longest) * (FIGURE_WIDTH - marginLeft - marginRight);
  const wide = segments.filter(({ layer, from, to }) => pixels(to - from) > textWidth(layer, 12) + 8);
  return renderSvg(
    plotDefaults({
      height: 50 + 46 * costs.length,
      marginTop: 8,
      marginBottom: 42,
      marginLeft,
      marginRight,
      x: {
        domain: [0, longest],
        label: measure === 'bytes' ? 'stored bytes' : 'multiply-accumulates per image',
        ticks: 5,
        tickFormat: (value: number) => tickText(format(value)),
        grid: true,
      },
      y: { domain: labels, label: null, grid: false, padding: 0.25 },
      marks: [
        Plot.barX(segments, {
          y: 'network',
          x1: 'from',
          x2: 'to',
          fill: 'colour',
          // a white edge would cover a thin segment whole
          stroke: ({ from, to }: Segment) => (pixels(to - from) > 4 ? 'white' : 'none'),
          strokeWidth: 0.75,
        }),
        Plot.text(wide, {
          y: 'network',
          x: (segment: Segment) => (segment.from + segment.to) / 2,
          text: 'layer',
          fontSize: 12,
          fill: (segment: Segment) => (segment.dark ? 'white' : COLOURS.black),
        }),
        Plot.text(totals, {
          y: 'network',
          x: 'total',
          text: ({ total }: { total: number }) => format(total),
          textAnchor: 'start',
          dx: 6,
          fontWeight: 700,
        }),
      ],
    }),
    {
      heading: measure === 'bytes' ? 'Bytes by layer' : 'Multiply-accumulates by layer',
      legend: [
        { label: 'convolutions', colour: familyShade('blue', 0.5), symbol: 'area' },
        { label: 'dense layers', colour: familyShade('orange', 0.5), symbol: 'area' },
      ],
    },
  );
}

function stack(network: string, layers: readonly LayerCost[], measure: 'bytes' | 'macs'): Segment[] {
  let from = 0;
  return layers.map((layer) => {
    const family = layers.filter((other) => other.kind === layer.kind);
    const depth = family.length > 1 ? family.indexOf(layer) / (family.length - 1) : 0.5;
    const to = from + layer[measure];
    const conv = layer.kind === 'conv';
    const segment = {
      network,
      layer: layer.name,
      from,
      to,
      colour: familyShade(conv ? 'blue' : 'orange', depth),
      dark: conv ? depth >= 0.35 : depth >= 0.8,
    };
    from = to;
    return segment;
  });
}

/** Equal labels would share one bar: number them. */
const distinct = (labels: readonly string[]): string[] =>
  labels.map((label, i) => (labels.indexOf(label) === i ? label : `${label} (${i + 1})`));
