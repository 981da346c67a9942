/** Commands on a finished network: eval, inspect, verify. */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { configError, dataError, formatArchitecture, formatSlices, internalError } from '@cbnn/runtime';
import type { Command } from 'commander';
import { type FinishedNetwork, finishedNetwork } from '../cost/finished-network.js';
import { type ImageSet, spreadImages } from '../data/dataset.js';
import { isIdxFolder } from '../data/mnist.js';
import { isKnownDataset, loadDataset } from '../data/registry.js';
import type { ReadingChoices } from '../data/source.js';
import { errorRate } from '../predictions.js';
import { confusionMatrix } from '../report/confusion.js';
import { formatBytes, formatCount, formatInteger } from '../report/format.js';
import { textTable } from '../report/table.js';
import { errorInterval } from '../statistics.js';
import { readModel } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { verifyRun } from '../verify/verify.js';
import { note, progressBar, result } from './console.js';
import { oneOf, positiveInteger } from './options.js';
import {
  addReadingOptions,
  dataDirOption,
  loadPackedRun,
  loadRun,
  type RunFlags,
  runDataDirOption,
  stopSignal,
} from './shared.js';

const splits = ['validation', 'test'] as const;
type SplitName = (typeof splits)[number];

export function addEvaluationCommands(program: Command): void {
  addReadingOptions(program.command('eval'))
    .description('accuracy, confusion matrix and bytes of a finished run or a packed model')
    .argument('<model>', "a run's folder, or a packed model file")
    .option('--data <name>', 'data set or folder, for a model file without a run')
    .option('--split <split>', 'validation (of a run; its default) or test', oneOf(splits))
    .option('--threads <n>', 'threads', positiveInteger, availableParallelism())
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      '\nExamples:\n  cbnn eval runs/cifar10 --split test\n  cbnn eval model.safetensors --data ./my-images',
    )
    .action(evalCommand);
  program
    .command('inspect')
    .description('layers, kept slices, MACs, bit operations and bytes of a finished run or a packed model')
    .argument('<model>', "a run's folder, or a packed model file")
    .addHelpText('after', '\nExample:\n  cbnn inspect runs/cifar10')
    .action((path: string) => {
      const network = finishedNetwork(path);
      const { cost, input, formats } = network;
      result(describe(network), { model: path, cost, input, ...(formats && { formats }) });
    });
  program
    .command('verify')
    .description("compare a run's training graph with the reference engine on its packed model, bit by bit")
    .argument('<run>', 'folder of a finished bnn run')
    .option('--split <split>', 'validation or test', oneOf(splits), 'validation')
    .option('--images <n>', 'images used at most', positiveInteger)
    .option('--threads <n>', 'threads', positiveInteger, availableParallelism())
    .addOption(runDataDirOption())
    .addHelpText(
      'after',
      '\nExample:\n  cbnn verify runs/cifar10 --split test --images 500\nThe reference engine is slow on purpose: about 10 images a second and thread for the default network.',
    )
    .action(verifyCommand);
}

async function verifyCommand(
  path: string,
  flags: RunFlags & { split: SplitName; images?: number; threads: number },
): Promise<void> {
  const signal = stopSignal();
  const loaded = await loadPackedRun(path, flags, signal);
  const all = flags.split === 'test' ? loaded.dataset.test : loaded.validation;
  const bar = progressBar('verify');
  const found = await verifyRun(path, spreadImages(all, flags.images), {
    workers: flags.threads,
    signal,
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

interface EvalFlags extends RunFlags, ReadingChoices {
  readonly data?: string;
  readonly split?: SplitName;
  readonly threads: number;
}

async function evalCommand(path: string, flags: EvalFlags): Promise<void> {
  const network = finishedNetwork(path);
  const signal = stopSignal();
  const { images, classes, split } = await evaluationImages(path, flags, signal);
  const bar = progressBar('eval');
  const predictions = await network.predict(images, flags.threads, {
    signal,
    onProgress: (done, total) => bar.update(done, total, 'images'),
  });
  bar.stop();
  const error = errorRate(predictions, images.labels);
  const interval = errorInterval(Math.round((error * images.count) / 100), images.count);
  const width = classes.length;
  const matrix = confusionMatrix(images.labels, predictions, width);
  const rows = classes.map((name, i) => [
    name,
    ...Array.from(matrix.subarray(i * width, (i + 1) * width), String),
  ]);
  note(describe(network));
  result(
    `\nconfusion matrix (rows: true class, columns: predicted class)\n${textTable([{ header: '' }, ...classes.map((_, i) => ({ header: String(i), align: 'right' as const }))], rows)}\n${split} error ${error.toFixed(2)} % [${interval.low.toFixed(2)}, ${interval.high.toFixed(2)}], accuracy ${(100 - error).toFixed(2)} % on ${images.count} images`,
    {
      model: path,
      split,
      images: images.count,
      error,
      interval,
      matrix: Array.from(matrix),
      cost: network.cost,
    },
  );
}

/** A run has validation and test images of its own; a model file is evaluated on the test images of what `--data` names. */
async function evaluationImages(
  path: string,
  flags: EvalFlags,
  signal: AbortSignal,
): Promise<{ images: ImageSet; classes: readonly string[]; split: SplitName }> {
  if (existsSync(new RunFolder(path).config)) {
    const { data, size, roi, quality, testShare } = flags;
    if ([data, size, roi, quality, testShare].some((given) => given !== undefined))
      throw configError(
        `eval ${path}: a run knows its images and how to read them; leave --data and the like out, or give its model.safetensors`,
      );
    const { dataset, validation } = await loadRun(path, flags, signal);
    const split = flags.split ?? 'validation';
    return { images: split === 'test' ? dataset.test : validation, classes: dataset.classes, split };
  }
  if (flags.split === 'validation')
    throw configError(
      `eval ${path}: a model file has no validation images; use --split test, or give its run`,
    );
  const model = readModel(path);
  const { data = model.provenance.dataset, dataDir = 'data', split: _, threads: __, ...choices } = flags;
  // Pictures of a folder have no size of their own: they take the model's.
  const { height, width } = model.input;
  const size = !isKnownDataset(data) && height === width && !isIdxFolder(data) ? { size: height } : {};
  const dataset = await loadDataset(data, { ...size, ...choices, dataDir, signal });
  if (dataset.classes.length !== model.classes.length)
    throw dataError(
      `eval ${path}: expected images of the model's ${model.classes.length} classes, got ${dataset.classes.length}; choose other --data`,
    );
  return { images: dataset.test, classes: model.classes, split: 'test' };
}

function describe({ input, layers, cost, bytes, formats }: FinishedNetwork): string {
  const table = textTable(
    [
      { header: 'layer' },
      { header: 'weights', align: 'right' },
      { header: 'bits', align: 'right' },
      ...(formats ? [{ header: 'weights as' }, { header: 'activations as' }] : []),
      { header: 'weight bytes', align: 'right' },
      { header: 'other bytes', align: 'right' },
      { header: 'MACs', align: 'right' },
      { header: 'bit ops', align: 'right' },
    ],
    cost.layers.map((layer, k) => [
      layer.name,
      String(layer.weights),
      String(layer.weightBits),
      ...(formats ? [formats[k]!.weights, formats[k]!.activations ?? 'float32'] : []),
      String(layer.weightBytes),
      String(layer.otherBytes),
      formatCount(layer.macs),
      formatCount(layer.bitOperations),
    ]),
  );
  const seen =
    input.encoding === '8-bit'
      ? 'plain 8-bit image'
      : `slices ${formatSlices(input.slices)} (${input.slices.length} of ${8 * input.channels}) of ${input.code ?? 'binary'} code`;
  return `${formatArchitecture(layers)}\ninput ${input.height}x${input.width}x${input.channels}, ${seen}, contrast stretch ${input.stretch ? `${input.stretch.low}..${input.stretch.high} %` : 'off'}\n${table}\ntotal ${formatCount(cost.weights)} weights, ${formatCount(cost.macs)} MACs, ${formatCount(cost.bitOperations)} bit operations, file ${formatBytes(bytes)}`;
}
