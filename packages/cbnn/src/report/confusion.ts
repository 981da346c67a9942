/** Which classes a network takes for which. */
import { internalError } from '@cbnn/runtime';
import * as Plot from '@observablehq/plot';
import type { Confusion } from './data.js';
import { FIGURE_WIDTH, plotDefaults, renderSvg, textWidth } from './figure.js';
import { formatInteger, formatPercent } from './format.js';
import { COLOURS, shade } from './palette.js';

/**
 * Counts `[true class][predicted class]`, `classes * classes` of them.
 * Throws when a label or a prediction is not below `classes`.
 */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
  classes: number,
): Uint32Array {
  if (labels.length !== predictions.length)
    throw internalError(`confusion: expected ${labels.length} predictions, got ${predictions.length}`);
  const isClass = (index: number) => index >= 0 && index < classes;
  const matrix = new Uint32Array(classes * classes);
  for (let i = 0; i < labels.length; i++) {
    const truth = labels[i]!;
    const predicted = predictions[i]!;
    if (!isClass(truth) || !isClass(predicted))
      throw internalError(
        `confusion: expected classes 0..${classes - 1}, got ${truth} and ${predicted} (image ${i})`,
      );
    matrix[truth * classes + predicted]!++;
  }
  return matrix;
}

interface Cell {
  readonly truth: number;
  readonly predicted: number;
  readonly count: number;
  /** of the images of the true class, 0..1 */
  readonly share: number;
}

/** The cells that are not empty. */
export function confusionCells(matrix: Uint32Array, classes: number): Cell[] {
  const cells: Cell[] = [];
  for (let truth = 0; truth < classes; truth++) {
    const row = matrix.subarray(truth * classes, (truth + 1) * classes);
    const total = row.reduce((sum, count) => sum + count, 0);
    for (const [predicted, count] of row.entries())
      if (count > 0) cells.push({ truth, predicted, count, share: count / total });
  }
  return cells;
}

/** From here on a matrix is wider than other figures: it needs a row of its own, at its own size. */
export const isLarge = (classes: number): boolean => classes > 20;

/** A matrix of colours, with numbers in it while they can be read (up to 12 classes); readable up to 62 classes. */
export function confusionFigure({ classes, matrix, network, split }: Confusion): string {
  const count = classes.length;
  const cells = confusionCells(matrix, count);
  const numbers = count <= 12;
  const large = isLarge(count);
  const fontSize = large ? 12 : 13;
  const names = classes.map((name) => cut(name, large ? 26 : 18));
  const labelWidth = Math.ceil(14 + Math.max(...names.map((name) => textWidth(name, fontSize))));
  const turned = Math.max(...names.map((name) => textWidth(name, fontSize))) > 30 || large;
  const marginLeft = labelWidth + 26;
  const marginTop = (turned ? labelWidth + 8 : 22) + 24;
  const size = large ? 15 : Math.min(48, Math.floor((FIGURE_WIDTH - marginLeft - 8) / count));
  const side = size * count;
  const images = cells.reduce((sum, cell) => sum + cell.count, 0);
  const right = cells.reduce((sum, cell) => sum + (cell.truth === cell.predicted ? cell.count : 0), 0);
  const tone = (share: number) => shade(Math.sqrt(share) * 0.92);
  const indices = classes.map((_, i) => i);
  const counts = Plot.text(cells, {
    x: 'predicted',
    y: 'truth',
    text: (cell: Cell) => String(cell.count),
    fontSize: count <= 10 ? 12 : 11,
    fill: (cell: Cell) => (cell.share > 0.4 ? 'white' : COLOURS.black),
  });
  const plot = plotDefaults({
    width: Math.max(marginLeft + side + 8, 420),
    height: marginTop + side + 8,
    marginTop,
    marginLeft,
    marginRight: Math.max(8, 420 - marginLeft - side),
    marginBottom: 8,
    x: { domain: indices, type: 'band', padding: 0, axis: null },
    y: { domain: indices, type: 'band', padding: 0, axis: null, grid: false },
    marks: [
      Plot.cell(cells, { x: 'predicted', y: 'truth', fill: (cell: Cell) => tone(cell.share), inset: 0.25 }),
      ...(numbers ? [counts] : []),
      Plot.frame({ stroke: COLOURS.faint }),
      Plot.axisX(indices, {
        anchor: 'top',
        tickFormat: (i: number) => names[i] ?? '',
        tickSize: 0,
        tickPadding: 6,
        tickRotate: turned ? -90 : 0,
        fontSize,
        label: null,
      }),
      Plot.axisY(indices, {
        tickFormat: (i: number) => names[i] ?? '',
        tickSize: 0,
        tickPadding: 6,
        fontSize,
        label: null,
      }),
      Plot.text(['predicted class'], {
        frameAnchor: 'top',
        dy: -marginTop + 14,
        fontSize: 13,
        fill: COLOURS.grey,
      }),
      Plot.text(['true class'], {
        frameAnchor: 'left',
        dx: -marginLeft + 12,
        rotate: -90,
        fontSize: 13,
        fill: COLOURS.grey,
        textAnchor: 'middle',
      }),
    ],
  });
  return renderSvg(plot, {
    heading: 'Confusion matrix',
    subheading: `${network}, ${formatInteger(images)} ${split} images, accuracy ${formatPercent((100 * right) / Math.max(1, images))}`,
    legend: [0.01, 0.05, 0.2, 0.5, 1].map((share) => ({
      label: `${share * 100} %`,
      colour: tone(share),
      symbol: 'area',
    })),
    note: `Colour: share of the images of the true class.${numbers ? ' Numbers: images.' : ''}`,
  });
}

/** At most `length` characters. The middle is left out: similar names often differ in their last characters. */
function cut(text: string, length: number): string {
  const characters = [...text];
  if (characters.length <= length) return text;
  const end = Math.floor((length - 1) / 2);
  return `${characters.slice(0, length - 1 - end).join('')}…${characters.slice(-end).join('')}`;
}
