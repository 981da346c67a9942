/** A finished (or unfinished) run, opened again: its configuration, its images, its packed model. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { configError, dataError, decodeModel, encodeModel, type PackedModel } from '@cbnn/runtime';
import type { Dataset, ImageSet } from '../data/dataset.js';
import { loadDataset } from '../data/registry.js';
import type { OnDataProgress } from '../data/source.js';
import { fingerprint, splitValidation } from '../data/split.js';
import { packModel } from '../pack/pack.js';
import { answeringState, encodeNetwork } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';
import { finishTraining } from './after-training.js';
import { planOf, type RunConfig } from './config.js';
import { RunFolder, readCheckpoint, readJson, writeFileAtomic, writeJsonAtomic } from './run-folder.js';
import { lockRun } from './run-lock.js';
import { startingState } from './start.js';
import { type EpochMetrics, type TrainingResult, type TrainOptions, train } from './train.js';

export interface RunImages {
  readonly dataset: Dataset;
  readonly train: ImageSet;
  readonly validation: ImageSet;
}

/** Where a run's images were: kept beside config.json, because it says nothing about the result. */
interface Place {
  readonly dataDir: string;
}

const placeFile = (folder: RunFolder): string => folder.file('place.json');

/**
 * Loads the images of a run again, split as they were; `dataDir` overrides where they were. Throws a data error when they
 * are no longer the same images.
 */
export async function loadRunImages(
  path: string,
  options: {
    readonly dataDir?: string;
    readonly onData?: OnDataProgress;
    readonly signal?: AbortSignal;
  } = {},
): Promise<RunImages & { config: RunConfig }> {
  const folder = new RunFolder(path);
  const config = folder.readConfig();
  const { source, limit, choices, validation } = config.dataset;
  const dataDir = options.dataDir ?? placeOf(folder);
  const dataset = await loadDataset(source, {
    dataDir,
    ...(limit !== null && { limit }),
    ...choices,
    ...(options.onData && { onProgress: options.onData }),
    ...(options.signal && { signal: options.signal }),
  });
  const split = splitValidation(dataset, {
    seed: config.seed,
    ...(validation !== null && { count: validation }),
  });
  if (fingerprint(split) !== config.dataset.sha256)
    throw dataError(
      `run ${path}: the images of ${source} in ${dataDir} are not those it was trained on; restore them, or train anew`,
    );
  return { config, dataset, ...split };
}

/** The data folder that a run was trained from. */
export function placeOf(folder: RunFolder): string {
  const file = placeFile(folder);
  return existsSync(file) ? (readJson(file) as Place).dataDir : 'data';
}

/**
 * Trains a prepared run in `path`, then writes it as a packed model, or in its technique's own bits where it has no packed form. Throws a
 * config error while another process trains there.
 */
export async function trainRun(
  config: RunConfig,
  images: RunImages,
  path: string,
  dataDir: string,
  options: TrainOptions = {},
): Promise<TrainingResult> {
  const unlock = lockRun(path);
  try {
    return await trainLocked(config, images, path, dataDir, options);
  } finally {
    unlock();
  }
}

async function trainLocked(
  config: RunConfig,
  images: RunImages,
  path: string,
  dataDir: string,
  options: TrainOptions,
): Promise<TrainingResult> {
  const folder = new RunFolder(path);
  folder.begin(config, options.resume === true);
  writeJsonAtomic(placeFile(folder), { dataDir: resolve(dataDir) } satisfies Place);
  const known = existsSync(folder.result) ? (readJson(folder.result) as TrainingResult) : null;
  const isKnown = known && techniques[config.technique].afterTraining;
  const initial = options.initial ?? (isKnown ? undefined : startingState(config, folder));
  const training = { ...options, resume: true, ...(initial && { initial }) };
  const result = isKnown
    ? known
    : techniques[config.technique].afterTraining
      ? await finishTraining(config, images, folder, initial!)
      : await train(config, images, path, training);
  if (techniques[config.technique].integerSums) {
    const state = await answeringState(planOf(config), readCheckpoint(folder.best).state);
    const model = packModel(planOf(config), state, images.dataset.classes, {
      technique: config.technique,
      recipe: config.recipe,
      dataset: images.dataset.name,
      epochs: config.epochs,
      seed: config.seed,
      validationError: result.validationError,
    });
    writeFileAtomic(folder.model, encodeModel(model));
  } else {
    const { state } = readCheckpoint(folder.best);
    writeFileAtomic(folder.network, await encodeNetwork(planOf(config), state, images.dataset.classes));
  }
  writeJsonAtomic(folder.result, result);
  return result;
}

/** Throws a config error unless `path` holds a finished run. */
export function checkFinished(path: string): void {
  const folder = new RunFolder(path);
  folder.readConfig();
  if (!existsSync(folder.result))
    throw configError(
      `run ${path}: expected a finished run, got an interrupted one; finish it with \`cbnn train ... --resume\``,
    );
}

/** Throws a config error unless `path` holds a finished run of a technique that has a packed form. */
export function checkPacked(path: string): void {
  checkFinished(path);
  const { technique } = new RunFolder(path).readConfig();
  if (!techniques[technique].integerSums)
    throw configError(
      `run ${path}: expected a run of technique bnn, got ${technique}, which has no packed model`,
    );
}

/** The packed model of a run, or of a model file. */
export function readModel(path: string): PackedModel {
  const folder = new RunFolder(path);
  const file = existsSync(folder.config) ? folder.model : path;
  if (!existsSync(file))
    throw configError(`model ${path}: expected a packed model file or the folder of a finished bnn run`);
  return decodeModel(readFileSync(file));
}

/** Of a run, however far it is. What stands behind the last line's end was cut off as it was written. */
export function readMetrics(path: string): EpochMetrics[] {
  const { metrics } = new RunFolder(path);
  if (!existsSync(metrics)) return [];
  return readFileSync(metrics, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as EpochMetrics);
}
