/**
 * All techniques on the same images: each is trained on the same split, network, augmentation, seed and number of epochs, tested on
 * the same test images, and timed in turns on the best executor that there is for it here. A comparison is a folder with a run for
 * each technique; stopped, it goes on where it was.
 */
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { configError } from '@cbnn/runtime';
import { takeTurns } from '../bench/turns.js';
import { finishedNetwork } from '../cost/finished-network.js';
import { type TechniqueName, techniqueNames } from '../nn/plan.js';
import { errorRate } from '../predictions.js';
import { errorInterval } from '../statistics.js';
import { techniques } from '../techniques/index.js';
import { chooseDevice, onFittingDevice } from '../train/devices.js';
import { buildConfig, checkOptions, type RunOptions } from '../train/options.js';
import { measured, type PreparedRun, prepareRun } from '../train/prepare.js';
import { trainRun } from '../train/run.js';
import { RunFolder, readJson, writeJsonAtomic } from '../train/run-folder.js';
import type { TrainingProgress, TrainingResult } from '../train/train.js';
import { VERSION } from '../version.js';
import { epochsWithin } from './budget.js';
import { type Executor, openExecutors } from './executors.js';
import type { ComparedTechnique, CompareResult } from './result.js';

/** Seconds of each executor's turn, and how often it has one. */
const TURN_SECONDS = 0.7;
const ROUNDS = 3;

/** What is the same for all techniques. */
export type SharedOptions = Omit<
  RunOptions,
  'technique' | 'from' | 'input' | 'slices' | 'slicing' | 'firstLayer' | 'rate' | 'floatRate' | 'epochs'
>;

export interface CompareOptions {
  /** all by default; those that one of them begins with come by themselves */
  readonly techniques?: readonly TechniqueName[];
  /** of every technique's training; or `budget` */
  readonly epochs?: number;
  /** seconds that all trainings together may take, about */
  readonly budget?: number;
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
  readonly onNote?: (note: string) => void;
  readonly onTraining?: (technique: TechniqueName, progress: TrainingProgress) => void;
  /** of `testing` and `timing`: done, of all */
  readonly onStage?: (stage: string, done: number, total: number) => void;
}

/** What a comparison was begun with: kept, so that it is continued with the same. */
interface Begun {
  readonly shared: Omit<SharedOptions, 'dataDir'>;
  readonly techniques: readonly TechniqueName[];
  readonly epochs: number;
  readonly stretch: boolean;
}

const withStarts = (chosen: readonly TechniqueName[]): TechniqueName[] =>
  techniqueNames.filter(
    (name) => chosen.includes(name) || chosen.some((other) => techniques[other].startsFrom === name),
  );

/** Runs, or continues, the comparison in `out`; writes compare.json there. */
export async function compare(
  given: SharedOptions,
  out: string,
  options: CompareOptions = {},
): Promise<CompareResult> {
  const { signal, onNote, onTraining, onStage } = options;
  const file = join(out, 'begun.json');
  if (existsSync(file) && !options.resume)
    throw configError(`compare ${out}: already exists; add --resume to continue it, or choose another --out`);
  const hooks = { ...(signal && { signal }), ...(onNote && { onNote }) };
  // The contrast stretch is chosen once, for all.
  const known = existsSync(file) ? (readJson(file) as Begun) : null;
  const shared: SharedOptions = { ...known?.shared, ...given };
  const base: RunOptions = {
    ...shared,
    ...(known && { stretch: known.stretch ? 'on' : 'off' }),
    technique: 'bnn',
  };
  const first = await prepareRun(base, hooks);
  const { dataDir: _, ...kept } = shared;
  const begun = known ?? { shared: kept, ...(await begin(first, options)) };
  checkSame(begun, options, out);
  if (!known) writeJsonAtomic(file, begun);

  const preparedFor = async (technique: TechniqueName): Promise<PreparedRun> => {
    const { startsFrom, afterTraining } = techniques[technique];
    const own: RunOptions = {
      ...shared,
      stretch: begun.stretch ? 'on' : 'off',
      technique,
      ...(!afterTraining && { epochs: begun.epochs }),
      ...(startsFrom && { from: join(out, startsFrom) }),
    };
    checkOptions(own);
    const device = await chooseDevice('auto', { technique });
    const config = await onFittingDevice(buildConfig(own, first.dataset, first, device), 'auto');
    const folder = new RunFolder(join(out, technique));
    if (!existsSync(folder.config))
      return { ...first, config: await measured(config, first.validation, hooks) };
    // What was measured when the run was begun; whether the rest is the same, `trainRun` sees.
    const { pruning } = folder.readConfig();
    return { ...first, config: { ...config, ...(pruning && { pruning }) } };
  };
  // In the order of their names, what others begin with comes before them.
  for (const technique of begun.techniques) {
    const path = join(out, technique);
    const prepared = await preparedFor(technique);
    onNote?.(`${techniques[technique].title}: ${prepared.config.epochs} epochs`);
    await trainRun(prepared.config, prepared, path, shared.dataDir, {
      resume: true,
      ...(signal && { signal }),
      onProgress: (progress) => onTraining?.(technique, progress),
    });
  }

  const { test } = first.dataset;
  const found: Omit<ComparedTechnique, 'times'>[] = [];
  for (const [i, technique] of begun.techniques.entries()) {
    signal?.throwIfAborted();
    const path = join(out, technique);
    const network = finishedNetwork(path);
    const predictions = await network.predict(test, first.config.threads, { ...(signal && { signal }) });
    onStage?.('testing', i + 1, begun.techniques.length);
    const wrong = Math.round((errorRate(predictions, test.labels) * test.count) / 100);
    const { bestEpoch, validationError } = readJson(new RunFolder(path).result) as TrainingResult;
    const { title, source, startsFrom, afterTraining, weightBits, binarySums } = techniques[technique];
    const { precision } = new RunFolder(path).readConfig();
    found.push({
      technique,
      title,
      source,
      run: technique,
      epochs: begun.epochs * (startsFrom && !afterTraining ? 2 : 1),
      bestEpoch,
      validationError,
      test: errorInterval(wrong, test.count),
      weightBits: precision?.weights ?? weightBits,
      activationBits: precision?.activations ?? (binarySums ? 1 : 32),
      bytes: network.bytes,
      weights: network.cost.weights,
      macs: network.cost.macs,
      bitOperations: network.cost.bitOperations,
    });
  }
  const times = await timeAll(begun.techniques, out, first, options);
  const { config, dataset } = first;
  const result: CompareResult = {
    formatVersion: 1,
    dataset: dataset.title,
    classes: dataset.classes.length,
    images: { train: first.train.count, validation: first.validation.count, test: test.count },
    architecture: config.architecture,
    recipe: config.recipe,
    epochs: begun.epochs,
    batch: config.batch,
    seed: config.seed,
    stretch: begun.stretch,
    cpu: cpus()[0]?.model ?? 'unknown',
    versions: { cbnn: VERSION, node: process.versions.node },
    techniques: found.map((one, i) => ({ ...one, times: times[i]! })),
  };
  writeJsonAtomic(join(out, 'compare.json'), result);
  return result;
}

async function begin(first: PreparedRun, options: CompareOptions): Promise<Omit<Begun, 'shared'>> {
  const chosen = withStarts(options.techniques ?? techniqueNames);
  const { epochs, budget, signal } = options;
  const stretch = first.config.input.stretch !== null;
  if (epochs !== undefined || budget === undefined)
    return { techniques: chosen, epochs: epochs ?? first.config.epochs, stretch };
  options.onNote?.('timing a few steps of each technique, to fit the budget');
  const fitting = await epochsWithin(budget, chosen, first, {
    ...(signal && { signal }),
    onStep: (done, total) => options.onStage?.('budget', done, total),
  });
  options.onNote?.(
    `an epoch of all techniques takes ${fitting.secondsPerEpoch.toFixed(0)} s: ${fitting.epochs} epochs each`,
  );
  return { techniques: chosen, epochs: fitting.epochs, stretch };
}

/** A comparison is continued as it was begun; options that are left out take whatever it has. */
function checkSame(begun: Begun, { techniques: chosen, epochs }: CompareOptions, out: string): void {
  const refuse = (what: string, has: unknown, asked: unknown) => {
    throw configError(
      `compare ${out}: was begun with ${what} ${has}, got ${asked}; leave the option out to continue, or choose another --out`,
    );
  };
  if (epochs !== undefined && epochs !== begun.epochs) refuse('epochs', begun.epochs, epochs);
  const wanted = chosen ? withStarts(chosen).join() : begun.techniques.join();
  if (wanted !== begun.techniques.join()) refuse('techniques', begun.techniques.join(), wanted);
}

/** One image at a time on one thread, and batches on all; everything in turns. */
async function timeAll(
  names: readonly TechniqueName[],
  out: string,
  { dataset, config }: PreparedRun,
  { signal, onStage }: CompareOptions,
): Promise<ComparedTechnique['times'][]> {
  const executors: Executor[][] = [];
  for (const name of names)
    executors.push(await openExecutors(join(out, name), dataset.test, config.threads));
  const all = executors.flat();
  try {
    const times = await takeTurns(
      all.map(({ run }) => run),
      {
        rounds: ROUNDS,
        seconds: TURN_SECONDS,
        signal,
        onTurn: (done, total) => onStage?.('timing', done, total),
      },
    );
    let at = 0;
    return executors.map((own) =>
      own.map(({ executor, threads, batch }) => {
        const calls = times[at++]!;
        const of = (share: number) => calls.at(share) / batch;
        return { executor, threads, batch, median: of(0.5), fast: of(0.1), slow: of(0.9) };
      }),
    );
  } finally {
    for (const { close } of all) await close();
  }
}
