/**
 * Compaction (Li & Ren, stage 3): drop the slices that do not matter, shrink the network, retrain, and keep the smallest
 * network whose validation error rises by no more than the bound.
 *
 * The test images are used once, after the search has ended. Every try is a run of its own under `compact/`, named by what
 * it is, so a killed compaction resumes where it was (finished tries are only measured again, an unfinished one continues
 * from its checkpoint), and another question about the same baseline finds the networks that it has in common.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import {
  configError,
  formatArchitecture,
  formatSlices,
  parseArchitecture,
  type Slice,
  scaleArchitecture,
  sha256,
} from '@cbnn/runtime';
import { modelCost } from '../cost/cost.js';
import { wrongOf } from '../engines/evaluate.js';
import { percentWrong } from '../predictions.js';
import { choosePruning } from '../sensitivity/prune.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { pairedInterval } from '../statistics.js';
import { planOf, type RunConfig } from '../train/config.js';
import { onFittingDevice } from '../train/devices.js';
import { placeOf, type RunImages, readModel, trainRun } from '../train/run.js';
import { RunFolder, readCheckpoint, writeJsonAtomic } from '../train/run-folder.js';
import type { TrainingProgress } from '../train/train.js';
import { inheritState } from './inherit.js';
import type { CompactionResult, CompactionTry, NetworkMeasure } from './result.js';
import { nextWidths, type TriedWidths, type Widths } from './search.js';

export interface CompactOptions {
  /** percentage points of validation error that may be lost; 1 by default */
  readonly maxDrop?: number;
  readonly shrink?: 'paper' | 'separate';
  /**
   * `confident`: the one-sided 95 % upper limit of the drop is within the bound. `estimate`: the measured drop is (the
   * paper's reading, and the only possible one with few validation images).
   */
  readonly acceptance?: 'confident' | 'estimate';
  /** retrained networks at most; 8 by default */
  readonly maxTries?: number;
  /** epochs of every retraining; the baseline's by default */
  readonly epochs?: number;
  /**
   * peak learning rates of the retrainings, relative to the baseline's; 0.5 by default. A candidate starts from trained
   * weights, which the full rate would first undo, and a low one hardly moves: on GTSRB, after 8 epochs, 0.5 left a narrowed
   * network at 1.8 % validation error and 0.2 at 2.2 %
   */
  readonly rateFactor?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: CompactionEvent) => void;
}

export type CompactionEvent =
  | {
      readonly kind: 'training';
      readonly number: number;
      readonly architecture: string;
      readonly progress: TrainingProgress;
    }
  | { readonly kind: 'tried'; readonly outcome: CompactionTry };

/** Candidates' widths: whole bytes in the packed file, and channels that training convolves in blocks (twice as fast). */
const WIDTH_MULTIPLE = 8;

interface Try extends Widths {
  readonly slices: readonly Slice[];
  readonly reason: string;
}

/** Compacts the finished run in `path`; writes `compact/result.json` after every try. */
export async function compact(
  path: string,
  config: RunConfig,
  images: RunImages,
  sensitivity: SensitivityResult,
  options: CompactOptions = {},
): Promise<CompactionResult> {
  const { maxDrop = 1, shrink = 'separate', acceptance = 'confident', maxTries = 8 } = options;
  const { epochs = config.epochs, rateFactor = 0.5 } = options;
  if (config.technique !== 'bnn')
    throw configError(`compact: expected a run of technique bnn, got ${config.technique}`);
  const stop = options.signal ? { signal: options.signal } : {};
  const folder = new RunFolder(path);
  const file = folder.file('compact', 'result.json');
  const baseline = sha256(readFileSync(folder.best));
  const baselineWrong = await wrongOf(readModel(path), images.validation, config.threads, stop);
  const start: CompactionResult = {
    dataset: images.dataset.title,
    maxDrop,
    shrink,
    acceptance,
    retraining: { epochs, rateFactor },
    validationImages: images.validation.count,
    baseline: {
      convWidth: 1,
      denseWidth: 1,
      architecture: config.architecture,
      slices: config.input.slices,
      ...measureNetwork(path, baselineWrong),
    },
    tries: [],
    finished: false,
    chosen: null,
    test: null,
  };
  const tries: CompactionTry[] = [];
  /** widths that lead to a network tried already: no layer of their kind, or a difference that rounding takes away */
  const same: TriedWidths[] = [];
  const result = (): CompactionResult => ({
    ...start,
    tries,
    finished: nextTry() === null,
    chosen: smallest(tries)?.id ?? null,
  });

  while (tries.length < maxTries) {
    options.signal?.throwIfAborted();
    const next = nextTry();
    if (!next) break;
    const architecture = architectureOf(next);
    const slices = formatSlices(next.slices);
    const twin = [{ ...start.baseline, accepted: true }, ...tries].find(
      (known) => known.architecture === architecture && formatSlices(known.slices) === slices,
    );
    if (twin) {
      same.push({ conv: next.conv, dense: next.dense, accepted: twin.accepted });
      continue;
    }
    const outcome = await attempt(tries.length + 1, next);
    tries.push(outcome);
    writeJsonAtomic(file, result());
    options.onProgress?.({ kind: 'tried', outcome });
  }

  const chosen = smallest(tries);
  let test: CompactionResult['test'] = null;
  if (chosen) {
    const before = await wrongOf(readModel(path), images.dataset.test, config.threads, stop);
    const after = await wrongOf(
      readModel(folder.file('compact', chosen.run)),
      images.dataset.test,
      config.threads,
      stop,
    );
    const { low, high } = pairedInterval(before, after);
    test = {
      baselineError: percentWrong(before),
      compactError: percentWrong(after),
      interval: [low, high],
      images: before.length,
    };
  }
  const final = { ...result(), test };
  writeJsonAtomic(file, final);
  return final;

  /** First prune slices alone, sparing more of them until that is accepted; then shrink. */
  function nextTry(): Try | null {
    const rejected = tries.filter((t) => t.convWidth === 1 && t.denseWidth === 1 && !t.accepted).length;
    const pruning = choosePruning(sensitivity, maxDrop, rejected);
    const prunes = config.input.encoding === 'bit-slices' && pruning.drop.length > 0;
    const slices = prunes ? pruning.keep : config.input.slices;
    const settled = !prunes || tries.some((t) => t.convWidth === 1 && t.denseWidth === 1 && t.accepted);
    if (!settled) return { conv: 1, dense: 1, slices, reason: 'pruned slices only' };
    const shrinking = tries.filter((t) => t.convWidth !== 1 || t.denseWidth !== 1);
    const widths = nextWidths(shrink, [...tried(shrinking), ...same]);
    return widths && { ...widths, slices };
  }

  function architectureOf({ conv, dense }: Widths): string {
    const layers = scaleArchitecture(parseArchitecture(config.architecture), { conv, dense }, WIDTH_MULTIPLE);
    return formatArchitecture(layers);
  }

  async function attempt(id: number, { slices, reason, ...widths }: Try): Promise<CompactionTry> {
    const architecture = architectureOf(widths);
    const { rates } = config.schedule;
    const tryConfig: RunConfig = {
      ...config,
      architecture,
      input: { ...config.input, slices: [...slices] },
      epochs,
      schedule: {
        ...config.schedule,
        rates: { binary: rates.binary * rateFactor, float: rates.float * rateFactor },
      },
    };
    const name = sha256(new TextEncoder().encode(`${baseline} ${JSON.stringify(tryConfig)}`));
    const run = `try-${name.slice(0, 12)}`;
    const runPath = folder.file('compact', run);
    if (!existsSync(new RunFolder(runPath).result)) {
      const initial = inheritState(planOf(config), readCheckpoint(folder.best).state, planOf(tryConfig));
      // The run may have been trained on a device that this machine has not.
      const here = await onFittingDevice(tryConfig, 'auto');
      await trainRun(here, images, runPath, placeOf(folder), {
        resume: true,
        initial,
        ...(options.signal && { signal: options.signal }),
        onProgress: (progress) =>
          options.onProgress?.({ kind: 'training', number: id, architecture, progress }),
      });
    }
    const wrong = await wrongOf(readModel(runPath), images.validation, config.threads, stop);
    const { difference, low, high } = pairedInterval(baselineWrong, wrong);
    // The upper end of a two-sided 90 % interval is the one-sided 95 % limit.
    const limit = pairedInterval(baselineWrong, wrong, 0.9).high;
    return {
      id,
      run,
      reason,
      convWidth: widths.conv,
      denseWidth: widths.dense,
      architecture,
      slices,
      ...measureNetwork(runPath, wrong),
      drop: difference,
      interval: [low, high],
      limit,
      accepted: acceptance === 'confident' ? limit <= maxDrop : difference <= maxDrop,
    };
  }
}

function measureNetwork(path: string, wrong: Uint8Array): NetworkMeasure {
  const cost = modelCost(readModel(path));
  return {
    bytes: statSync(new RunFolder(path).model).size,
    macs: cost.macs,
    weights: cost.weights,
    validationError: percentWrong(wrong),
  };
}

const tried = (tries: readonly CompactionTry[]): TriedWidths[] =>
  tries.map(({ convWidth, denseWidth, accepted }) => ({ conv: convWidth, dense: denseWidth, accepted }));

const smallest = (tries: readonly CompactionTry[]): CompactionTry | undefined =>
  tries.filter((t) => t.accepted).toSorted((a, b) => a.bytes - b.bytes)[0];
