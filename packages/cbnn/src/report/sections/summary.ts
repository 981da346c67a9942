/** The key numbers, first on the page: accuracy, bytes, MACs and weights, before and after, with their caveats. */

import { codeTitles } from '../code-labels.js';
import type { NetworkSummary, ReportData } from '../data.js';
import { htmlTable, type Section } from '../elements.js';
import { formatBytes, formatCount, formatInteger, formatPercent, formatRatio, signed } from '../format.js';
import { type Insert, type Markup, markup } from '../markup.js';

export function summarySection({ networks, drop, compaction, caveats }: ReportData): Section | null {
  if (!networks) return null;
  const { before, after } = networks;
  // the number that counts, in large, is the one after where there is one
  const shown = after ?? before;
  const test = after && compaction?.test;
  const numbers = [
    test &&
      number(
        'Test accuracy',
        accuracy(test.compactError),
        accuracyChange(test.baselineError, test.compactError, { ...test, split: 'test' }),
      ),
    number(
      shown.split === 'test' ? 'Test accuracy' : 'Validation accuracy',
      accuracy(shown.error),
      after ? accuracyChange(before.error, after.error, drop) : spread(before),
    ),
    number(
      shown.isPacked ? 'Packed model' : 'Network’s file',
      formatBytes(shown.bytes),
      ratio(formatBytes, 'smaller', before.bytes, after?.bytes),
    ),
    number('MACs per image', formatCount(shown.macs), ratio(formatCount, 'fewer', before.macs, after?.macs)),
    number(
      'Weights',
      formatCount(shown.weights),
      ratio(formatCount, 'fewer', before.weights, after?.weights),
    ),
  ];
  const caveat =
    caveats.length > 0 &&
    markup`<p class="caveat"><b>Read these numbers with care:</b> ${caveats.join('; ')}.</p>`;
  return {
    id: 'summary',
    title: after ? 'Before and after' : 'Key numbers',
    short: 'Summary',
    body: markup`<dl class="numbers">${numbers}</dl>${caveat}<div class="card">${networkTable(before, after)}</div>`,
  };
}

const accuracy = (error: number): string => formatPercent(100 - error);

function number(label: string, value: Insert, note: Insert): Markup {
  return markup`<div class="number card"><dt>${label}</dt><dd class="big">${value}</dd><dd class="change">${note}</dd></div>`;
}

function ratio(
  format: (value: number) => string,
  word: string,
  before: number,
  after: number | undefined,
): Insert {
  return after !== undefined && markup`was ${format(before)}: <b>${formatRatio(before, after)} ${word}</b>`;
}

function spread({ interval, images, split }: NetworkSummary): string {
  const [low, high] = [100 - interval[1], 100 - interval[0]];
  return `95\u00a0% interval ${low.toFixed(2)} to ${high.toFixed(2)}, ${formatInteger(images)} ${split} images`;
}

/** From error rates to a change of accuracy; `drop` is their paired comparison. */
function accuracyChange(before: number, after: number, drop: ReportData['drop']): Insert {
  const change = markup`was ${accuracy(before)}: <b>${signed(before - after)} points</b>`;
  // without a paired comparison there is no interval: the difference of the two numbers is all there is to say
  if (!drop) return change;
  const [low, high] = [-drop.interval[1], -drop.interval[0]];
  return markup`${change} (95\u00a0% interval ${signed(low)} to ${signed(high)}, ${formatInteger(drop.images)} ${drop.split} images)`;
}

function networkTable(before: NetworkSummary, after: NetworkSummary | undefined): Markup {
  const row = (one: NetworkSummary, chosen: boolean) => ({
    chosen,
    cells: [
      one.label,
      markup`<code>${one.architecture}</code>`,
      one.slices
        ? `${one.slices[0]} of ${one.slices[1]}${one.code ? `, ${codeTitles[one.code]}` : ''}`
        : '8-bit input',
      formatPercent(one.error),
      `${one.interval[0].toFixed(2)} to ${one.interval[1].toFixed(2)}`,
      formatInteger(one.images),
    ],
  });
  return htmlTable(
    [
      { header: 'network' },
      { header: 'architecture', align: 'wrap' },
      { header: 'slices' },
      { header: `${before.split} error`, align: 'right' },
      { header: '95 % interval', align: 'right' },
      { header: 'images', align: 'right' },
    ],
    [row(before, false), ...(after ? [row(after, true)] : [])],
  );
}
