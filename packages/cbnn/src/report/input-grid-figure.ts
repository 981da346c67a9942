/** The paper's figure 6 as a grid: what enters the first layer, what its weights are, and what becomes of error, bytes and milliseconds. */
import * as Plot from '@observablehq/plot';
import { inputGrid } from '../compare/contenders.js';
import type { CompareResult } from '../compare/result.js';
import { FIGURE_WIDTH, plotDefaults, renderSvg } from './figure.js';
import { formatBytes, formatPercent } from './format.js';
import { COLOURS, shade } from './palette.js';

const ROW_NAMES: Readonly<Record<string, string>> = {
  '8-bit': '8-bit image',
  equal: 'slices, equal',
  'place-value': 'slices, place values',
};
const COLUMN_NAMES: Readonly<Record<string, string>> = {
  'integer-first': 'integer first layer',
  'binary-first': 'binary first layer',
};
const ROW_HEIGHT = 84;
const LINE_HEIGHT = 18;
/** The darkest that black text is still read on. */
const DARKEST = 0.45;

interface Cell {
  readonly row: string;
  readonly column: string;
  readonly error: number;
  readonly lines: readonly string[];
}

/** Null where a comparison has not all of the grid. */
export function inputGridFigure(result: CompareResult): string | null {
  const cells: Cell[] = [];
  for (const row of inputGrid.rows)
    for (const column of inputGrid.columns) {
      const found = result.techniques.find(
        ({ name }) => name === inputGrid.contender(row, column, result.recipe),
      );
      if (!found) return null;
      const { test, bytes, times } = found;
      cells.push({
        row: ROW_NAMES[row]!,
        column: COLUMN_NAMES[column]!,
        error: test.error,
        lines: [
          `${formatPercent(test.error)}  (${test.low.toFixed(1)} to ${test.high.toFixed(1)})`,
          formatBytes(bytes),
          `${times[0]!.median.toPrecision(3)} ms`,
        ],
      });
    }
  const errors = cells.map(({ error }) => error);
  const [least, most] = [Math.min(...errors), Math.max(...errors)];
  const tone = ({ error }: Cell) => shade(most > least ? (DARKEST * (error - least)) / (most - least) : 0);
  const { dataset, architecture, images, epochs, seed } = result;
  return renderSvg(
    plotDefaults({
      width: FIGURE_WIDTH,
      height: 30 + ROW_HEIGHT * inputGrid.rows.length,
      marginTop: 28,
      marginBottom: 2,
      marginLeft: 150,
      marginRight: 4,
      x: {
        type: 'band',
        domain: Object.values(COLUMN_NAMES),
        axis: 'top',
        label: null,
        tickSize: 0,
        padding: 0.02,
      },
      y: { type: 'band', domain: Object.values(ROW_NAMES), label: null, grid: false, padding: 0.04 },
      marks: [
        Plot.cell(cells, { x: 'column', y: 'row', fill: tone, stroke: COLOURS.light }),
        ...[0, 1, 2].map((line) =>
          Plot.text(cells, {
            x: 'column',
            y: 'row',
            text: ({ lines }: Cell) => lines[line]!,
            dy: (line - 1) * LINE_HEIGHT,
            fontSize: line === 0 ? 14 : 12,
            fontWeight: line === 0 ? 700 : 400,
          }),
        ),
      ],
    }),
    {
      heading: 'What enters the first layer, and its weights',
      subheading: `${dataset}, ${architecture}, ${images.train} training images, ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'}, seed ${seed}`,
      note: `Test error with its 95 % interval (${images.test} images), bytes of the packed model, milliseconds an image (one at a time, one thread; ${result.cpu}). Darker: more errors.`,
    },
  );
}
