/** From what a user asks for to a complete configuration: images loaded and split, defaults filled in, options checked. */

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import {
  allSlices,
  configError,
  formatArchitecture,
  parseArchitecture,
  parseSlices,
  type Stretch,
  scaleArchitecture,
} from '@cbnn/runtime';
import type { Dataset, ImageSet } from '../data/dataset.js';
import { loadDataset } from '../data/registry.js';
import type { OnDataProgress } from '../data/source.js';
import { splitValidation } from '../data/split.js';
import { type DeviceName, openDevice } from '../graph/session.js';
import { type FirstLayer, planShapes, type Slicing } from '../nn/plan.js';
import { type RecipeName, recipes } from '../nn/recipes.js';
import type { TechniqueName } from '../techniques/index.js';
import { chooseStretch, type StretchChoice } from './choose-stretch.js';
import { planOf, type RunConfig } from './config.js';

/** Small enough for two cores, and the paper's network in form: a sixteenth of its convolutions, a quarter of its widths. */
export const DEFAULT_ARCHITECTURE = '32C3-32C3-MP2-64C3-64C3-MP2-128C3-128C3-MP2-256FC-256FC';

/** Percentiles of the contrast stretch, where it is used. */
export const DEFAULT_STRETCH: Stretch = { low: 1, high: 99 };

export interface RunOptions {
  /** a data set's name, or a folder of class folders */
  readonly data: string;
  /** folder that holds data sets by name */
  readonly dataDir: string;
  /** first training images used; all by default */
  readonly limit?: number;
  /** validation images; the data set's share by default */
  readonly validation?: number;
  /** the paper's notation; without the output layer it is given one unit per class */
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

/** Throws config errors for options that cannot be, before any training; loads the images. */
export async function prepareRun(
  options: RunOptions,
  hooks: {
    readonly signal?: AbortSignal;
    readonly onData?: OnDataProgress;
    readonly onNote?: (note: string) => void;
  } = {},
): Promise<PreparedRun> {
  const recipe = recipes[options.recipe ?? 'modern'];
  const technique = options.technique ?? 'bnn';
  const isFloat = technique === 'float';
  const firstLayer = options.firstLayer ?? (isFloat ? 'real' : 'integer');
  if (isFloat !== (firstLayer === 'real'))
    throw configError(
      `first layer ${firstLayer}: technique ${technique} expects ${isFloat ? 'real' : 'integer or binary'} first-layer weights`,
    );
  if (options.architecture) parseArchitecture(options.architecture);
  const encoding = options.input ?? (isFloat ? '8-bit' : 'bit-slices');
  if (encoding === '8-bit' && options.slices)
    throw configError('slices: the plain 8-bit input has none; leave --slices out or use --input bit-slices');
  const device = await openDevice(options.device ?? 'auto', 1);

  const dataset = await loadDataset(options.data, {
    dataDir: options.dataDir,
    ...(options.limit !== undefined && { limit: options.limit }),
    ...(hooks.onData && { onProgress: hooks.onData }),
    ...(hooks.signal && { signal: hooks.signal }),
  });
  const seed = options.seed ?? 1;
  const split = splitValidation(dataset, {
    seed,
    ...(options.validation !== undefined && { count: options.validation }),
  });
  const { height, width, channels } = dataset.train;
  const slices =
    encoding === '8-bit' ? [] : options.slices ? parseSlices(options.slices, channels) : allSlices(channels);
  const { rates } = recipe;
  const config: RunConfig = {
    formatVersion: 1,
    dataset: {
      source: existsSync(options.data) ? resolve(options.data) : options.data,
      limit: options.limit ?? null,
      validation: split.validation.count,
    },
    technique,
    recipe: recipe.name,
    architecture: architectureFor(options, dataset.classes.length),
    firstLayer,
    input: { height, width, channels, encoding, slices: [...slices], stretch: null },
    slicing: options.slicing ?? (encoding === '8-bit' ? 'equal' : recipe.slicing),
    loss: recipe.loss,
    epochs: options.epochs ?? recipe.epochs,
    batch: options.batch ?? recipe.batch,
    schedule: {
      kind: recipe.schedule,
      rates: {
        binary: options.rate ?? rates.binary,
        float: options.floatRate ?? (isFloat ? recipe.floatRate : rates.float),
      },
      warmup: recipe.warmup,
      decay: recipe.decay,
    },
    augmentation: { ...dataset.augmentation, ...(!recipe.shifts && { shift: 0 }) },
    calibrationBatches: recipe.calibrationBatches,
    seed,
    device: device.name,
    threads: options.threads ?? Math.max(1, Math.min(8, availableParallelism())),
  };
  // The plan is walked once here, so that an impossible architecture is refused before any work.
  planShapes(planOf(config));
  const wanted = options.stretch ?? recipe.stretch;
  let stretchChoice: StretchChoice | null = null;
  let stretch: Stretch | null = wanted === 'on' ? DEFAULT_STRETCH : null;
  if (wanted === 'auto') {
    hooks.onNote?.('trying the contrast stretch on validation images (two short trainings)');
    stretchChoice = await chooseStretch(config, split, DEFAULT_STRETCH, hooks.signal);
    stretch = stretchChoice.stretch;
    hooks.onNote?.(
      `contrast stretch ${stretch ? 'on' : 'off'}: validation error of short trainings ${stretchChoice.errorWith.toFixed(1)} % with, ${stretchChoice.errorWithout.toFixed(1)} % without`,
    );
  }
  return {
    config: { ...config, input: { ...config.input, stretch } },
    dataset,
    train: split.train,
    validation: split.validation,
    stretchChoice,
  };
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
