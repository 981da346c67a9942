/** Sections about size: what the compaction tried, and where bytes and MACs are. */
import type { Candidate, CompactionTry } from '../../compact/result.js';
import type { LayerCost, NetworkCost } from '../../cost/cost.js';
import { acceptanceRule, compactionFigure } from '../compaction-figures.js';
import { costFigure } from '../cost-figures.js';
import type { NamedCost, ReportData } from '../data.js';
import { details, figureCard, grid, htmlTable, type Section, tag } from '../elements.js';
import {
  formatBytes,
  formatCount,
  formatInteger,
  formatInterval,
  formatPercent,
  formatRatio,
  signed,
} from '../format.js';
import { type Markup, markup } from '../markup.js';

export function compactionSection({ compaction }: ReportData): Section | null {
  if (!compaction) return null;
  const { baseline, tries, chosen, test } = compaction;
  const slices = (one: Candidate) => (one.slices.length > 0 ? one.slices.length : '8-bit');
  const verdict = (one: CompactionTry): Markup =>
    one.id === chosen
      ? tag('chosen', 'accent')
      : one.accepted
        ? tag('accepted', 'good')
        : tag('rejected', 'warn');
  const rows = [
    {
      cells: [
        'baseline',
        markup`<code>${baseline.architecture}</code>`,
        slices(baseline),
        formatBytes(baseline.bytes),
        formatCount(baseline.macs),
        formatPercent(baseline.validationError),
        '',
        '',
        '',
        '',
        '',
      ],
    },
    ...tries.map((one) => ({
      chosen: one.id === chosen,
      cells: [
        one.id,
        markup`<code>${one.architecture}</code>`,
        slices(one),
        formatBytes(one.bytes),
        formatCount(one.macs),
        formatPercent(one.validationError),
        signed(one.drop),
        formatInterval(one.interval),
        signed(one.limit),
        verdict(one),
        one.reason,
      ],
    })),
  ];
  const table = htmlTable(
    [
      { header: 'try' },
      { header: 'architecture', align: 'wrap' },
      { header: 'slices', align: 'right' },
      { header: 'file', align: 'right' },
      { header: 'MACs', align: 'right' },
      { header: 'error', align: 'right' },
      { header: 'drop, points', align: 'right' },
      { header: '95 % interval', align: 'right' },
      { header: '95 % sure at most', align: 'right' },
      { header: '' },
      { header: 'why it was tried', align: 'wrap' },
    ],
    rows,
  );
  const best = tries.find((one) => one.id === chosen);
  const outcome = best
    ? `The smallest accepted one is ${formatRatio(baseline.bytes, best.bytes)} smaller than the baseline.`
    : 'None was accepted.';
  const cut =
    !compaction.finished &&
    ` The search was cut off after ${tries.length} ${tries.length === 1 ? 'try' : 'tries'}.`;
  const tested =
    test &&
    ` On the ${formatInteger(test.images)} test images, asked once after the search, the error rate is ${formatPercent(test.compactError)} after ${formatPercent(test.baselineError)} for the baseline: ${signed(test.compactError - test.baselineError)} points, 95\u00a0% interval ${formatInterval(test.interval)}.`;
  return {
    id: 'compaction',
    title: 'Compaction',
    short: 'Compaction',
    lead: markup`Slices pruned, layers narrowed, then trained again. A candidate is accepted when ${acceptanceRule(compaction)}, on ${formatInteger(compaction.validationImages)} validation images. ${outcome}${cut}${tested}`,
    body: markup`${grid(
      figureCard(compactionFigure(compaction, 'bytes')),
      figureCard(compactionFigure(compaction, 'macs')),
    )}${details(`All ${tries.length} tries, on validation images`, table)}`,
  };
}

export function costSection({ costs }: ReportData): Section | null {
  if (!costs || costs.length === 0) return null;
  return {
    id: 'costs',
    title: 'Bytes and work by layer',
    short: 'Costs',
    lead: 'Stored bytes are weights and the numbers that go with each output; a file adds its header. MACs are counted as outputs times fan-in, taps on the padding included.',
    body: markup`${grid(figureCard(costFigure(costs, 'bytes')), figureCard(costFigure(costs, 'macs')))}${costs.map((one, i) => details(`${one.label}: ${formatBytes(one.cost.bytes)}, ${formatCount(one.cost.macs)} MACs${ratio(costs[0]!.cost, one, i)}`, layerTable(one.cost)))}`,
  };
}

const ratio = (first: NetworkCost, one: NamedCost, index: number): string =>
  index === 0
    ? ''
    : ` (${formatRatio(first.bytes, one.cost.bytes)} smaller, ${formatRatio(first.macs, one.cost.macs)} less work)`;

function layerTable(cost: NetworkCost): Markup {
  const row = (layer: LayerCost) => ({
    cells: [
      layer.name,
      formatInteger(layer.weights),
      layer.weightBits,
      formatInteger(layer.weightBytes),
      formatInteger(layer.otherBytes),
      formatInteger(layer.macs),
      layer.arithmetic,
      layer.bitOperations > 0 ? formatCount(layer.bitOperations) : '',
    ],
  });
  return htmlTable(
    [
      { header: 'layer' },
      { header: 'weights', align: 'right' },
      { header: 'bits each', align: 'right' },
      { header: 'weight bytes', align: 'right' },
      { header: 'other bytes', align: 'right' },
      { header: 'MACs', align: 'right' },
      { header: 'arithmetic' },
      { header: 'bit operations', align: 'right' },
    ],
    cost.layers.map(row),
    [
      'all',
      formatInteger(cost.weights),
      '',
      formatInteger(cost.weightBytes),
      formatInteger(cost.otherBytes),
      formatInteger(cost.macs),
      '',
      cost.bitOperations > 0 ? formatCount(cost.bitOperations) : '',
    ],
  );
}
