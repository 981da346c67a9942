/** Commands on finished runs: sensitivity, compact, report. */
import { formatSlices } from '@cbnn/runtime';
import type { Command } from 'commander';
import { type CompactOptions, compact } from '../compact/compact.js';
import type { CompactionResult } from '../compact/result.js';
import { formatBytes, formatCount } from '../report/format.js';
import { reportRun } from '../report/run-report.js';
import { textTable } from '../report/table.js';
import { choosePruning } from '../sensitivity/prune.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { type RunSensitivityOptions, runSensitivity, sensitivityOf } from '../sensitivity/run-sensitivity.js';
import type { RunConfig } from '../train/config.js';
import { checkFinished, type RunImages } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { note, progressBar, result, trainingBar } from './console.js';
import { oneOf, positiveInteger, positiveNumber } from './options.js';
import { loadPackedRun, loadRun, type RunFlags, runDataDirOption, stopSignal } from './shared.js';

interface SensitivityFlags extends RunFlags {
  readonly seeds: number;
  readonly images?: number;
}

interface CompactFlags extends RunFlags {
  readonly maxDrop: number;
  readonly shrink: 'paper' | 'separate';
  readonly accept: 'confident' | 'estimate';
  readonly tries: number;
  readonly epochs?: number;
  readonly rateFactor: number;
}

export function addRunCommands(program: Command): void {
  program
    .command('sensitivity')
    .description('how much every input bit slice matters (random bits in its place, on validation images)')
    .argument('<run>', 'folder of a finished bnn run')
    .option('--seeds <n>', 'noise seeds', positiveInteger, 3)
    .option('--images <n>', 'validation images used at most', positiveInteger)
    .addOption(runDataDirOption())
    .addHelpText(
      'after',
      '\nExample:\n  cbnn sensitivity runs/cifar10\nInterrupted? Run it again: finished measurements are kept.',
    )
    .action(sensitivityCommand);
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
    .option(
      '--rate-factor <factor>',
      "peak learning rates of retraining, relative to the run's",
      positiveNumber,
      0.5,
    )
    .addOption(runDataDirOption())
    .addHelpText(
      'after',
      '\nExample:\n  cbnn compact runs/gtsrb --max-drop 1\nInterrupted? Run it again: finished tries are kept.',
    )
    .action(compactCommand);
  program
    .command('report')
    .description('one self-contained HTML page about a run, and its figures as SVG and PNG')
    .argument('<run>', 'folder of a finished run')
    .addOption(runDataDirOption())
    .addHelpText('after', '\nExample:\n  cbnn report runs/cifar10')
    .action(async (path: string, flags: RunFlags) => {
      const signal = stopSignal();
      checkFinished(path);
      const loaded = await loadRun(path, flags, signal);
      const page = await showReport(path, loaded.config, loaded, signal);
      result(`report: ${page}`, { report: page });
    });
}

async function sensitivityCommand(path: string, flags: SensitivityFlags): Promise<void> {
  const signal = stopSignal();
  const loaded = await loadPackedRun(path, flags, signal);
  const found = await showSensitivity(runSensitivity, path, loaded, {
    seeds: flags.seeds,
    ...(flags.images !== undefined && { images: flags.images }),
    signal,
  });
  await showReport(path, loaded.config, loaded, signal);
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
}

async function compactCommand(path: string, flags: CompactFlags): Promise<void> {
  const signal = stopSignal();
  const loaded = await loadPackedRun(path, flags, signal);
  const sensitivity = await showSensitivity(sensitivityOf, path, loaded, { signal });
  const { maxDrop, shrink, accept, tries, epochs, rateFactor } = flags;
  const found = await showCompaction(path, loaded.config, loaded, sensitivity, {
    maxDrop,
    shrink,
    acceptance: accept,
    maxTries: tries,
    rateFactor,
    signal,
    ...(epochs !== undefined && { epochs }),
  });
  const page = await showReport(path, loaded.config, loaded, signal);
  result(`${compactionText(found)}\nreport: ${page}`, found);
}

function compactionText({ baseline, tries, chosen: id, test, maxDrop, finished }: CompactionResult): string {
  const chosen = tries.find((t) => t.id === id);
  const cut = finished ? '' : `\nthe search was cut off after ${tries.length} tries; --tries allows more`;
  if (!chosen || !test)
    return `no network within ${maxDrop} points was found in ${tries.length} tries; allow a larger --max-drop, more --epochs, or --accept estimate${cut}`;
  return `${formatBytes(baseline.bytes)} -> ${formatBytes(chosen.bytes)} (${(baseline.bytes / chosen.bytes).toFixed(2)}x smaller), ${formatCount(baseline.macs)} -> ${formatCount(chosen.macs)} MACs
validation drop ${chosen.drop.toFixed(2)} points [${chosen.interval[0].toFixed(2)}, ${chosen.interval[1].toFixed(2)}]; test error ${test.baselineError.toFixed(2)} -> ${test.compactError.toFixed(2)} %
${chosen.architecture}, slices ${formatSlices(chosen.slices)}${cut}`;
}

/** Sensitivity with its bar; `analysis` measures anew, or takes what there is. */
export async function showSensitivity(
  analysis: typeof runSensitivity,
  path: string,
  images: RunImages & { readonly config: RunConfig },
  options: RunSensitivityOptions,
): Promise<SensitivityResult> {
  const bar = progressBar('sensitivity');
  const found = await analysis(path, images, {
    threads: images.config.threads,
    ...options,
    onStart: (description) => note(`sensitivity of ${path}: ${description}`),
    onProgress: (done, total) => bar.update(done, total),
  });
  bar.stop();
  return found;
}

/** Compaction with a bar for every try and a line for its outcome. */
export async function showCompaction(
  path: string,
  config: RunConfig,
  images: RunImages,
  sensitivity: SensitivityResult,
  options: CompactOptions,
): Promise<CompactionResult> {
  let bar: ReturnType<typeof trainingBar> | null = null;
  let number = 0;
  return await compact(path, config, images, sensitivity, {
    ...options,
    onProgress(event) {
      if (event.kind === 'training') {
        if (event.number !== number) {
          number = event.number;
          bar = trainingBar(`try ${number}`);
          note(`try ${number}: ${event.architecture}`);
        }
        bar?.show(event.progress);
        return;
      }
      bar?.stop();
      const { id, reason, bytes, drop, interval, limit, accepted } = event.outcome;
      note(
        `try ${id} (${reason}): ${formatBytes(bytes)}, drop ${drop.toFixed(2)} points [${interval[0].toFixed(2)}, ${interval[1].toFixed(2)}], 95 % sure at most ${limit.toFixed(2)}: ${accepted ? 'accepted' : 'rejected'}`,
      );
    },
  });
}

/** The report with a bar for the images that it classifies and the figures that it draws. */
export async function showReport(
  path: string,
  config: RunConfig,
  images: RunImages,
  signal: AbortSignal,
): Promise<string> {
  const bar = progressBar('report');
  const page = await reportRun(path, config, images, {
    signal,
    onProgress: (stage, done, total) => bar.update(done, total, stage),
  });
  bar.stop();
  return page;
}
