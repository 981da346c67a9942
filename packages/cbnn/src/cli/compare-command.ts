import { type Command, InvalidArgumentError } from 'commander';
import { compare, isBegun, type SharedOptions } from '../compare/compare.js';
import { contenderOf, gridContenders, usualContenders } from '../compare/contenders.js';
import { DEFAULT_WIDTHS, narrowed, precisionOf } from '../compare/precision.js';
import { techniqueNames } from '../nn/plan.js';
import { recipeNames } from '../nn/recipes.js';
import { reportComparison } from '../report/compare-report.js';
import { writeFigure } from '../report/figure.js';
import { formatPercent } from '../report/format.js';
import { precisionFigure } from '../report/precision-figure.js';
import { textTable } from '../report/table.js';
import { RunFolder, writeJsonAtomic } from '../train/run-folder.js';
import { comparisonTable, standingTable } from './compare-tables.js';
import { note, progressBar, result, trainingBar } from './console.js';
import { oneOf, positiveInteger, positiveNumber, wholeNumber } from './options.js';
import { addReadingOptions, dataDirOption, loadRun, runDataDirOption, stopSignal } from './shared.js';

interface CompareFlags extends Omit<SharedOptions, 'data' | 'dataDir' | 'architecture'> {
  readonly dataDir?: string;
  readonly arch?: string;
  readonly out?: string;
  readonly resume?: boolean;
  readonly techniques?: string[];
  readonly grid?: boolean;
  readonly epochs?: number;
  readonly budget?: number;
}

const SECONDS = { s: 1, m: 60, h: 3600 } as const;

/** `90s`, `30m`, `2h`: seconds. */
function duration(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smh])$/.exec(text) ?? [];
  if (!unit) throw new InvalidArgumentError(`expected a time such as 90s, 30m or 2h, got "${text}".`);
  return Number(number) * SECONDS[unit as keyof typeof SECONDS];
}

export function addCompareCommand(program: Command): void {
  addPrecision(program);
  const command = program
    .command('compare')
    .description('techniques side by side on the same images: accuracy, bytes, milliseconds')
    .argument('<data>', 'a data set (see `cbnn data`), or a folder of class folders or of IDX files')
    .addOption(dataDirOption())
    .option('--out <folder>', 'where its runs and its report go (default: compare/<data>)')
    .option('--resume', 'continue an interrupted comparison in --out')
    .option(
      '--techniques <list>',
      `of ${techniqueNames.join(', ')}; each may be followed by settings, as bnn+8-bit, bnn+recu, bnn+compact, fixed-point+4-bit, pruned+sparsity-95, pruned+one-shot, float+rate-2e-2 (default: all but binary-activations, and bnn+compact)`,
      (text: string) => text.split(',').map((name) => contenderOf(name.trim()).name),
    )
    .option(
      '--grid',
      "add bnn on the plain image and on slices, with integer and binary first layers: the paper's figure 6",
    )
    .option('--epochs <n>', 'of every training (default: what the budget allows)', positiveInteger)
    .option(
      '--budget <time>',
      'of all trainings together, about: 90s, 30m, 2h (default: 30m); settles the epochs when a comparison begins, --resume keeps them',
      duration,
    )
    .option('--arch <notation>', "the paper's notation (default: as `cbnn train`)")
    .option('--width <factor>', 'multiply the width of all hidden layers', positiveNumber)
    .option('--recipe <name>', 'modern or paper (default: modern)', oneOf(recipeNames))
    .option(
      '--stretch <when>',
      "contrast stretch: auto, on or off (default: the recipe's)",
      oneOf(['auto', 'on', 'off'] as const),
    )
    .option('--batch <n>', "images per step (default: the recipe's)", positiveInteger)
    .option('--limit <n>', 'use only this many training images (default: all)', positiveInteger)
    .option('--validation <n>', "validation images (default: the data set's share)", positiveInteger)
    .option('--seed <n>', 'seed of everything random (default: 1)', wholeNumber)
    .option('--threads <n>', 'threads of training (default: all, at most 8)', positiveInteger);
  addReadingOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  cbnn compare signs --budget 5m
  cbnn compare cifar10 --data-dir ~/data --techniques float,bnn,xnor-net,ttq --epochs 10
  cbnn compare ./my-images --techniques bnn --grid --epochs 20
  cbnn compare ./my-images --techniques bnn,bnn+approx-sign,bnn+taught --epochs 20
  cbnn compare ./my-images --techniques float,fixed-point+4-bit,fixed-point+16-bit,ttq+sparsity-50 --epochs 20
  cbnn compare ./my-images --resume
A resumed comparison keeps its techniques, epochs and network; --budget and --epochs other than it was begun with are refused.
Times are measured at the end, in turns, on one thread and on all whatever --threads says: nothing else should run then.`,
    )
    .action(async (data: string, flags: CompareFlags) => {
      const { arch, out, resume, techniques, grid, epochs, budget, dataDir, ...rest } = flags;
      const shared = { ...rest, data, dataDir: dataDir ?? 'data', ...(arch && { architecture: arch }) };
      const folder = out ?? `compare/${data.replaceAll(/[^\w.-]+/g, '-')}`;
      const settled = epochs !== undefined || (resume === true && isBegun(folder));
      await compareCommand(shared, folder, {
        resume: resume === true,
        ...((techniques || grid) && {
          contenders: [
            ...(techniques ?? usualContenders),
            ...(grid ? gridContenders(rest.recipe ?? 'modern') : []),
          ],
        }),
        ...(epochs !== undefined && { epochs }),
        ...(budget !== undefined ? { budget } : !settled && { budget: 30 * 60 }),
      });
    });
}

async function compareCommand(
  shared: SharedOptions,
  out: string,
  options: Parameters<typeof compare>[2],
): Promise<void> {
  let bar: { name: string; bar: ReturnType<typeof trainingBar> } | null = null;
  let stage: { name: string; bar: ReturnType<typeof progressBar> } | null = null;
  const found = await compare(shared, out, {
    ...options,
    signal: stopSignal(),
    onNote: note,
    onStanding(standings) {
      bar?.bar.stop();
      stage?.bar.stop();
      [bar, stage] = [null, null];
      process.stderr.write(`${standingTable(standings)}\n`);
    },
    onTraining(name, progress) {
      if (bar?.name !== name) {
        bar?.bar.stop();
        bar = { name, bar: trainingBar(name) };
      }
      bar.bar.show(progress);
    },
    onStage(name, done, total) {
      bar?.bar.stop();
      if (stage?.name !== name) {
        stage?.bar.stop();
        stage = { name, bar: progressBar(name) };
      }
      stage.bar.update(done, total);
      if (done === total) stage.bar.stop();
    },
  });
  const page = await reportComparison(found, out);
  result(
    `${found.dataset}, ${found.architecture}: ${found.epochs} epochs on ${found.images.train} images, seed ${found.seed}\n${comparisonTable(found)}\nreport in ${page}`,
    { ...found, report: page },
  );
}

interface PrecisionFlags {
  readonly dataDir?: string;
  readonly bits?: readonly number[];
  readonly split: 'validation' | 'test';
  readonly threads?: number;
}

function addPrecision(program: Command): void {
  program
    .command('precision')
    .description('error of a float run rounded to fixed point of 2 to 16 bits, without training again')
    .argument('<run>', 'a finished run of technique float')
    .addOption(runDataDirOption())
    .option('--bits <list>', `widths (default: ${DEFAULT_WIDTHS.join(',')})`, (text: string) =>
      text.split(',').map((bits) => positiveInteger(bits.trim())),
    )
    .option('--split <name>', 'validation or test', oneOf(['validation', 'test'] as const), 'validation')
    .option('--threads <n>', 'threads (default: as in training)', positiveInteger)
    .addHelpText(
      'after',
      '\nExamples:\n  cbnn precision runs/float\n  cbnn precision runs/float --bits 4,6,8 --split test\nWrites precision.json and figures/precision into the run.',
    )
    .action(async (run: string, { dataDir, bits, ...rest }: PrecisionFlags) => {
      const signal = stopSignal();
      const images = await loadRun(run, { ...(dataDir !== undefined && { dataDir }) }, signal);
      const bar = progressBar('precision');
      const found = await precisionOf(run, images, {
        ...rest,
        ...(bits && { widths: bits }),
        signal,
        onProgress: bar.update,
      }).finally(() => bar.stop());
      const folder = new RunFolder(run);
      writeJsonAtomic(folder.file('precision.json'), found);
      await writeFigure(folder.file('figures'), 'precision', precisionFigure(found));
      const widths = [...new Set(found.points.map((point) => point.bits))];
      const errorAt = (kind: string, width: number) =>
        formatPercent(found.points.find((p) => p.narrowed === kind && p.bits === width)!.error.error);
      const table = textTable(
        [
          { header: 'bits', align: 'right' },
          { header: 'weights and activations', align: 'right' },
          { header: 'weights alone', align: 'right' },
          { header: 'activations alone', align: 'right' },
        ],
        widths.map((width) => [String(width), ...narrowed.map((kind) => errorAt(kind, width))]),
      );
      result(
        `${found.dataset}, ${found.images} ${found.split} images; float32: ${formatPercent(found.float.error)}\n${table}\nfigures/precision.svg in ${run}`,
        found,
      );
    });
}
