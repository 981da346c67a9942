/** What a comparison shows on a terminal. */
import type { CompareResult } from '../compare/result.js';
import type { Standing } from '../compare/standing.js';
import { formatBytes, formatPercent } from '../report/format.js';
import { textTable } from '../report/table.js';

/** Of one under way: a line for each contender. */
export function standingTable(standings: readonly Standing[]): string {
  return textTable(
    [
      { header: 'technique' },
      { header: 'state' },
      { header: 'epochs', align: 'right' },
      { header: 'validation error', align: 'right' },
    ],
    standings.map(({ name, state, epochs, validationError }) => [
      name,
      state,
      epochs ? `${epochs.done}/${epochs.all}` : '',
      validationError === null ? '' : formatPercent(validationError),
    ]),
  );
}

/** Of a finished comparison: a line for each technique. */
export function comparisonTable({ techniques }: CompareResult): string {
  return textTable(
    [
      { header: 'technique' },
      { header: 'epochs', align: 'right' },
      { header: 'test error', align: 'right' },
      { header: '95 % interval', align: 'right' },
      { header: 'bytes', align: 'right' },
      { header: 'ms an image', align: 'right' },
      { header: 'in batches', align: 'right' },
      { header: 'on all threads', align: 'right' },
      { header: 'executor' },
    ],
    techniques.map(({ name, epochs, test, bytes, times }) => [
      name,
      String(epochs),
      formatPercent(test.error),
      `${test.low.toFixed(2)} to ${test.high.toFixed(2)}`,
      formatBytes(bytes),
      ...[0, 1, 2].map((i) => times[i]?.median.toPrecision(3) ?? ''),
      [...new Set(times.map(({ executor }) => executor))].join(' / '),
    ]),
  );
}
