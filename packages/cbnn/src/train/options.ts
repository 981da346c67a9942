/** What a user asks for, checked, and the complete configuration that it leads to. */

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import {
  allSlices,
  configError,
  formatArchitecture,
  type InputCode,
  limits,
  parseArchitecture,
  parseSlices,
  type Stretch,
  scaleArchitecture,
} from '@cbnn/runtime';
import type { Dataset } from '../data/dataset.js';
import { checkChoices, formOf, isKnownDataset } from '../data/registry.js';
import type { ImageForm, ReadingChoices } from '../data/source.js';
import { fingerprint, type Split } from '../data/split.js';
import {
  type FirstLayer,
  type Plan,
  planShapes,
  type Slicing,
  type TechniqueName,
  type VariationName,
  variationNames,
} from '../nn/plan.js';
import { peakRates, type RecipeName, recipes } from '../nn/recipes.js';
import { unknownName } from '../suggest.js';
import { techniqueOf, techniques } from '../techniques/index.js';
import { parseConfig, planOf, type RunConfig } from './config.js';
import type { TrainingDevice } from './devices.js';
import { firstLayerBound } from './first-layer-bound.js';
import { checkStart, checkTeacher, startConfig, startOf } from './start.js';

/** Small enough for two cores, and the paper's network in form: a sixteenth of its convolutions, a quarter of its widths. */
export const DEFAULT_ARCHITECTURE = '32C3-32C3-MP2-64C3-64C3-MP2-128C3-128C3-MP2-256FC-256FC';

/** Percentiles of the contrast stretch, where it is used. */
export const DEFAULT_STRETCH: Stretch = { low: 1, high: 99 };

export const DEFAULT_SEED = 1;
/** Of fixed point. */
const DEFAULT_BITS = 8;
/** Batches for batch norm's statistics where a network answers otherwise than it learns, whatever the recipe. */
const DRAWN_CALIBRATION = 20;
/** Of pruning. */
const DEFAULT_SPARSITY = 0.9;
const DEFAULT_ROUNDS = 3;
const MOST_SPARSITY = 0.99;
/** All that there are, as far as batches of images use them well. */
export const allThreads = (): number => Math.max(1, Math.min(8, availableParallelism()));

/** More than any machine that trains has cores; a runtime given thousands of threads only stalls. */
const MOST_THREADS = 256;
const LEAST_BATCH = 4;
/** float32 holds every integer up to here. */
const EXACT_FLOAT32 = 2 ** 24;

export interface RunOptions extends ReadingChoices {
  /** a data set's name, or a folder of class folders or of IDX files */
  readonly data: string;
  /** folder that holds data sets by name */
  readonly dataDir: string;
  /** training images used, validation images included; all by default */
  readonly limit?: number;
  /** validation images; the data set's share by default */
  readonly validation?: number;
  /** the paper's notation, ending with an output layer of one unit per class */
  readonly architecture?: string;
  /** width multipliers of hidden layers */
  readonly width?: number;
  readonly convWidth?: number;
  readonly denseWidth?: number;
  readonly technique?: TechniqueName;
  /** of bnn: ways to train it beside the published one */
  readonly variations?: readonly VariationName[];
  /** the finished run that training begins with, where the technique wants or takes one */
  readonly from?: string;
  /** a finished run whose answers are learned instead of the labels */
  readonly teacher?: string;
  readonly recipe?: RecipeName;
  readonly input?: 'bit-slices' | '8-bit';
  /** of bit slices; `binary` by default */
  readonly code?: 'binary' | InputCode;
  /** e.g. `top4` or `0:4-7,1:4-7,2:4-7` */
  readonly slices?: string;
  readonly slicing?: Slicing;
  readonly firstLayer?: FirstLayer;
  readonly stretch?: 'auto' | 'on' | 'off';
  /** share of weights that pruned takes away, or ttq leaves 0; and rounds, of pruned */
  readonly sparsity?: number;
  readonly rounds?: number;
  /** bits of weights and of activations, of fixed point */
  readonly weightBits?: number;
  readonly activationBits?: number;
  readonly epochs?: number;
  readonly batch?: number;
  /** peak learning rate of latent weights */
  readonly rate?: number;
  /** peak learning rate of batch norm and real weights */
  readonly floatRate?: number;
  readonly seed?: number;
  readonly device?: TrainingDevice;
  readonly threads?: number;
}

/** Options of a network of full precision on the same images, to teach what `options` train. */
export function teacherOptions<Options extends Partial<RunOptions>>(options: Options) {
  const { technique, variations, from, teacher, sparsity, rounds, weightBits, activationBits, ...rest } =
    options;
  const { input, code, slices, slicing, firstLayer, rate, floatRate, ...shared } = rest;
  return {
    ...shared,
    technique: 'float' as const,
    // It sees the same bytes, which are in the code already.
    ...(code && code !== 'binary' && { input: 'bit-slices' as const, code }),
  };
}

/** Throws config errors for whatever can be refused before the images are read: their number and size are known by then. */
export function checkOptions(options: RunOptions): void {
  const technique = techniqueFor(options);
  const { name, firstLayers, latentWeights, startsFrom, mayStartFrom, afterTraining, prunes } = technique;
  if (options.variations?.length && (options.technique ?? 'bnn') !== 'bnn')
    throw configError(
      `with ${options.variations.join()}: ways to train bnn, not ${options.technique}; leave --with out`,
    );
  if (options.firstLayer && !firstLayers.includes(options.firstLayer))
    throw configError(
      `first layer ${options.firstLayer}: technique ${name} expects ${firstLayers.join(' or ')} first-layer weights`,
    );
  if (!latentWeights && options.rate !== undefined)
    throw configError(`rate: technique ${name} has no latent weights; use --float-rate`);
  if (startsFrom && options.from === undefined)
    throw configError(
      `technique ${name}: begins with a trained network; train one with --technique ${startsFrom}, and give its folder with --from`,
    );
  for (const [option, bits] of [
    ['weight-bits', options.weightBits],
    ['activation-bits', options.activationBits],
  ] as const) {
    if (bits === undefined) continue;
    if (!afterTraining)
      throw configError(`${option}: only technique fixed-point has bits to choose, not ${name}`);
    if (!Number.isInteger(bits) || bits < 2 || bits > 16)
      throw configError(`${option}: expected 2 to 16 bits, got ${bits}`);
  }
  if (!technique.hasSparsity && options.sparsity !== undefined)
    throw configError(`sparsity: only techniques pruned and ttq have it to choose, not ${name}`);
  if (!prunes && options.rounds !== undefined)
    throw configError(`rounds: only technique pruned takes weights away, not ${name}`);
  if (options.sparsity !== undefined && !(options.sparsity > 0 && options.sparsity <= MOST_SPARSITY))
    throw configError(
      `sparsity: expected a share above 0, at most ${MOST_SPARSITY}, got ${options.sparsity}`,
    );
  if (afterTraining && options.epochs !== undefined)
    throw configError(`epochs: technique ${name} trains no further; leave --epochs out`);
  if (!(startsFrom ?? mayStartFrom) && options.from !== undefined)
    throw configError(`from: technique ${name} begins with weights of its own; leave --from out`);
  if (afterTraining && options.teacher !== undefined)
    throw configError(`teacher: technique ${name} trains no further; leave --teacher out`);
  if (options.teacher !== undefined && recipes[options.recipe ?? 'modern'].loss !== 'cross-entropy')
    throw configError(
      `teacher: recipe ${options.recipe} trains with another loss; distillation expects cross-entropy, as recipe modern has it`,
    );
  if (options.batch !== undefined && options.batch < LEAST_BATCH)
    throw configError(
      `batch: expected at least ${LEAST_BATCH} images (batch norm takes its statistics from them), got ${options.batch}`,
    );
  if (options.threads !== undefined && options.threads > MOST_THREADS)
    throw configError(`threads: expected at most ${MOST_THREADS}, got ${options.threads}`);
  checkChoices(options.data, choicesOf(options));
  if (options.limit !== undefined && options.validation !== undefined && options.validation >= options.limit)
    throw configError(
      `validation: expected fewer images than --limit keeps in all, ${options.limit}, got ${options.validation}`,
    );
  if (options.architecture) parseArchitecture(options.architecture);
  if (options.code && options.code !== 'binary' && encodingOf(options) === '8-bit')
    throw configError('code: the plain 8-bit input has none; leave --code out or use --input bit-slices');
  if (options.slices) checkSlices(options.slices, encodingOf(options));
  const form = formOf(options.data, choicesOf(options));
  if (form) checkPackable(planOf(networkOf(options, form)));
}

const SLICE_NAMES = ['all', 'top1', 'top2', 'top3', 'top4', 'top5', 'top6', 'top7', 'top8'];

function checkSlices(slices: string, encoding: 'bit-slices' | '8-bit'): void {
  if (encoding === '8-bit')
    throw configError('slices: the plain 8-bit input has none; leave --slices out or use --input bit-slices');
  if (/^[a-z]/i.test(slices) && !SLICE_NAMES.includes(slices))
    throw unknownName('slices', slices, SLICE_NAMES, 'channel:bits such as 0:4-7,1:4-7');
  parseSlices(slices, limits.imageChannels);
}

/** What of `options` is about reading, and given. */
export const choicesOf = ({ size, roi, quality, testShare }: RunOptions): ReadingChoices => ({
  ...(size !== undefined && { size }),
  ...(roi !== undefined && { roi }),
  ...(quality !== undefined && { quality }),
  ...(testShare !== undefined && { testShare }),
});

const encodingOf = ({ input, technique }: RunOptions): 'bit-slices' | '8-bit' =>
  input ?? techniques[technique ?? 'bnn'].input;

const inOrder = (names: readonly VariationName[]): VariationName[] =>
  variationNames.filter((name) => names.includes(name));

const techniqueFor = ({ technique = 'bnn', variations }: RunOptions) =>
  techniqueOf({ technique, ...(variations?.length && { variations }) });

/** As given; `auto`, and nothing, take that of the run that training begins with or learns from. */
function stretchOf({ stretch, from, teacher }: RunOptions): Stretch | null {
  if (stretch === 'on' || stretch === 'off') return stretch === 'on' ? DEFAULT_STRETCH : null;
  const other = from ?? teacher;
  return other === undefined ? null : startConfig(other).input.stretch;
}

/** The part of a configuration that decides the network, and that follows from `options` and the images' form. */
type NetworkConfig = Pick<
  RunConfig,
  | 'technique'
  | 'variations'
  | 'ternarySparsity'
  | 'precision'
  | 'recipe'
  | 'architecture'
  | 'firstLayer'
  | 'input'
  | 'slicing'
  | 'loss'
>;

function networkOf(options: RunOptions, { classes, height, width, channels }: ImageForm): NetworkConfig {
  const recipe = recipes[options.recipe ?? 'modern'];
  const technique = options.technique ?? 'bnn';
  const encoding = encodingOf(options);
  const slices =
    encoding === '8-bit' ? [] : options.slices ? parseSlices(options.slices, channels) : allSlices(channels);
  return {
    technique,
    ...(options.variations?.length && { variations: inOrder(options.variations) }),
    ...(technique === 'ttq' && options.sparsity !== undefined && { ternarySparsity: options.sparsity }),
    ...(techniques[technique].afterTraining && {
      precision: {
        weights: options.weightBits ?? DEFAULT_BITS,
        activations: options.activationBits ?? DEFAULT_BITS,
      },
    }),
    recipe: recipe.name,
    architecture: architectureFor(options, classes),
    firstLayer: options.firstLayer ?? techniques[technique].firstLayers[0],
    input: {
      height,
      width,
      channels,
      encoding,
      ...(options.code && options.code !== 'binary' && { code: options.code }),
      slices: [...slices],
      stretch: stretchOf(options),
    },
    slicing: options.slicing ?? (encoding === '8-bit' ? 'equal' : recipe.slicing),
    loss: recipe.loss,
  };
}

/**
 * The complete configuration for `options` and the images they lead to; `stretch` as given, off for `auto`. Throws config
 * errors for what does not fit together.
 */
export function buildConfig(
  options: RunOptions,
  dataset: Dataset,
  split: Split,
  device: RunConfig['device'],
): RunConfig {
  const recipe = recipes[options.recipe ?? 'modern'];
  const { height, width, channels } = dataset.train;
  const network = networkOf(options, { classes: dataset.classes.length, height, width, channels });
  const usual = peakRates(recipe, techniqueOf(network));
  const config: RunConfig = {
    formatVersion: 1,
    dataset: {
      source: isKnownDataset(options.data) ? options.data : resolve(options.data),
      limit: options.limit ?? null,
      choices: choicesOf(options),
      validation: options.validation ?? null,
      sha256: fingerprint(split),
    },
    ...network,
    ...(techniques[network.technique].prunes && {
      // The same of every layer, until `measured` knows better.
      pruning: {
        target: options.sparsity ?? DEFAULT_SPARSITY,
        rounds: options.rounds ?? Math.min(DEFAULT_ROUNDS, options.epochs ?? recipe.epochs),
        layers: planShapes(planOf(network)).map(() => options.sparsity ?? DEFAULT_SPARSITY),
      },
    }),
    epochs: techniques[network.technique].afterTraining
      ? startConfig(options.from!).epochs
      : (options.epochs ?? recipe.epochs),
    batch: options.batch ?? defaultBatch(recipe.batch, split.train.count),
    schedule: {
      kind: recipe.schedule,
      rates: {
        binary: options.rate ?? usual.binary,
        float: options.floatRate ?? usual.float,
      },
      warmup: recipe.warmup,
      decay: recipe.decay,
    },
    augmentation: { ...dataset.augmentation, ...(!recipe.shifts && { shift: 0 }) },
    calibrationBatches:
      recipe.calibrationBatches || (techniqueOf(network).answersOtherwise ? DRAWN_CALIBRATION : 0),
    ...(options.from !== undefined && { from: startOf(options.from) }),
    ...(options.teacher !== undefined && { teacher: startOf(options.teacher, 'teacher') }),
    seed: options.seed ?? DEFAULT_SEED,
    device,
    threads: options.threads ?? allThreads(),
  };
  if (config.batch > split.train.count)
    throw configError(
      `batch: expected at most the ${split.train.count} training images, got ${config.batch}; use a smaller --batch, or more images`,
    );
  if (techniques[network.technique].prunes && (options.rounds ?? 1) > config.epochs)
    throw configError(`rounds: expected at most the ${config.epochs} epochs, got ${options.rounds}`);
  const checked = parseConfig(config, 'options');
  checkStart(checked);
  checkTeacher(checked);
  checkPackable(planOf(checked));
  return checked;
}

/** At least ten steps an epoch on small sets, and a multiple of four (a WebGPU kernel is wrong for others). */
const defaultBatch = (batch: number, images: number): number =>
  Math.max(4, Math.min(batch, 4 * Math.floor(images / 40)));

/** Walks the plan, so that an impossible architecture, or sums that float32 would round, are refused before any work. */
function checkPackable(plan: Plan): void {
  planShapes(plan);
  if (!techniques[plan.technique].integerSums) return;
  const bound = firstLayerBound(plan);
  if (bound > EXACT_FLOAT32)
    throw configError(
      `architecture: sums of the first layer can reach ${bound}, beyond the 2^24 that training computes exactly; begin with a convolution, or use --first-layer binary or --input bit-slices`,
    );
}

function architectureFor(options: RunOptions, classes: number): string {
  const given = options.architecture ?? `${DEFAULT_ARCHITECTURE}-${classes}FC`;
  const layers = parseArchitecture(given);
  const last = layers.at(-1);
  if (last?.kind !== 'dense' || last.units !== classes)
    throw configError(
      `architecture ${given}: expected an output layer of ${classes}FC (one unit per class), got ${given.split('-').at(-1)}; end it with -${classes}FC`,
    );
  const width = options.width ?? 1;
  return formatArchitecture(
    scaleArchitecture(layers, { conv: options.convWidth ?? width, dense: options.denseWidth ?? width }),
  );
}
