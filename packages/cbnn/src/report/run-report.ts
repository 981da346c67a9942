/** Collects what a run's folder holds into the data of its report, and draws its figures as files. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { formatArchitecture } from '@cbnn/runtime';
import { reproductionCommands } from '../compact/reproduction-commands.js';
import type { CompactionResult } from '../compact/result.js';
import { type FinishedNetwork, finishedNetwork } from '../cost/finished-network.js';
import type { ImageSet } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import type { ImagesOptions } from '../engines/packed-engine.js';
import { errorRate } from '../predictions.js';
import { channelNames } from '../sensitivity/analyze.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { errorInterval } from '../statistics.js';
import type { RunConfig } from '../train/config.js';
import { placeOf, type RunImages, readMetrics } from '../train/run.js';
import { RunFolder, readJson, writeFileAtomic } from '../train/run-folder.js';
import type { TrainingResult } from '../train/train.js';
import { VERSION } from '../version.js';
import { caveats } from './caveats.js';
import { compactionFigure } from './compaction-figures.js';
import { confusionMatrix } from './confusion.js';
import type { NetworkSummary, ReportData } from './data.js';
import { writeFigure } from './figure.js';
import { renderReport } from './html.js';
import { distortionFigure, sliceFigure } from './input-figures.js';
import { pictureOf, spreadMistakes } from './mistakes.js';
import { channelSliceFigure, lowestSlicesFigure, sliceNoiseFigure } from './sensitivity-figures.js';
import { learningFigure } from './training-figures.js';

const MISTAKES_SHOWN = 24;

export interface ReportOptions {
  readonly signal?: AbortSignal;
  /** images classified and figures drawn, each of all, e.g. `figures`, 3 of 8 */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** Writes `report.html` and `figures/` into the run's folder; returns the page's path. */
export async function reportRun(
  path: string,
  config: RunConfig,
  images: RunImages,
  { signal, onProgress }: ReportOptions = {},
): Promise<string> {
  const folder = new RunFolder(path);
  const read = <T>(...parts: string[]): T | undefined => {
    const file = folder.file(...parts);
    return existsSync(file) ? (readJson(file) as T) : undefined;
  };
  const sensitivity = read<SensitivityResult>('sensitivity', 'result.json');
  const compaction = read<CompactionResult>('compact', 'result.json');
  const chosen = compaction?.tries.find((t) => t.id === compaction.chosen);
  const baseline = finishedNetwork(path);
  const compacted = chosen ? finishedNetwork(folder.file('compact', chosen.run)) : null;

  const evaluated = (label: string, network: FinishedNetwork) => {
    signal?.throwIfAborted();
    return evaluate(label, network, config, images.validation, {
      ...(signal && { signal }),
      onProgress: (done, total) => onProgress?.(`images, ${label}`, done, total),
    });
  };
  const before = await evaluated('baseline', baseline);
  const after = compacted ? await evaluated('compact', compacted) : null;
  const shown = after ?? before;
  const picture = pictureOf(preparedSet(images.validation, { stretch: baseline.input.stretch }), 0);
  const classes = images.dataset.classes;
  const metrics = readMetrics(path);
  const slices = {
    picture,
    channelNames: channelNames(config.input.channels),
    ...(config.input.code && { code: config.input.code }),
    kept: config.input.encoding === 'bit-slices' ? (compacted ?? baseline).input.slices : null,
  };
  const data: ReportData = {
    title: basename(path),
    dataset: images.dataset.title,
    created: `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    caveats: caveats(config, images, chosen !== undefined),
    networks: { before: before.summary, ...(after && { after: after.summary }) },
    ...(chosen && {
      drop: {
        interval: chosen.interval,
        images: images.validation.count,
        split: 'validation' as const,
      },
    }),
    training: [
      { label: 'baseline', metrics },
      ...(chosen ? [{ label: 'compact', metrics: readMetrics(folder.file('compact', chosen.run)) }] : []),
    ],
    slices,
    ...(sensitivity && { sensitivity }),
    ...(compaction && { compaction }),
    costs: [
      { label: 'baseline', cost: baseline.cost },
      ...(compacted ? [{ label: 'compact', cost: compacted.cost }] : []),
    ],
    confusion: {
      classes,
      matrix: confusionMatrix(images.validation.labels, shown.predictions, classes.length),
      network: shown.summary.label,
      split: 'validation',
    },
    mistakes: spreadMistakes(images.validation, shown.predictions, classes, MISTAKES_SHOWN),
    reproduction: {
      commands: reproductionCommands({
        path,
        config,
        dataDir: placeOf(folder),
        validationImages: images.validation.count,
        sensitivity,
        compaction,
      }),
      config,
      seed: config.seed,
      device: trainedOn(read<TrainingResult>('result.json')?.engine, config, readMetrics(path)),
      versions: { cbnn: VERSION, node: process.versions.node },
    },
  };
  const figures: [name: string, draw: () => string][] = [];
  if (metrics.length > 0) figures.push(['training', () => learningFigure('baseline', metrics)]);
  figures.push([
    'fig3-bit-slices',
    () => sliceFigure(picture, slices.kept, slices.channelNames, slices.code),
  ]);
  if (sensitivity)
    figures.push(
      ['fig1-distorted-input', () => distortionFigure(sensitivity, picture)],
      ['fig4-slices', () => sliceNoiseFigure(sensitivity)],
      ['fig7-channel-slices', () => channelSliceFigure(sensitivity)],
      ['fig8-lowest-slices', () => lowestSlicesFigure(sensitivity)],
    );
  if (compaction)
    figures.push(
      ['compaction-bytes', () => compactionFigure(compaction, 'bytes')],
      ['compaction-macs', () => compactionFigure(compaction, 'macs')],
    );
  for (const [number, [name, draw]] of figures.entries()) {
    signal?.throwIfAborted();
    await writeFigure(folder.file('figures'), name, draw());
    onProgress?.('figures', number + 1, figures.length);
  }
  const page = folder.file('report.html');
  writeFileAtomic(page, renderReport(data));
  return page;
}

/** What trained a run: its last device, and those that it was begun on. */
function trainedOn(
  engine: string | undefined,
  { device, threads }: RunConfig,
  metrics: readonly { readonly device?: string }[],
): string {
  const last = engine ?? `${device}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  const before = new Set(metrics.flatMap((line) => line.device ?? []));
  before.delete(device);
  return before.size === 0 ? last : `${last}; begun on ${[...before].join(', ')}`;
}

interface Evaluated {
  readonly summary: NetworkSummary;
  readonly predictions: Uint16Array;
}

async function evaluate(
  label: string,
  network: FinishedNetwork,
  config: RunConfig,
  images: ImageSet,
  options: ImagesOptions,
): Promise<Evaluated> {
  const predictions = await network.predict(images, config.threads, options);
  const error = errorRate(predictions, images.labels);
  const interval = errorInterval(Math.round((error * images.count) / 100), images.count);
  const { input, layers, cost, bytes, isPacked } = network;
  return {
    predictions,
    summary: {
      label,
      architecture: formatArchitecture(layers),
      error,
      interval: [interval.low, interval.high],
      images: images.count,
      split: 'validation',
      weights: cost.weights,
      macs: cost.macs,
      bytes,
      isPacked,
      ...(input.encoding === 'bit-slices' && {
        slices: [input.slices.length, 8 * input.channels] as const,
      }),
      ...(input.code && { code: input.code }),
    },
  };
}
