import { join } from 'node:path';
import type { Command } from 'commander';
import { benchModel } from '../bench/bench.js';
import { benchTraining } from '../bench/training.js';
import { type TechniqueName, techniqueNames } from '../nn/plan.js';
import { benchFigure } from '../report/bench-figure.js';
import { writeFigure } from '../report/figure.js';
import { textTable } from '../report/table.js';
import { trainingBenchFigure } from '../report/training-bench-figure.js';
import { techniques } from '../techniques/index.js';
import { readModel } from '../train/run.js';
import { writeJsonAtomic } from '../train/run-folder.js';
import { progressBar, result } from './console.js';
import { oneOf, positiveInteger } from './options.js';
import { stopSignal } from './shared.js';

interface BenchFlags {
  readonly rounds: number;
  readonly threads?: number;
  readonly out?: string;
}

export function addBenchCommand(program: Command): void {
  const bench = program
    .command('bench')
    .enablePositionalOptions()
    .description('milliseconds per image of a packed model, beside float32 on the same architecture')
    .argument('<model>', "a finished bnn run's folder, or a packed model file")
    .option('--rounds <n>', 'turns of every engine', positiveInteger, 5)
    .option('--threads <n>', 'threads of batches, beside one (default: all)', positiveInteger)
    .option('--out <folder>', 'where to write bench.json and the figure')
    .addHelpText(
      'after',
      '\nExamples:\n  cbnn bench runs/cifar10\n  cbnn bench model.safetensors --out results\n  cbnn bench train --technique float\nNothing else should run meanwhile. Compare ratios of one run, not milliseconds of two machines.',
    )
    .action(async (path: string, { rounds, threads, out }: BenchFlags) => {
      const model = readModel(path);
      const bar = progressBar('bench');
      const found = await benchModel(model, {
        rounds,
        ...(threads !== undefined && { threads }),
        signal: stopSignal(),
        onProgress: (done, total, engine) => bar.update(done, total, engine),
      }).finally(() => bar.stop());
      if (out !== undefined) {
        writeJsonAtomic(join(out, 'bench.json'), found);
        await writeFigure(out, 'bench', benchFigure(found));
      }
      const table = textTable(
        [
          { header: 'engine' },
          { header: 'threads', align: 'right' },
          { header: 'batch', align: 'right' },
          { header: 'ms an image', align: 'right' },
          { header: 'fastest, slowest tenth', align: 'right' },
          { header: 'times float32', align: 'right' },
        ],
        found.times.map((one) => [
          one.engine,
          String(one.threads),
          String(one.batch),
          one.median.toPrecision(3),
          `${one.fast.toPrecision(3)} .. ${one.slow.toPrecision(3)}`,
          one.ratio === null || one.ratio === 1 ? '' : one.ratio.toFixed(2),
        ]),
      );
      const perLayer = found.layers.map(
        ({ kernels, limit, layers }) =>
          `\n\neach layer on native, ${kernels}; xor, popcount and addition alone reach ${limit.toFixed(0)} GMAC/s there, in registers\n${textTable(
            [
              { header: 'layer' },
              { header: 'us', align: 'right' },
              { header: 'GMAC/s', align: 'right' },
              { header: 'of counting', align: 'right' },
            ],
            layers.map(({ layer, microseconds, gmacs }) => [
              layer,
              microseconds.toPrecision(3),
              gmacs.toFixed(0),
              `${((100 * gmacs) / limit).toFixed(0)} %`,
            ]),
          )}`,
      );
      result(
        `${found.architecture}, ${found.input}; ${found.cpu}\n${table}${perLayer.join('')}${out === undefined ? '' : `\nbench.json and bench.svg in ${out}`}`,
        { model: path, ...found },
      );
    });
  addTrainingBench(bench);
}

interface TrainingBenchFlags {
  readonly technique: TechniqueName;
  readonly widths?: readonly number[];
  readonly threads?: readonly number[];
  readonly kernels?: readonly string[];
  readonly batches: readonly number[];
  readonly input?: 'bit-slices' | '8-bit';
  readonly rounds: number;
  readonly out?: string;
}

const trained = techniqueNames.filter((name) => !techniques[name].afterTraining);

const listOf =
  <Item>(read: (text: string) => Item) =>
  (text: string): Item[] =>
    text.split(',').map((item) => read(item.trim()));

function addTrainingBench(bench: Command): void {
  bench
    .command('train')
    .description("milliseconds of a training step on the paper's network, by width and engine")
    .option('--technique <name>', 'whose step', oneOf(trained), 'bnn')
    .option(
      '--widths <list>',
      "channels of the first convolutions, the paper's 128 (default: 32,64)",
      listOf(positiveInteger),
    )
    .option('--threads <list>', 'numbers of threads (default: 1 and all)', listOf(positiveInteger))
    .option(
      '--kernels <list>',
      "the native step's instruction sets (default: the fastest, and avx2)",
      listOf(String),
    )
    .option('--batches <list>', 'images per step', listOf(positiveInteger), [50])
    .option(
      '--input <form>',
      "bit-slices or 8-bit (default: the technique's)",
      oneOf(['bit-slices', '8-bit'] as const),
    )
    .option('--rounds <n>', 'turns of every engine', positiveInteger, 3)
    .option('--out <folder>', 'where to write bench-train.json and the figure')
    .addHelpText(
      'after',
      '\nExamples:\n  cbnn bench train\n  cbnn bench train --widths 64,128 --threads 2 --out results\nNothing else should run meanwhile. PyTorch for comparison: bench/peers/pytorch-training.py --time.',
    )
    .action(async ({ out, ...options }: TrainingBenchFlags) => {
      const bar = progressBar('bench');
      const found = await benchTraining({
        ...options,
        signal: stopSignal(),
        onProgress: (done, total, engine) => bar.update(done, total, engine),
      }).finally(() => bar.stop());
      if (out !== undefined) {
        writeJsonAtomic(join(out, 'bench-train.json'), found);
        await writeFigure(out, 'bench-train', trainingBenchFigure(found));
      }
      const table = textTable(
        [
          { header: 'width', align: 'right' },
          { header: 'batch', align: 'right' },
          { header: 'engine' },
          { header: 'threads', align: 'right' },
          { header: 'ms a step', align: 'right' },
          { header: 'fastest, slowest tenth', align: 'right' },
          { header: 'images/s', align: 'right' },
          { header: 'of the ONNX graph', align: 'right' },
          { header: 'MB', align: 'right' },
          { header: 'backward: GMAC/s a thread, of the limit', align: 'right' },
        ],
        found.times.map((one) => [
          String(one.width),
          String(one.batch),
          one.engine,
          String(one.threads),
          one.median.toPrecision(3),
          `${one.fast.toPrecision(3)} .. ${one.slow.toPrecision(3)}`,
          one.imagesPerSecond.toFixed(0),
          one.share === null || one.kind === 'onnx' ? '' : one.share.toFixed(3),
          one.native ? (one.native.bytes / 1e6).toFixed(0) : '',
          one.native
            ? `${one.native.gmacs.toFixed(0)}, ${((100 * one.native.gmacs) / one.native.limit).toFixed(0)} %`
            : '',
        ]),
      );
      result(
        `${found.technique}, ${found.input}; ${found.cpu}\n${table}${out === undefined ? '' : `\nbench-train.json and bench-train.svg in ${out}`}`,
        found,
      );
    });
}
