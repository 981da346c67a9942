/** Commands on finished runs and packed models: eval, inspect, sensitivity, compact, report. */
import { existsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { formatArchitecture, formatSlices, internalError, type PackedModel } from '@cbnn/runtime';
import type { Command } from 'commander';
import { modelCost } from '../cost/cost.js';
import { spreadImages } from '../data/dataset.js';
import { loadDataset } from '../data/registry.js';
import { confusionMatrix } from '../report/confusion.js';
import { formatBytes, formatCount, formatInteger } from '../report/format.js';
import { predictPacked, reportRun } from '../report/run-report.js';
import { textTable } from '../report/table.js';
import { choosePruning } from '../sensitivity/prune.js';
import { errorInterval } from '../statistics.js';
import { loadRunImages, readModel } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { errorRate } from '../train/train.js';
import { verifyRun } from '../verify/verify.js';
import { runCompaction, runSensitivity, sensitivityOf } from './analysis.js';
import { note, progressBar, result } from './console.js';
import { oneOf, positiveInteger, positiveNumber } from './options.js';
import { dataDirOption, stopSignal } from './shared.js';

interface DataFlags {
  readonly dataDir: string;
}

export function addModelCommands(program: Command): void {
  program
    .command('eval')
    .description('accuracy, confusion matrix and bytes of a packed model')
    .argument('<model>', "a run's folder, or a packed model file")
    .option('--data <name>', 'data set or folder, for a model file without a run')
    .option('--split <split>', 'validation or test', oneOf(['validation', 'test'] as const), 'validation')
    .option('--threads <n>', 'threads', positiveInteger, 2)
    .addOption(dataDirOption())
    .addHelpText('after', '\nExample:\n  cbnn eval runs/cifar10 --split test')
    .action(evalCommand);
  program
    .command('inspect')
    .description("a packed model's layers, kept slices, MACs, bit operations and bytes")
    .argument('<model>', "a run's folder, or a packed model file")
    .action((path: string) => {
      const model = readModel(path);
      result(describe(model, path), { model: path, cost: modelCost(model), input: model.input });
    });
  program
    .command('verify')
    .description("compare a run's training graph with the reference engine on its packed model, bit by bit")
    .argument('<run>', 'folder of a finished bnn run')
    .option('--split <split>', 'validation or test', oneOf(['validation', 'test'] as const), 'validation')
    .option('--images <n>', 'images used at most', positiveInteger)
    .option('--threads <n>', 'threads', positiveInteger, availableParallelism())
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      '\nExample:\n  cbnn verify runs/cifar10 --split test --images 500\nThe reference engine is slow on purpose: about 10 images a second and thread for the default network.',
    )
    .action(verifyCommand);
  program
    .command('sensitivity')
    .description('how much every input bit slice matters (random bits in its place, on validation images)')
    .argument('<run>', 'folder of a finished bnn run')
    .option('--seeds <n>', 'noise seeds', positiveInteger, 3)
    .option('--images <n>', 'validation images used at most', positiveInteger)
    .addOption(dataDirOption())
    .action(async (path: string, flags: DataFlags & { seeds: number; images?: number }) => {
      const loaded = await loadRunImages(path, { dataDir: flags.dataDir });
      const found = await runSensitivity(path, loaded.config, loaded, { ...flags, signal: stopSignal() });
      await reportRun(path, loaded.config, loaded);
      const table = textTable(
        [
          { header: 'noise in' },
          { header: 'slices', align: 'right' },
          { header: 'error %', align: 'right' },
          { header: 'increase', align: 'right' },
          { header: '95 % interval', align: 'right' },
        ],
        found.points.map((p) => [
          `${p.scope}${p.channel === null ? '' : ` ${found.channelNames[p.channel]}`} bit ${p.bit}`,
          String(p.slices.length),
          p.error.toFixed(2),
          p.increase.toFixed(2),
          `${p.interval[0].toFixed(2)} .. ${p.interval[1].toFixed(2)}`,
        ]),
      );
      const pruning = choosePruning(found, 1);
      result(
        `${table}\nclean error ${found.cleanError.toFixed(2)} % (${found.images} validation images); at most 1 point lost without ${pruning.drop.length} of ${found.keptSlices.length} slices\nfigures in ${new RunFolder(path).file('figures')}`,
        found,
      );
    });
  program
    .command('compact')
    .description('prune slices, shrink the network, retrain: the smallest network within the bound')
    .argument('<run>', 'folder of a finished bnn run')
    .option('--max-drop <points>', 'percentage points of accuracy that may be lost', positiveNumber, 1)
    .option(
      '--shrink <how>',
      'paper: one width for all layers; separate: convolutions and dense layers apart',
      oneOf(['paper', 'separate'] as const),
      'separate',
    )
    .option(
      '--accept <how>',
      'confident: 95 % sure that the drop is within the bound; estimate: the measured drop is',
      oneOf(['confident', 'estimate'] as const),
      'confident',
    )
    .option('--tries <n>', 'networks retrained at most', positiveInteger, 8)
    .option('--epochs <n>', "epochs of every retraining (default: the run's)", positiveInteger)
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      '\nExample:\n  cbnn compact runs/gtsrb --max-drop 1\nInterrupted? Run it again: finished tries are kept.',
    )
    .action(
      async (
        path: string,
        flags: DataFlags & {
          maxDrop: number;
          shrink: 'paper' | 'separate';
          accept: 'confident' | 'estimate';
          tries: number;
          epochs?: number;
        },
      ) => {
        const loaded = await loadRunImages(path, { dataDir: flags.dataDir });
        const { config } = loaded;
        const signal = stopSignal();
        const sensitivity = await sensitivityOf(path, config, loaded, { seeds: 3, signal });
        const { maxDrop, shrink, accept, tries, epochs } = flags;
        const found = await runCompaction(path, config, loaded, flags.dataDir, sensitivity, {
          maxDrop,
          shrink,
          acceptance: accept,
          maxTries: tries,
          signal,
          ...(epochs !== undefined && { epochs }),
        });
        const page = await reportRun(path, config, loaded);
        const chosen = found.tries.find((t) => t.id === found.chosen);
        result(
          chosen && found.test
            ? `${formatBytes(found.baseline.bytes)} -> ${formatBytes(chosen.bytes)} (${(found.baseline.bytes / chosen.bytes).toFixed(2)}x smaller), ${formatCount(found.baseline.macs)} -> ${formatCount(chosen.macs)} MACs\nvalidation drop ${chosen.drop.toFixed(2)} points [${chosen.interval[0].toFixed(2)}, ${chosen.interval[1].toFixed(2)}]; test error ${found.test.baselineError.toFixed(2)} -> ${found.test.compactError.toFixed(2)} %\n${chosen.architecture}, slices ${formatSlices(chosen.slices)}\nreport: ${page}`
            : `no network within ${maxDrop} points was found in ${found.tries.length} tries; allow a larger --max-drop, more --epochs, or --accept estimate\nreport: ${page}`,
          found,
        );
      },
    );
  program
    .command('report')
    .description('one self-contained HTML page about a run, and its figures as SVG and PNG')
    .argument('<run>', 'folder of a finished bnn run')
    .addOption(dataDirOption())
    .action(async (path: string, flags: DataFlags) => {
      const loaded = await loadRunImages(path, { dataDir: flags.dataDir });
      const page = await reportRun(path, loaded.config, loaded);
      result(`report: ${page}`, { report: page });
    });
}

async function verifyCommand(
  path: string,
  flags: DataFlags & { split: 'validation' | 'test'; images?: number; threads: number },
): Promise<void> {
  const loaded = await loadRunImages(path, { dataDir: flags.dataDir });
  const all = flags.split === 'test' ? loaded.dataset.test : loaded.validation;
  const images = spreadImages(all, flags.images);
  const bar = progressBar('verify');
  const found = await verifyRun(path, images, {
    workers: flags.threads,
    signal: stopSignal(),
    onProgress: (done, total) => bar.update(done, total, 'images'),
  });
  bar.stop();
  const different =
    found.differentClasses + found.layers.reduce((sum, l) => sum + l.differentSums + l.differentBits, 0);
  const table = textTable(
    [
      { header: 'layer' },
      { header: 'sums', align: 'right' },
      { header: 'different', align: 'right' },
      { header: 'bits', align: 'right' },
      { header: 'different', align: 'right' },
    ],
    found.layers.map((l, k) => [
      String(k + 1),
      formatInteger(l.sums),
      formatInteger(l.differentSums),
      formatInteger(l.bits),
      formatInteger(l.differentBits),
    ]),
  );
  result(
    `${table}\n${formatInteger(found.images)} ${flags.split} images: ${formatInteger(found.differentClasses)} classes differ; ${different === 0 ? 'training and packed model are the same network' : 'training and packed model DIFFER'}`,
    { run: path, split: flags.split, ...found },
  );
  if (different > 0)
    throw internalError(`verify ${path}: ${different} values of the packed model differ from training's`);
}

async function evalCommand(
  path: string,
  flags: DataFlags & { data?: string; split: 'validation' | 'test'; threads: number },
): Promise<void> {
  const model = readModel(path);
  const isRun = existsSync(new RunFolder(path).config);
  const loaded = isRun ? await loadRunImages(path, { dataDir: flags.dataDir }) : null;
  const dataset =
    loaded?.dataset ??
    (await loadDataset(flags.data ?? model.provenance.dataset, { dataDir: flags.dataDir }));
  const images = flags.split === 'validation' && loaded ? loaded.validation : dataset.test;
  const split = flags.split === 'validation' && loaded ? 'validation' : 'test';
  const predictions = await predictPacked(model, images, flags.threads);
  const error = errorRate(predictions, images.labels);
  const interval = errorInterval(Math.round((error * images.count) / 100), images.count);
  const matrix = confusionMatrix(images.labels, predictions, model.classes.length);
  const width = model.classes.length;
  const rows = model.classes.map((name, i) => [
    name,
    ...Array.from(matrix.subarray(i * width, (i + 1) * width), String),
  ]);
  note(describe(model, path));
  result(
    `\nconfusion matrix (rows: true class, columns: predicted class)\n${textTable([{ header: '' }, ...model.classes.map((_, i) => ({ header: String(i), align: 'right' as const }))], rows)}\n${split} error ${error.toFixed(2)} % [${interval.low.toFixed(2)}, ${interval.high.toFixed(2)}], accuracy ${(100 - error).toFixed(2)} % on ${images.count} images`,
    {
      model: path,
      split,
      images: images.count,
      error,
      interval,
      matrix: Array.from(matrix),
      bytes: modelCost(model),
    },
  );
}

function describe(model: PackedModel, path: string): string {
  const cost = modelCost(model);
  const { input } = model;
  const run = new RunFolder(path);
  const file = existsSync(run.config) ? run.model : path;
  const table = textTable(
    [
      { header: 'layer' },
      { header: 'weights', align: 'right' },
      { header: 'bits', align: 'right' },
      { header: 'weight bytes', align: 'right' },
      { header: 'other bytes', align: 'right' },
      { header: 'MACs', align: 'right' },
      { header: 'bit ops', align: 'right' },
    ],
    cost.layers.map((layer) => [
      layer.name,
      String(layer.weights),
      String(layer.weightBits),
      String(layer.weightBytes),
      String(layer.otherBytes),
      formatCount(layer.macs),
      formatCount(layer.bitOperations),
    ]),
  );
  const seen =
    input.encoding === '8-bit'
      ? 'plain 8-bit image'
      : `slices ${formatSlices(input.slices)} (${input.slices.length} of ${8 * input.channels})`;
  return `${formatArchitecture(model.layers)}\ninput ${input.height}x${input.width}x${input.channels}, ${seen}, contrast stretch ${input.stretch ? `${input.stretch.low}..${input.stretch.high} %` : 'off'}\n${table}\ntotal ${formatCount(cost.weights)} weights, ${formatCount(cost.macs)} MACs, ${formatCount(cost.bitOperations)} bit operations, file ${formatBytes(statSync(file).size)}`;
}
