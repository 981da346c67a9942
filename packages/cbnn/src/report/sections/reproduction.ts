/** The last sections: how to get the same numbers again, and what has not been measured yet. */
import type { ReportData, ReportPart } from '../data.js';
import { details, htmlTable, type Section } from '../elements.js';
import { markup } from '../markup.js';

export function reproductionSection({ reproduction }: ReportData): Section | null {
  if (!reproduction) return null;
  const { commands, config, seed, device, versions } = reproduction;
  const facts: readonly (readonly [string, string | number])[] = [
    ['seed', seed],
    ['trained on', device],
    ...Object.entries(versions),
  ];
  return {
    id: 'reproduction',
    title: 'How to reproduce it',
    short: 'Reproduce',
    lead: 'Paste these into a shell. The same seed, threads and kind of device give the same bits.',
    body: markup`<div class="card"><pre>${commands.join('\n')}</pre></div><div class="card">${htmlTable(
      [{ header: 'what' }, { header: 'value', align: 'wrap' }],
      facts.map(([name, value]) => ({ cells: [name, value] })),
    )}</div>${config && details('The whole configuration (config.json)', markup`<pre>${JSON.stringify(config)}</pre>`)}`,
  };
}

/** What each part shows, and the command that measures it. */
const PARTS: Readonly<Record<ReportPart, readonly [what: string, command: string]>> = {
  networks: ['Key numbers: accuracy, bytes and MACs', 'cbnn eval RUN'],
  training: ['Learning curves', 'cbnn train'],
  slices: ['An image and its bit slices', 'cbnn report RUN'],
  sensitivity: ['Bit-level sensitivity of the input', 'cbnn sensitivity RUN'],
  compaction: ['Compaction: the tries and the chosen network', 'cbnn compact RUN'],
  costs: ['Bytes and MACs by layer', 'cbnn report RUN'],
  confusion: ['Confusion matrix', 'cbnn eval RUN'],
  mistakes: ['Images it gets wrong', 'cbnn eval RUN'],
  reproduction: ['How to reproduce it', 'cbnn train'],
};

/** Names what is missing and the command that makes it; null when nothing is. */
export function missingSection(data: ReportData): Section | null {
  // Only bit slices into a packed network can be measured and pruned.
  const never: readonly ReportPart[] =
    data.networks?.before.isPacked === false ? ['sensitivity', 'compaction'] : [];
  const missing = (Object.keys(PARTS) as ReportPart[]).filter((part) => {
    if (never.includes(part)) return false;
    const value = data[part];
    return value === undefined || (Array.isArray(value) && value.length === 0 && part !== 'mistakes');
  });
  if (missing.length === 0) return null;
  return {
    id: 'missing',
    title: 'Not measured yet',
    short: 'Not yet',
    lead: 'These parts appear in the report once their command has run.',
    body: markup`<div class="card">${htmlTable(
      [{ header: 'part', align: 'wrap' }, { header: 'command' }],
      missing.map((part) => ({
        cells: [PARTS[part][0], markup`<code>${PARTS[part][1]}</code>`],
      })),
    )}</div>`,
  };
}
