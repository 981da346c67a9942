/** What a comparison shows on a terminal. */
import type { CompareResult } from '../compare/result.js';
import type { Standing } from '../compare/standing.js';
import { formatBytes, formatCount, formatPercent, formatRatio } from '../report/format.js';
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

/** Of a finished comparison: a line for each technique; what it costs, then what it takes. */
export function comparisonTable({ techniques }: CompareResult): string {
  const float = techniques.find(({ name }) => name === 'float');
  const costs = textTable(
    [
      { header: 'technique' },
      { header: 'epochs', align: 'right' },
      { header: 'test error', align: 'right' },
      { header: '95 % interval', align: 'right' },
      { header: 'bits of weights, activations', align: 'right' },
      { header: 'bytes', align: 'right' },
      { header: 'smaller than float', align: 'right' },
      { header: 'MACs', align: 'right' },
      { header: 'bit ops', align: 'right' },
    ],
    techniques.map((one) => [
      one.name,
      String(one.epochs),
      formatPercent(one.test.error),
      `${one.test.low.toFixed(2)} to ${one.test.high.toFixed(2)}`,
      `${one.weightBits}, ${one.activationBits}`,
      formatBytes(one.bytes),
      float ? formatRatio(float.bytes, one.bytes) : '',
      formatCount(one.macs),
      formatCount(one.bitOperations),
    ]),
  );
  const times = textTable(
    [
      { header: 'technique' },
      { header: 'ms an image', align: 'right' },
      { header: 'in batches', align: 'right' },
      { header: 'on all threads', align: 'right' },
      { header: 'executor' },
    ],
    techniques.map(({ name, times }) => [
      name,
      ...[0, 1, 2].map((i) => times[i]?.median.toPrecision(3) ?? ''),
      [...new Set(times.map(({ executor }) => executor))].join(' / '),
    ]),
  );
  return `${costs}\n\n${times}`;
}
