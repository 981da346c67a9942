/** Collects what a run's folder holds into the data of its report, and draws its figures as files. */
import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { allSlices, formatArchitecture, type PackedModel } from '@cbnn/runtime';
import type { CompactionResult } from '../compact/result.js';
import { modelCost } from '../cost/cost.js';
import type { ImageSet } from '../data/dataset.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { errorInterval } from '../statistics.js';
import { stretchSet } from '../train/batches.js';
import type { RunConfig } from '../train/config.js';
import { argmax } from '../train/onnx-trainer.js';
import { openEngine, type RunImages, readMetrics, readModel } from '../train/run.js';
import { RunFolder, readJson, writeFileAtomic } from '../train/run-folder.js';
import { VERSION } from '../version.js';
import { compactionFigure } from './compaction-figures.js';
import { confusionMatrix } from './confusion.js';
import type { Mistake, NetworkSummary, ReportData } from './data.js';
import { writeFigure } from './figure.js';
import { renderReport } from './html.js';
import { channelNamesOf, distortionFigure, sliceFigure } from './input-figures.js';
import type { Picture } from './picture.js';
import { channelSliceFigure, lowestSlicesFigure, sliceNoiseFigure } from './sensitivity-figures.js';
import { learningFigure } from './training-figures.js';

const MISTAKES_SHOWN = 24;

/** Writes `report.html` and `figures/` into the run's folder; returns the page's path. */
export async function reportRun(path: string, config: RunConfig, images: RunImages): Promise<string> {
  const folder = new RunFolder(path);
  const read = <T>(...parts: string[]): T | undefined => {
    const file = folder.file(...parts);
    return existsSync(file) ? (readJson(file) as T) : undefined;
  };
  const sensitivity = read<SensitivityResult>('sensitivity', 'result.json');
  const compaction = read<CompactionResult>('compact', 'result.json');
  const chosen = compaction?.tries.find((t) => t.id === compaction.chosen);
  const model = readModel(path);
  const compactModel = chosen ? readModel(folder.file('compact', chosen.run)) : null;

  const before = await evaluate('baseline', folder.model, model, config, images.validation);
  const after = compactModel
    ? await evaluate(
        'compact',
        new RunFolder(folder.file('compact', chosen!.run)).model,
        compactModel,
        config,
        images.validation,
      )
    : null;
  const shown = after ?? before;
  const picture = pictureOf(stretchSet(images.validation, model.input.stretch), 0);
  const classes = images.dataset.classes;
  const metrics = readMetrics(path);
  const data: ReportData = {
    title: basename(path),
    dataset: images.dataset.title,
    created: new Date().toISOString().slice(0, 16).replace('T', ' '),
    caveats: caveats(config, images, chosen !== undefined),
    networks: { before: before.summary, ...(after && { after: after.summary }) },
    ...(chosen && {
      drop: {
        points: chosen.drop,
        interval: chosen.interval,
        images: images.validation.count,
        split: 'validation' as const,
      },
    }),
    training: [
      { label: 'baseline', metrics },
      ...(chosen ? [{ label: 'compact', metrics: readMetrics(folder.file('compact', chosen.run)) }] : []),
    ],
    ...(config.input.encoding === 'bit-slices' && {
      slices: {
        picture,
        channelNames: channelNamesOf(config.input.channels),
        kept: (compactModel ?? model).input.slices,
      },
    }),
    ...(sensitivity && { sensitivity }),
    ...(compaction && { compaction }),
    costs: [
      { label: 'baseline', cost: modelCost(model) },
      ...(compactModel ? [{ label: 'compact', cost: modelCost(compactModel) }] : []),
    ],
    confusion: {
      classes,
      matrix: confusionMatrix(images.validation.labels, shown.predictions, classes.length),
      network: shown.summary.label,
      split: 'validation',
    },
    mistakes: mistakes(images.validation, shown.predictions, classes),
    reproduction: {
      commands: [`cbnn report ${path}`, `config: ${JSON.stringify(config)}`],
      seed: config.seed,
      device: `${config.device}, ${config.threads} threads`,
      versions: { cbnn: VERSION, node: process.versions.node },
    },
  };
  const figures = folder.file('figures');
  if (metrics.length > 0) await writeFigure(figures, 'training', learningFigure('baseline', metrics));
  await writeFigure(
    figures,
    'fig3-bit-slices',
    sliceFigure(picture, data.slices?.kept ?? allSlices(config.input.channels)),
  );
  if (sensitivity) {
    await writeFigure(figures, 'fig1-distorted-input', distortionFigure(sensitivity, picture));
    await writeFigure(figures, 'fig4-slices', sliceNoiseFigure(sensitivity));
    await writeFigure(figures, 'fig7-channel-slices', channelSliceFigure(sensitivity));
    await writeFigure(figures, 'fig8-lowest-slices', lowestSlicesFigure(sensitivity));
  }
  if (compaction) {
    await writeFigure(figures, 'compaction-bytes', compactionFigure(compaction, 'bytes'));
    await writeFigure(figures, 'compaction-macs', compactionFigure(compaction, 'macs'));
  }
  const page = folder.file('report.html');
  writeFileAtomic(page, renderReport(data));
  return page;
}

interface Evaluated {
  readonly summary: NetworkSummary;
  readonly predictions: Uint16Array;
}

async function evaluate(
  label: string,
  file: string,
  model: PackedModel,
  config: RunConfig,
  images: ImageSet,
): Promise<Evaluated> {
  const predictions = await predictPacked(model, images, config.threads);
  const wrong = images.labels.reduce((sum, label_, n) => sum + (predictions[n] === label_ ? 0 : 1), 0);
  const interval = errorInterval(wrong, images.count);
  const cost = modelCost(model);
  return {
    predictions,
    summary: {
      label,
      architecture: formatArchitecture(model.layers),
      error: (100 * wrong) / images.count,
      interval: [interval.low, interval.high],
      images: images.count,
      split: 'validation',
      weights: cost.weights,
      macs: cost.macs,
      bytes: statSync(file).size,
      ...(model.input.encoding === 'bit-slices' && {
        slices: [model.input.slices.length, 8 * model.input.channels] as const,
      }),
    },
  };
}

/** Classes that `model` gives raw `images`. */
export async function predictPacked(
  model: PackedModel,
  images: ImageSet,
  threads: number,
): Promise<Uint16Array> {
  const engine = await openEngine(model, threads);
  try {
    const prepared = stretchSet(images, model.input.stretch);
    const scores = await engine.scores(prepared.pixels, images.count);
    const classes = model.classes.length;
    return Uint16Array.from({ length: images.count }, (_, n) => argmax(scores, n, classes));
  } finally {
    await engine.close();
  }
}

function caveats(config: RunConfig, images: RunImages, compacted: boolean): string[] {
  const { epochs, dataset } = config;
  const more = 'compacted networks continue from the baseline, so they have trained for more epochs in total';
  const lines = [`${epochs} epochs on ${images.train.count.toLocaleString('en')} training images, one seed`];
  if (compacted) lines.push(more);
  if (dataset.limit !== null) lines.push(`training images limited to ${dataset.limit.toLocaleString('en')}`);
  return lines;
}

function pictureOf(images: ImageSet, index: number): Picture {
  const { height, width, channels } = images;
  const size = height * width * channels;
  return { height, width, channels, pixels: images.pixels.subarray(index * size, (index + 1) * size) };
}

function mistakes(images: ImageSet, predictions: Uint16Array, classes: readonly string[]): Mistake[] {
  const found: Mistake[] = [];
  for (let n = 0; n < images.count && found.length < MISTAKES_SHOWN; n++)
    if (predictions[n] !== images.labels[n])
      found.push({
        picture: pictureOf(images, n),
        truth: classes[images.labels[n]!]!,
        predicted: classes[predictions[n]!]!,
      });
  return found;
}
