/** Techniques side by side: error against bytes and against milliseconds, and milliseconds alone (the paper's figure 5). */
import * as Plot from '@observablehq/plot';
import type { ComparedTechnique, CompareResult } from '../compare/result.js';
import { FIGURE_WIDTH, plotDefaults, renderSvg, textWidth } from './figure.js';
import { formatBytes, tickText } from './format.js';
import { COLOURS, familyShade } from './palette.js';
import { logTicks, milliseconds, TIMES_NOTE, timeBars } from './time-bars.js';

interface Point {
  readonly name: string;
  readonly x: number;
  readonly error: number;
  readonly low: number;
  readonly high: number;
  readonly isBest: boolean;
  readonly isPacked: boolean;
}

/** What a technique costs, by which no other is both smaller, or faster, and better. */
const COSTS = {
  bytes: {
    of: ({ bytes }: ComparedTechnique) => bytes,
    heading: 'Error against bytes',
    label: 'bytes of the network’s file (logarithmic)',
    format: (value: number) => tickText(formatBytes(value)),
  },
  milliseconds: {
    of: ({ times }: ComparedTechnique) => times[0]!.median,
    heading: 'Error against milliseconds',
    label: 'milliseconds an image, one at a time, one thread (logarithmic)',
    format: (value: number) => String(Number(value.toPrecision(2))),
  },
} as const;

const scaleOf = ({ dataset, architecture, epochs, images, seed }: CompareResult): string =>
  `${dataset}, ${architecture}, ${images.train} training images, ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'}, seed ${seed}`;

/** Test errors with their 95 % intervals; techniques that none beats in both are joined. */
export function paretoFigure(result: CompareResult, cost: keyof typeof COSTS): string {
  const { of, heading, label, format } = COSTS[cost];
  const points = result.techniques
    .map(
      (one): Omit<Point, 'isBest'> => ({
        name: one.name,
        x: of(one),
        ...one.test,
        isPacked: one.technique === 'bnn',
      }),
    )
    .sort((a, b) => a.x - b.x || a.error - b.error);
  let least = Number.POSITIVE_INFINITY;
  const marked = points.map((point): Point => {
    const isBest = point.error < least;
    if (isBest) least = point.error;
    return { ...point, isBest };
  });
  const domain: [number, number] = [0.7 * points[0]!.x, 1.5 * points.at(-1)!.x];
  const top = Math.max(...points.map(({ high }) => high));
  const placed = placeLabels(marked, domain, top);
  return renderSvg(
    plotDefaults({
      height: 420,
      marginRight: 40,
      x: { type: 'log', domain, label, ticks: logTicks(domain), tickFormat: format },
      y: { domain: [0, 1.05 * top], label: 'test error, %' },
      marks: [
        Plot.line(
          marked.filter(({ isBest }) => isBest),
          { x: 'x', y: 'error', curve: 'step-after', stroke: COLOURS.light, strokeWidth: 2 },
        ),
        Plot.ruleX(marked, { x: 'x', y1: 'low', y2: 'high', stroke: COLOURS.grey }),
        Plot.dot(marked, {
          x: 'x',
          y: 'error',
          r: 5,
          fill: ({ isPacked }: Point) => (isPacked ? COLOURS.blue : COLOURS.orange),
          stroke: COLOURS.black,
          symbol: ({ isPacked }: Point) => (isPacked ? 'square' : 'circle'),
        }),
        ...[true, false].map((isBest) =>
          Plot.text(
            placed.filter((point) => point.isBest === isBest),
            {
              x: 'x',
              y: 'y',
              text: 'name',
              textAnchor: 'start',
              dx: 8,
              dy: -9,
              fontSize: 12,
              fontWeight: isBest ? 700 : 400,
            },
          ),
        ),
      ],
    }),
    {
      heading,
      subheading: scaleOf(result),
      legend: [
        { label: 'packed model', colour: COLOURS.blue, symbol: 'square' },
        { label: 'other techniques', colour: COLOURS.orange, symbol: 'circle' },
        { label: 'none is better at the same cost', colour: COLOURS.light, symbol: 'line' },
      ],
      note: `Lines: 95 % intervals of ${result.images.test} test images.${cost === 'milliseconds' ? ` ${result.cpu}; executors are in the table.` : ''}`,
    },
  );
}

/** Labels beside their points, moved down where they would meet another. */
function placeLabels(
  points: readonly Point[],
  [from, to]: readonly [number, number],
  top: number,
): (Point & { y: number })[] {
  const pixelsOf = (x: number) => (FIGURE_WIDTH * Math.log(x / from)) / Math.log(to / from);
  const lineHeight = (1.05 * top * 14) / 340;
  const placed: (Point & { y: number })[] = [];
  for (const point of [...points].sort((a, b) => b.error - a.error)) {
    const meets = (y: number) =>
      placed.some(
        (other) =>
          Math.abs(other.y - y) < lineHeight &&
          pixelsOf(other.x) < pixelsOf(point.x) + textWidth(point.name, 12) + 12 &&
          pixelsOf(point.x) < pixelsOf(other.x) + textWidth(other.name, 12) + 12,
      );
    let y = point.error;
    while (y > lineHeight && meets(y)) y -= lineHeight / 4;
    placed.push({ ...point, y });
  }
  return placed;
}

/** Executors of one kind have one colour: cbnn's own engines, and ONNX Runtime's kernels. */
const executorKinds = [
  { label: 'cbnn’s own engine', colour: familyShade('blue', 0.5), has: /^(native|wasm)/ },
  { label: 'ONNX Runtime, int8', colour: familyShade('orange', 0.2), has: /, int8$/ },
  { label: 'ONNX Runtime, float32', colour: familyShade('orange', 0.5), has: /^/ },
] as const;

const kindOf = (executor: string) => executorKinds.find(({ has }) => has.test(executor))!;

/** Milliseconds an image of every technique, with the executor that was the fastest for it. */
export function runtimeFigure(result: CompareResult): string {
  const bars = result.techniques.flatMap(({ name, times }) =>
    times.map((time) => ({
      ...time,
      name: `${name}, ${nameOf(time)}`,
      fill: kindOf(time.executor).colour,
      text: `${milliseconds(time.median)}, ${time.executor.replace(/ONNX Runtime [\d.]+ (native|WebAssembly)/, 'ORT')}`,
    })),
  );
  const fills = new Set(bars.map(({ fill }) => fill));
  return renderSvg(timeBars(bars, { label: 'milliseconds per image', isLogarithmic: true, rowHeight: 26 }), {
    heading: 'Time per image',
    subheading: `${result.architecture}; ${result.cpu}`,
    legend: executorKinds
      .filter(({ colour }) => fills.has(colour))
      .map(({ label, colour }) => ({ label, colour, symbol: 'area' as const })),
    note: `${TIMES_NOTE}. Behind the bar: the fastest executor (ORT: ONNX Runtime).`,
  });
}

const nameOf = ({ batch, threads }: ComparedTechnique['times'][number]): string =>
  `batch ${batch}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
