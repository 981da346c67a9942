/** A comparison's page: plots, tables, and how each number was obtained. It stands alone, as the report of a run does. */
import { join } from 'node:path';
import { type ComparedTechnique, type CompareResult, epochsMark } from '../compare/result.js';
import { writeFileAtomic } from '../train/run-folder.js';
import { callsText, paretoFigure, runtimeFigure } from './compare-figures.js';
import { figureCard, htmlTable, type Section } from './elements.js';
import { writeFigure } from './figure.js';
import { formatBytes, formatCount, formatPercent, formatRatio } from './format.js';
import { renderPage } from './html.js';
import { inputGridFigure } from './input-grid-figure.js';
import { markup } from './markup.js';

/** Writes `report.html` and `figures/` beside compare.json; returns the page's path. */
export async function reportComparison(result: CompareResult, out: string): Promise<string> {
  const figures = {
    'error-bytes': paretoFigure(result, 'bytes'),
    'error-milliseconds': paretoFigure(result, 'milliseconds'),
    'fig5-runtime': runtimeFigure(result),
  };
  const grid = inputGridFigure(result);
  if (grid) await writeFigure(join(out, 'figures'), 'fig6-input', grid);
  for (const [name, svg] of Object.entries(figures)) await writeFigure(join(out, 'figures'), name, svg);
  const page = join(out, 'report.html');
  const about = `${result.dataset} · ${result.images.train} training, ${result.images.test} test images`;
  writeFileAtomic(page, renderPage('Techniques side by side', about, sections(result, figures, grid)));
  return page;
}

function sections(
  result: CompareResult,
  figures: Readonly<Record<'error-bytes' | 'error-milliseconds' | 'fig5-runtime', string>>,
  grid: string | null,
): Section[] {
  const { techniques, epochs, images, seed } = result;
  const stretch = `contrast stretch ${result.stretch ? 'on' : 'off'}${result.stretchTried ? ', chosen once, by two short trainings of bnn' : ''}`;
  const float = techniques.find(({ name }) => name === 'float');
  const scale = `${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} on ${images.train} images, one seed (${seed})`;
  return [
    {
      id: 'accuracy',
      title: 'Accuracy and bytes',
      short: 'Accuracy',
      lead: `All on the same images, network and augmentation, ${stretch}: ${scale}. ${longer(result)}Small scale says little about long training.`,
      body: markup`${figureCard(figures['error-bytes'])}<div class="card">${htmlTable(
        [
          { header: 'technique' },
          { header: 'epochs', align: 'right' },
          { header: 'test error', align: 'right' },
          { header: '95 % interval', align: 'right' },
          { header: 'bytes', align: 'right' },
          { header: 'smaller than float', align: 'right' },
          { header: 'bits of a weight between first and last layer', align: 'right' },
          { header: 'of an activation', align: 'right' },
          { header: 'weights that are not 0', align: 'right' },
          { header: 'MACs, dense', align: 'right' },
          { header: 'bit operations', align: 'right' },
        ],
        techniques.map((one) => ({
          cells: [
            one.name,
            String(one.epochs),
            formatPercent(one.test.error),
            `${one.test.low.toFixed(2)} to ${one.test.high.toFixed(2)}`,
            formatBytes(one.bytes),
            float ? formatRatio(float.bytes, one.bytes) : '',
            String(one.weightBits),
            String(one.activationBits),
            nonzeroText(one),
            formatCount(one.macs),
            formatCount(one.bitOperations),
          ],
        })),
      )}</div>`,
    },
    {
      id: 'runtime',
      title: 'Milliseconds',
      short: 'Milliseconds',
      lead: `Each on the fastest executor that there is for it here, in turns, answers checked: single images and batches on one thread, and batches on all (at most ${result.threads.timing}), however many trained (${result.threads.training}); ${result.cpu}.${lost(result)}`,
      body: markup`${figureCard(figures['error-milliseconds'])}${figureCard(figures['fig5-runtime'])}<div class="card">${htmlTable(
        [
          { header: 'technique' },
          { header: 'executor' },
          { header: 'images a call', align: 'right' },
          { header: 'threads', align: 'right' },
          { header: 'ms an image', align: 'right' },
          { header: 'fastest, slowest tenth', align: 'right' },
          { header: 'slower, ms an image', align: 'wrap' },
        ],
        techniques.flatMap(({ name, times }) =>
          times.map((time) => ({
            cells: [
              name,
              time.executor,
              String(time.batch),
              String(time.threads),
              time.median.toPrecision(3),
              `${time.fast.toPrecision(3)} to ${time.slow.toPrecision(3)}`,
              time.others.map(({ executor, median }) => `${executor}: ${median.toPrecision(3)}`).join('; '),
            ],
          })),
        ),
      )}</div>`,
    },
    ...(grid
      ? [
          {
            id: 'input',
            title: 'Input and first layer',
            short: 'Input',
            lead: `The same network on the plain image and on bit slices, with integer and binary weights in its first layer: ${scale}.`,
            body: figureCard(grid),
          },
        ]
      : []),
    {
      id: 'method',
      title: 'How each was obtained',
      short: 'Method',
      lead: 'This command makes all of it again; those further down make single networks, each after what it begins with.',
      body: markup`<div class="card"><pre>${result.command}</pre></div><div class="card">${htmlTable(
        [
          { header: 'technique' },
          { header: 'what it is', align: 'wrap' },
          { header: 'source', align: 'wrap' },
          { header: 'epochs', align: 'right' },
          { header: 'best', align: 'right' },
          { header: 'validation error', align: 'right' },
          { header: 'peak rate of latent weights', align: 'right' },
          { header: 'of all others', align: 'right' },
          { header: 'trained by', align: 'wrap' },
        ],
        techniques.map((one) => ({
          cells: [
            one.name,
            one.title,
            one.source,
            String(one.epochs),
            String(one.bestEpoch),
            formatPercent(one.validationError),
            rateText(one.rates?.latent),
            one.rates ? rateText(one.rates.real) : 'not trained',
            one.engine,
          ],
        })),
      )}<p>Network ${result.architecture}, recipe ${result.recipe}, batch ${result.batch}, ${stretch}; the epoch with the best validation error (${result.images.validation} images) is tested on ${
        result.images.test
      } images. Epochs count those of the network that a technique begins with, not those of a teacher. Bytes are the length of the file that answers. ${Object.entries(
        result.versions,
      )
        .map(([name, version]) => `${name} ${version}`)
        .join(', ')}.</p></div><div class="card"><pre>${techniques
        .flatMap(({ name, commands }) => [`# ${name}`, ...commands])
        .join('\n')}</pre></div>`,
    },
  ];
}

const rateText = (rate: number | null | undefined): string =>
  typeof rate === 'number' ? String(Number(rate.toPrecision(3))) : '';

/** How many are left, and of how many. */
const nonzeroText = ({ nonzeroWeights, weights }: ComparedTechnique): string =>
  `${formatCount(nonzeroWeights)} (${((100 * nonzeroWeights) / weights).toFixed(0)} %)`;

/** Who was trained for longer, and why. */
function longer(result: CompareResult): string {
  const marked = result.techniques.filter((one) => epochsMark(one, result) !== '');
  if (marked.length === 0) return '';
  const names = marked.map(({ name, epochs }) => `${name} (${epochs})`).join(', ');
  return `Trained for longer, because each begins with a trained network and goes on: ${names}; their errors are not those of equal training. `;
}

/** Where ONNX Runtime's float32 kernels were faster than what a technique has of its own. */
function lost({ techniques }: CompareResult): string {
  const found = new Map<string, string[]>();
  for (const { name, times } of techniques)
    for (const time of times) {
      const [next] = time.others;
      if (!next || !/float32$/.test(time.executor)) continue;
      const who = `${name} on ${next.executor}`;
      found.set(who, [...(found.get(who) ?? []), callsText(time)]);
    }
  const all = [...found].map(([who, calls]) => `${who} (${calls.join('; ')})`);
  return all.length > 0 ? ` Slower than float32: ${all.join(', ')}.` : '';
}
