/** The main job on generated images, start to finish: train, sensitivity, compact, report, and a table to take away. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { configError } from '@cbnn/runtime';
import type { Command } from 'commander';
import { finishedNetwork } from '../cost/finished-network.js';
import { errorRate } from '../predictions.js';
import { formatBytes, formatCount, formatDuration } from '../report/format.js';
import { textTable } from '../report/table.js';
import { runSensitivity } from '../sensitivity/run-sensitivity.js';
import type { RunOptions } from '../train/options.js';
import { prepareRun } from '../train/prepare.js';
import { trainRun } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { note, result, trainingBar } from './console.js';
import { positiveInteger } from './options.js';
import { showCompaction, showReport, showSensitivity } from './run-commands.js';
import { stopSignal } from './shared.js';

const ARCHITECTURE = '16C3-16C3-MP2-32C3-32C3-MP2-64C3-MP2-64FC-12FC';
/** Training images of the generated set, and how many of them validate. */
const IMAGES = 8000;
const VALIDATION_IMAGES = 1500;

export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description('the main job on generated images, in a few minutes')
    .option('--out <folder>', "the run's folder, made anew", 'runs/demo')
    .option('--epochs <n>', 'epochs of the BNN and of every retraining (float: half)', positiveInteger, 8)
    .option('--limit <n>', 'use only this many training images', positiveInteger)
    .addHelpText('after', '\nExamples:\n  cbnn demo\n  cbnn demo --epochs 2 --limit 2000 --out runs/quick')
    .action(async ({ out, epochs, limit }: { out: string; epochs: number; limit?: number }) => {
      const begun = Date.now();
      const signal = stopSignal();
      clearEarlierDemo(out);
      const common: RunOptions = {
        data: 'signs',
        dataDir: 'data',
        architecture: ARCHITECTURE,
        epochs,
        ...(limit !== undefined && { limit }),
        batch: 50,
        validation: Math.ceil(((limit ?? IMAGES) * VALIDATION_IMAGES) / IMAGES),
        stretch: 'on',
      };
      const floatEpochs = Math.ceil(epochs / 2);

      note('1/5 generating images: traffic-sign-like shapes, 12 classes');
      const prepared = await prepareRun({ ...common, rate: 5e-3 }, { signal });
      const { config } = prepared;
      note(
        `2/5 training a BNN on ${prepared.train.count} images (${prepared.validation.count} for validation)`,
      );
      await trainShown('bnn', config);
      note('    and the same network in full precision, to compare');
      const floatRun = await prepareRun({ ...common, technique: 'float', epochs: floatEpochs }, { signal });
      await trainShown('float', floatRun.config, `${out}/float`);
      note('3/5 which input bits matter? random bits in their place, on validation images');
      const sensitivity = await showSensitivity(runSensitivity, out, prepared, { seeds: 1, signal });
      note('4/5 pruning slices, shrinking, retraining');
      const compaction = await showCompaction(out, config, prepared, sensitivity, {
        maxDrop: 2,
        acceptance: 'estimate',
        maxTries: 2,
        signal,
      });
      note('5/5 the report');
      const page = await showReport(out, config, prepared, signal);

      const { test } = prepared.dataset;
      const float = finishedNetwork(`${out}/float`);
      const floatError = errorRate(await float.predict(test, config.threads), test.labels);
      const bnn = finishedNetwork(out);
      const chosen = compaction.tries.find((t) => t.id === compaction.chosen);
      const accuracy = (error: number) => `${(100 - error).toFixed(1)} %`;
      const bnnError =
        compaction.test?.baselineError ?? errorRate(await bnn.predict(test, config.threads), test.labels);
      const rows = [
        ['float', accuracy(floatError), formatBytes(float.bytes), formatCount(float.cost.macs)],
        ['BNN', accuracy(bnnError), formatBytes(bnn.bytes), formatCount(bnn.cost.macs)],
      ];
      if (chosen && compaction.test)
        rows.push([
          'compact BNN',
          accuracy(compaction.test.compactError),
          formatBytes(chosen.bytes),
          formatCount(chosen.macs),
        ]);
      const seconds = (Date.now() - begun) / 1000;
      result(
        `\n${textTable([{ header: `${test.count} generated test images` }, { header: 'accuracy', align: 'right' }, { header: 'bytes', align: 'right' }, { header: 'MACs', align: 'right' }], rows)}\n${chosen ? `the compact BNN continues from the BNN: ${2 * epochs} epochs in all, the BNN ${epochs}, float ${floatEpochs}\n` : 'no network was within the bound\n'}${formatDuration(seconds)}; report: ${page}`,
        {
          seconds,
          report: page,
          float: { error: floatError, bytes: float.bytes, macs: float.cost.macs },
          compaction,
        },
      );

      async function trainShown(task: string, runConfig: typeof config, path = out): Promise<void> {
        const bar = trainingBar(task);
        await trainRun(runConfig, prepared, path, common.dataDir, { signal, onProgress: bar.show });
        bar.stop();
      }
    });
}

/** Only a run on generated images, or an empty folder, is ever removed. */
function clearEarlierDemo(out: string): void {
  if (!existsSync(out)) return;
  if (readdirSync(out).length > 0 && !isDemo(out))
    throw configError(
      `demo ${out}: expected a new folder or an earlier demo's, got one with other files; choose another --out`,
    );
  rmSync(out, { recursive: true });
}

/** Many a project has a config.json: it must be a run's. */
function isDemo(out: string): boolean {
  try {
    return new RunFolder(out).readConfig().dataset.source === 'signs';
  } catch {
    return false;
  }
}
