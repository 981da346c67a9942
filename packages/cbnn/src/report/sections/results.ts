/** Sections that show one measurement each: training, slices, sensitivity, confusion, mistakes. */
import { codeTitles } from '../code-labels.js';
import { confusionCells, confusionFigure, isLarge } from '../confusion.js';
import type { ReportData } from '../data.js';
import { details, figureCard, grid, htmlTable, type Section } from '../elements.js';
import { formatInteger, formatInterval, formatPercent, signed } from '../format.js';
import { distortionFigure, sliceFigure } from '../input-figures.js';
import { markup } from '../markup.js';
import { pictureUri, scaleTo } from '../picture.js';
import { channelSliceFigure, lowestSlicesFigure, sliceNoiseFigure } from '../sensitivity-figures.js';
import { learningFigure } from '../training-figures.js';

export function trainingSection({ training }: ReportData): Section | null {
  const curves = training?.filter(({ metrics }) => metrics.length > 0) ?? [];
  if (curves.length === 0) return null;
  return {
    id: 'training',
    title: 'Learning curves',
    short: 'Training',
    lead: 'Loss and error rates after each epoch. Training error is measured on the augmented images while they are learned from, so it can lie above the validation error.',
    body: grid(curves.map(({ label, metrics }) => figureCard(learningFigure(label, metrics)))),
  };
}

export function slicesSection({ slices }: ReportData): Section | null {
  if (!slices) return null;
  return {
    id: 'slices',
    title: 'Bit slices',
    short: 'Slices',
    lead: slicesLead(slices),
    body: figureCard(sliceFigure(slices.picture, slices.kept, slices.channelNames, slices.code)),
  };
}

function slicesLead({ kept, code }: NonNullable<ReportData['slices']>): string {
  if (code === 'thermometer')
    return 'What the first layer sees: whether each colour channel reaches a threshold is an input channel of +1 and −1. The finest thresholds come first.';
  const coded = code ? ` of the ${codeTitles[code]}` : '';
  return `${kept ? `What the first layer sees: each bit${coded} of each colour channel is an input channel of +1 and −1.` : 'What the 8-bit values that the first layer sees are made of.'} High bits carry shapes; low bits look like noise, and often are.`;
}

export function sensitivitySection({ sensitivity, slices }: ReportData): Section | null {
  if (!sensitivity) return null;
  const scopes = {
    slice: 'slice N, all channels',
    lowest: 'slices 1 to N, all channels',
    'channel-slice': 'slice N',
    'channel-lowest': 'slices 1 to N',
  } as const;
  const rows = sensitivity.points.map((point) => ({
    cells: [
      scopes[point.scope],
      point.channel === null ? 'all' : sensitivity.channelNames[point.channel],
      point.bit + 1,
      formatPercent(point.error),
      signed(point.increase),
      formatInterval(point.interval),
      point.slices.length,
    ],
  }));
  const table = htmlTable(
    [
      { header: 'random bits in' },
      { header: 'channel' },
      { header: 'N', align: 'right' },
      { header: 'error', align: 'right' },
      { header: 'increase, points', align: 'right' },
      { header: '95 % interval', align: 'right' },
      { header: 'slices', align: 'right' },
    ],
    rows,
  );
  return {
    id: 'sensitivity',
    title: 'Bit-level sensitivity',
    short: 'Sensitivity',
    lead: `Which slices matter: each is replaced by random bits in the trained network, without retraining, and the error rate measured again on ${formatInteger(sensitivity.images)} validation images. A slice whose noise costs nothing can be pruned.`,
    body: markup`${grid(
      figureCard(sliceNoiseFigure(sensitivity)),
      slices && figureCard(distortionFigure(sensitivity, slices.picture)),
      sensitivity.channels > 1 && figureCard(channelSliceFigure(sensitivity)),
      figureCard(lowestSlicesFigure(sensitivity)),
    )}${details(`All ${sensitivity.points.length} measurements`, table)}`,
  };
}

export function confusionSection({ confusion }: ReportData): Section | null {
  if (!confusion) return null;
  const name = (index: number) => confusion.classes[index] ?? `class ${index}`;
  const mixed = confusionCells(confusion.matrix, confusion.classes.length)
    .filter((cell) => cell.truth !== cell.predicted)
    .sort((a, b) => b.count - a.count || b.share - a.share)
    .slice(0, 12);
  const table = htmlTable(
    [
      { header: 'true class', align: 'wrap' },
      { header: 'taken for', align: 'wrap' },
      { header: 'images', align: 'right' },
      { header: 'of the class', align: 'right' },
    ],
    mixed.map(({ truth, predicted, count, share }) => ({
      cells: [name(truth), name(predicted), formatInteger(count), formatPercent(100 * share, 1)],
    })),
  );
  const list = mixed.length > 0 && markup`<div class="card">${table}</div>`;
  return {
    id: 'confusion',
    title: 'Confusion',
    short: 'Confusion',
    lead: 'Rows are true classes, columns what the network said. Everything off the diagonal is a mistake.',
    body: isLarge(confusion.classes.length)
      ? markup`${figureCard(confusionFigure(confusion), 'fixed')}${list}`
      : grid(figureCard(confusionFigure(confusion), 'natural'), list),
  };
}

export function mistakesSection({ mistakes }: ReportData): Section | null {
  if (!mistakes || mistakes.length === 0) return null;
  const items = mistakes.map(
    ({ picture, truth, predicted }) =>
      markup`<li class="card"><img alt="an image of ${truth}" src="${pictureUri(picture, scaleTo(picture, 96))}"><b>${truth}</b><br><span class="soft">taken for ${predicted}</span></li>`,
  );
  return {
    id: 'mistakes',
    title: 'What it gets wrong',
    short: 'Mistakes',
    lead: 'Some of the images the network classifies wrongly: the true class, and the one it said.',
    body: markup`<ul class="mistakes">${items}</ul>`,
  };
}
