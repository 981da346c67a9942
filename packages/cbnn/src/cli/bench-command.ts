import { join } from 'node:path';
import type { Command } from 'commander';
import { benchModel } from '../bench/bench.js';
import { benchFigure } from '../report/bench-figure.js';
import { writeFigure } from '../report/figure.js';
import { textTable } from '../report/table.js';
import { readModel } from '../train/run.js';
import { writeJsonAtomic } from '../train/run-folder.js';
import { progressBar, result } from './console.js';
import { positiveInteger } from './options.js';
import { stopSignal } from './shared.js';

interface BenchFlags {
  readonly rounds: number;
  readonly threads?: number;
  readonly out?: string;
}

export function addBenchCommand(program: Command): void {
  program
    .command('bench')
    .description('milliseconds per image of a packed model, beside float32 on the same architecture')
    .argument('<model>', "a finished bnn run's folder, or a packed model file")
    .option('--rounds <n>', 'turns of every engine', positiveInteger, 5)
    .option('--threads <n>', 'threads of batches, beside one (default: all)', positiveInteger)
    .option('--out <folder>', 'where to write bench.json and the figure')
    .addHelpText(
      'after',
      '\nExamples:\n  cbnn bench runs/cifar10\n  cbnn bench model.safetensors --out results\nNothing else should run meanwhile. Compare ratios of one run, not milliseconds of two machines.',
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
      const { layers } = found;
      const perLayer = layers
        ? `\n\neach layer on native, ${layers.kernels}; counting alone reaches ${layers.limit.toFixed(0)} GMAC/s in registers\n${textTable(
            [
              { header: 'layer' },
              { header: 'us', align: 'right' },
              { header: 'GMAC/s', align: 'right' },
              { header: 'of counting', align: 'right' },
            ],
            layers.layers.map(({ layer, microseconds, gmacs }) => [
              layer,
              microseconds.toPrecision(3),
              gmacs.toFixed(0),
              `${((100 * gmacs) / layers.limit).toFixed(0)} %`,
            ]),
          )}`
        : '';
      result(
        `${found.architecture}, ${found.input}; ${found.cpu}\n${table}${perLayer}${out === undefined ? '' : `\nbench.json and bench.svg in ${out}`}`,
        { model: path, ...found },
      );
    });
}
