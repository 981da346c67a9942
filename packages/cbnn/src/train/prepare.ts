/** From what a user asks for to a complete configuration: images loaded and split, defaults filled in, options checked. */

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import {
  allSlices,
  configError,
  formatArchitecture,
  formatSlices,
  inputMagnitudes,
  limits,
  parseArchitecture,
  parseSlices,
  type Stretch,
  scaleArchitecture,
} from '@cbnn/runtime';
import type { Dataset, ImageSet } from '../data/dataset.js';
import { checkChoices, isKnownDataset, loadDataset } from '../data/registry.js';
import type { OnDataProgress, ReadingChoices } from '../data/source.js';
import { fingerprint, type Split, splitValidation } from '../data/split.js';
import { INTEGER_WEIGHT_LIMIT } from '../graph/operations/quantizers.js';
import { type DeviceName, openDevice } from '../graph/session.js';
import { type FirstLayer, type Plan, planShapes, type Slicing, type TechniqueName } from '../nn/plan.js';
import { type RecipeName, recipes } from '../nn/recipes.js';
import { chooseStretch, type StretchChoice } from './choose-stretch.js';
import { parseConfig, planOf, type RunConfig } from './config.js';

/** Small enough for two cores, and the paper's network in form: a sixteenth of its convolutions, a quarter of its widths. */
export const DEFAULT_ARCHITECTURE = '32C3-32C3-MP2-64C3-64C3-MP2-128C3-128C3-MP2-256FC-256FC';

/** Percentiles of the contrast stretch, where it is used. */
export const DEFAULT_STRETCH: Stretch = { low: 1, high: 99 };

const DEFAULT_SEED = 1;
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
  readonly recipe?: RecipeName;
  readonly input?: 'bit-slices' | '8-bit';
  /** e.g. `top4` or `0:4-7,1:4-7,2:4-7` */
  readonly slices?: string;
  readonly slicing?: Slicing;
  readonly firstLayer?: FirstLayer;
  readonly stretch?: 'auto' | 'on' | 'off';
  readonly epochs?: number;
  readonly batch?: number;
  /** peak learning rate of latent weights */
  readonly rate?: number;
  /** peak learning rate of batch norm and real weights */
  readonly floatRate?: number;
  readonly seed?: number;
  readonly device?: DeviceName;
  readonly threads?: number;
}

export interface PreparedRun {
  readonly config: RunConfig;
  readonly dataset: Dataset;
  readonly train: ImageSet;
  readonly validation: ImageSet;
  /** the trials behind `stretch: auto`; null when it was given */
  readonly stretchChoice: StretchChoice | null;
}

/**
 * Says which of the `given` options a stored configuration contradicts, as `name: stored and given`; null when none does.
 * Options that are left out take whatever the run has.
 */
export function contradiction(
  stored: RunConfig,
  given: RunOptions,
  images: { readonly dataset: Dataset } & Split,
): string | null {
  checkOptions(given);
  const asked = buildConfig(given, images.dataset, images, stored.device);
  const decides: Readonly<Record<string, (config: RunConfig) => unknown>> = {
    data: ({ dataset }) => dataset.source,
    limit: ({ dataset }) => dataset.limit,
    size: ({ dataset }) => dataset.choices.size,
    roi: ({ dataset }) => dataset.choices.roi,
    quality: ({ dataset }) => dataset.choices.quality,
    testShare: ({ dataset }) => dataset.choices.testShare,
    validation: ({ dataset }) => dataset.validation,
    architecture: ({ architecture }) => architecture,
    width: ({ architecture }) => architecture,
    convWidth: ({ architecture }) => architecture,
    denseWidth: ({ architecture }) => architecture,
    technique: ({ technique }) => technique,
    recipe: ({ recipe }) => recipe,
    input: ({ input }) => input.encoding,
    slices: ({ input }) => formatSlices(input.slices),
    slicing: ({ slicing }) => slicing,
    firstLayer: ({ firstLayer }) => firstLayer,
    stretch: ({ input }) => (input.stretch ? 'on' : 'off'),
    epochs: ({ epochs }) => epochs,
    batch: ({ batch }) => batch,
    rate: ({ schedule }) => schedule.rates.binary,
    floatRate: ({ schedule }) => schedule.rates.float,
    seed: ({ seed }) => seed,
    threads: ({ threads }) => threads,
  };
  for (const [name, value] of Object.entries(given)) {
    const of = decides[name];
    if (value === undefined || !of || value === 'auto') continue;
    if (of(stored) !== of(asked))
      return `${name}: ${String(of(stored) ?? 'default')} and ${String(of(asked) ?? 'default')}`;
  }
  if (given.device !== undefined && given.device !== 'auto' && given.device !== stored.device)
    return `device: ${stored.device} and ${given.device}`;
  return null;
}

/** Throws config errors for options that cannot be, before any training; loads the images. */
export async function prepareRun(
  options: RunOptions,
  hooks: {
    readonly signal?: AbortSignal;
    readonly onData?: OnDataProgress;
    readonly onNote?: (note: string) => void;
  } = {},
): Promise<PreparedRun> {
  checkOptions(options);
  const device = await openDevice(options.device ?? 'auto', 1);
  const dataset = await loadDataset(options.data, {
    dataDir: options.dataDir,
    ...(options.limit !== undefined && { limit: options.limit }),
    ...choicesOf(options),
    ...(hooks.onData && { onProgress: hooks.onData }),
    ...(hooks.signal && { signal: hooks.signal }),
  });
  const split = splitValidation(dataset, {
    seed: options.seed ?? DEFAULT_SEED,
    ...(options.validation !== undefined && { count: options.validation }),
  });
  const config = buildConfig(options, dataset, split, device.name);
  const wanted = options.stretch ?? recipes[config.recipe].stretch;
  let stretchChoice: StretchChoice | null = null;
  let { stretch } = config.input;
  if (wanted === 'auto') {
    hooks.onNote?.('trying the contrast stretch on validation images (two short trainings)');
    stretchChoice = await chooseStretch(config, split, DEFAULT_STRETCH, hooks.signal);
    stretch = stretchChoice.stretch;
    hooks.onNote?.(
      `contrast stretch ${stretch ? 'on' : 'off'}: validation error of short trainings ${stretchChoice.errorWith.toFixed(1)} % with, ${stretchChoice.errorWithout.toFixed(1)} % without`,
    );
  }
  return { config: { ...config, input: { ...config.input, stretch } }, dataset, ...split, stretchChoice };
}

/** What can be refused without having seen the images. */
function checkOptions(options: RunOptions): void {
  const isFloat = options.technique === 'float';
  const firstLayer = options.firstLayer ?? (isFloat ? 'real' : 'integer');
  if (isFloat !== (firstLayer === 'real'))
    throw configError(
      `first layer ${firstLayer}: technique ${options.technique ?? 'bnn'} expects ${isFloat ? 'real' : 'integer or binary'} first-layer weights`,
    );
  if (isFloat && options.rate !== undefined)
    throw configError('rate: technique float has no latent weights; use --float-rate');
  if (options.batch !== undefined && options.batch < LEAST_BATCH)
    throw configError(
      `batch: expected at least ${LEAST_BATCH} images (batch norm takes its statistics from them), got ${options.batch}`,
    );
  if (options.threads !== undefined && options.threads > MOST_THREADS)
    throw configError(`threads: expected at most ${MOST_THREADS}, got ${options.threads}`);
  checkChoices(options.data, choicesOf(options));
  if (options.architecture) parseArchitecture(options.architecture);
  if (options.slices) {
    if (encodingOf(options) === '8-bit')
      throw configError(
        'slices: the plain 8-bit input has none; leave --slices out or use --input bit-slices',
      );
    parseSlices(options.slices, limits.imageChannels);
  }
}

/** What of `options` is about reading, and given. */
const choicesOf = ({ size, roi, quality, testShare }: RunOptions): ReadingChoices => ({
  ...(size !== undefined && { size }),
  ...(roi !== undefined && { roi }),
  ...(quality !== undefined && { quality }),
  ...(testShare !== undefined && { testShare }),
});

const encodingOf = ({ input, technique }: RunOptions): 'bit-slices' | '8-bit' =>
  input ?? (technique === 'float' ? '8-bit' : 'bit-slices');

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
  const technique = options.technique ?? 'bnn';
  const isFloat = technique === 'float';
  const encoding = encodingOf(options);
  const { height, width, channels } = dataset.train;
  const slices =
    encoding === '8-bit' ? [] : options.slices ? parseSlices(options.slices, channels) : allSlices(channels);
  const config: RunConfig = {
    formatVersion: 1,
    dataset: {
      source: isKnownDataset(options.data) ? options.data : resolve(options.data),
      limit: options.limit ?? null,
      choices: choicesOf(options),
      validation: options.validation ?? null,
      sha256: fingerprint(split),
    },
    technique,
    recipe: recipe.name,
    architecture: architectureFor(options, dataset.classes.length),
    firstLayer: options.firstLayer ?? (isFloat ? 'real' : 'integer'),
    input: {
      height,
      width,
      channels,
      encoding,
      slices: [...slices],
      stretch: options.stretch === 'on' ? DEFAULT_STRETCH : null,
    },
    slicing: options.slicing ?? (encoding === '8-bit' ? 'equal' : recipe.slicing),
    loss: recipe.loss,
    epochs: options.epochs ?? recipe.epochs,
    batch: options.batch ?? defaultBatch(recipe.batch, split.train.count),
    schedule: {
      kind: recipe.schedule,
      rates: {
        binary: options.rate ?? recipe.rates.binary,
        float: options.floatRate ?? (isFloat ? recipe.floatRate : recipe.rates.float),
      },
      warmup: recipe.warmup,
      decay: recipe.decay,
    },
    augmentation: { ...dataset.augmentation, ...(!recipe.shifts && { shift: 0 }) },
    calibrationBatches: recipe.calibrationBatches,
    seed: options.seed ?? DEFAULT_SEED,
    device,
    threads: options.threads ?? Math.max(1, Math.min(8, availableParallelism())),
  };
  if (config.batch > split.train.count)
    throw configError(
      `batch: expected at most the ${split.train.count} training images, got ${config.batch}; use a smaller --batch, or more images`,
    );
  checkPackable(planOf(parseConfig(config, 'options')));
  return config;
}

/** At least ten steps an epoch on small sets, and a multiple of four (a WebGPU kernel is wrong for others). */
const defaultBatch = (batch: number, images: number): number =>
  Math.max(4, Math.min(batch, 4 * Math.floor(images / 40)));

/** Walks the plan, so that an impossible architecture, or sums that float32 would round, are refused before any work. */
function checkPackable(plan: Plan): void {
  const [first] = planShapes(plan);
  if (plan.technique === 'float') return;
  const largestWeight = plan.firstLayer === 'integer' ? INTEGER_WEIGHT_LIMIT : 1;
  const magnitudes = inputMagnitudes(plan.input);
  const perTap = magnitudes.reduce((sum, magnitude) => sum + magnitude, 0);
  const bound = (first!.fanIn / magnitudes.length) * perTap * largestWeight;
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
