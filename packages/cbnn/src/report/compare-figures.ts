/** Techniques side by side: error against bytes and against milliseconds, and milliseconds alone (the paper's figure 5). */
import * as Plot from '@observablehq/plot';
import {
  type ComparedTechnique,
  type CompareResult,
  epochsMark,
  type TechniqueTime,
} from '../compare/result.js';
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

function scaleOf(result: CompareResult): string {
  const { dataset, architecture, epochs, images, seed, techniques } = result;
  const more = techniques.some((one) => epochsMark(one, result) !== '') ? ' (more where marked)' : '';
  return `${dataset}, ${architecture}, ${images.train} training images, ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'}${more}, seed ${seed}`;
}

/** Test errors with their 95 % intervals; techniques that none beats in both are joined. */
export function paretoFigure(result: CompareResult, cost: keyof typeof COSTS): string {
  const { of, heading, label, format } = COSTS[cost];
  const points = result.techniques
    .map(
      (one): Omit<Point, 'isBest'> => ({
        name: `${one.name}${epochsMark(one, result)}`,
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
  const range: [number, number] = [Math.max(0, 0.8 * Math.min(...points.map(({ low }) => low))), 1.03 * top];
  const placed = placeLabels(marked, domain, range);
  return renderSvg(
    plotDefaults({
      height: HEIGHT,
      marginRight: 24,
      x: { type: 'log', domain, label, ticks: logTicks(domain), tickFormat: format },
      y: { domain: range, label: 'test error, %' },
      marks: [
        Plot.line(
          marked.filter(({ isBest }) => isBest),
          { x: 'x', y: 'error', curve: 'step-after', stroke: COLOURS.light, strokeWidth: 2 },
        ),
        // From a label that had to move to its point.
        Plot.link(
          placed.filter(({ error, y }) => error !== y),
          {
            x1: 'x',
            y1: 'error',
            x2: ({ x, side }: Label) => x * labelFactor(side, domain),
            y2: 'y',
            stroke: COLOURS.light,
          },
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
        ...placed.map(({ name, x, y, isBest, side }) =>
          Plot.text([{ x, y, name }], {
            x: 'x',
            y: 'y',
            text: 'name',
            textAnchor: side === 'right' ? 'start' : 'end',
            dx: side === 'right' ? LABEL_DISTANCE : -LABEL_DISTANCE,
            fontSize: 12,
            fontWeight: isBest ? 700 : 400,
          }),
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

interface Label extends Point {
  /** of its middle, in the units of the error */
  readonly y: number;
  readonly side: 'left' | 'right';
}

const HEIGHT = 480;
/** Pixels between a point and its label, and of a label's line. */
const LABEL_DISTANCE = 10;
const LABEL_HEIGHT = 14;

/** What x is multiplied with to be where a label begins. */
const labelFactor = (side: Label['side'], [from, to]: readonly [number, number]): number =>
  (to / from) ** (((side === 'right' ? 1 : -1) * LABEL_DISTANCE) / FIGURE_WIDTH);

/** Labels beside their points, on the side where there is room; moved up or down to the nearest place where they meet nothing. */
function placeLabels(
  points: readonly Point[],
  [from, to]: readonly [number, number],
  [low, high]: readonly [number, number],
): Label[] {
  const pixelsOf = (x: number) => (FIGURE_WIDTH * Math.log(x / from)) / Math.log(to / from);
  const line = ((high - low) * LABEL_HEIGHT) / (HEIGHT - 80);
  const placed: (Label & { start: number; end: number })[] = [];
  for (const point of [...points].sort((a, b) => b.error - a.error)) {
    const width = textWidth(point.name, 12) * 1.08;
    const at = pixelsOf(point.x);
    const side = at + LABEL_DISTANCE + width > FIGURE_WIDTH - 60 ? 'left' : 'right';
    const start = side === 'right' ? at + LABEL_DISTANCE : at - LABEL_DISTANCE - width;
    const end = start + width;
    const meets = (y: number) =>
      // The axes, other labels,
      y < low + line / 2 ||
      y > high - line / 2 ||
      placed.some((other) => Math.abs(other.y - y) < line && other.start < end && start < other.end) ||
      // or other points.
      points.some(
        ({ x, error }) => Math.abs(error - y) < line / 2 && pixelsOf(x) + 6 > start && pixelsOf(x) - 6 < end,
      );
    let y = point.error;
    for (let step = 1; meets(y) && step < 200; step++)
      y = point.error + (((step % 2 ? 1 : -1) * Math.ceil(step / 2)) / 4) * line;
    placed.push({ ...point, y, side, start, end });
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

/** Milliseconds an image of every technique, on one thread and on all, with the executor that was the fastest for it. */
export function runtimeFigure(result: CompareResult): string {
  const bars = result.techniques.flatMap(({ name, times }) =>
    times.map((time) => ({
      ...time,
      name: `${name}, ${callsText(time)}`,
      fill: kindOf(time.executor).colour,
      text: `${milliseconds(time.median)}, ${time.executor.replace(/ONNX Runtime [\d.]+ (native|WebAssembly)/, 'ORT')}`,
    })),
  );
  const fills = new Set(bars.map(({ fill }) => fill));
  return renderSvg(timeBars(bars, { label: 'milliseconds per image', isLogarithmic: true, rowHeight: 22 }), {
    heading: 'Time per image',
    subheading: `${result.architecture}; ${result.cpu}`,
    legend: executorKinds
      .filter(({ colour }) => fills.has(colour))
      .map(({ label, colour }) => ({ label, colour, symbol: 'area' as const })),
    note: `${TIMES_NOTE}. Behind the bar: the fastest executor (ORT: ONNX Runtime).`,
  });
}

/** How it was called. */
export const callsText = ({ batch, threads }: TechniqueTime): string =>
  `batch ${batch}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
