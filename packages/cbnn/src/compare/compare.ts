/**
 * Techniques on the same images: each is trained on the same split, network, augmentation, seed and number of epochs, tested on
 * the same test images, and timed in turns on the best executor that there is for it here, on one thread and on all. A comparison is a folder with a run for
 * each contender; stopped, it goes on where it was.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { configError } from '@cbnn/runtime';
import { takeTurns } from '../bench/turns.js';
import { compact } from '../compact/compact.js';
import { finishedNetwork } from '../cost/finished-network.js';
import { errorRate } from '../predictions.js';
import { processor } from '../processor.js';
import { sensitivityOf } from '../sensitivity/run-sensitivity.js';
import { errorInterval } from '../statistics.js';
import { techniques } from '../techniques/index.js';
import { variations } from '../techniques/variations.js';
import { chooseDevice, onFittingDevice } from '../train/devices.js';
import { allThreads, buildConfig, checkOptions, type RunOptions } from '../train/options.js';
import { measured, type PreparedRun, prepareRun } from '../train/prepare.js';
import { trainRun } from '../train/run.js';
import { RunFolder, readJson, writeJsonAtomic } from '../train/run-folder.js';
import type { TrainingProgress, TrainingResult } from '../train/train.js';
import { VERSION } from '../version.js';
import { COMPACTION_TRIES, epochsWithin } from './budget.js';
import { type Contender, contendersOf, usualContenders } from './contenders.js';
import { type Executor, openExecutors } from './executors.js';
import { numbersText } from './numbers.js';
import { compareCommand, obtained } from './obtained.js';
import type { ComparedTechnique, CompareResult } from './result.js';
import { type Standing, standings } from './standing.js';

/** Turns that each executor has. */
const ROUNDS = 3;

/** What is the same for all techniques. */
export type SharedOptions = Omit<
  RunOptions,
  | 'technique'
  | 'variations'
  | 'from'
  | 'teacher'
  | 'sparsity'
  | 'rounds'
  | 'weightBits'
  | 'activationBits'
  | 'input'
  | 'code'
  | 'slices'
  | 'slicing'
  | 'firstLayer'
  | 'rate'
  | 'floatRate'
  | 'epochs'
>;

export interface CompareOptions {
  /** as contenders.ts reads them; those that one of them builds on come by themselves */
  readonly contenders?: readonly string[];
  /** of every technique's training; or `budget` */
  readonly epochs?: number;
  /** seconds that all trainings together may take, about; it is turned into epochs once, when the comparison begins */
  readonly budget?: number;
  /** goes on with what is in the folder, as it was begun; begins where nothing is */
  readonly resume?: boolean;
  /** of each executor's turns, when times are measured; 0.7 by default */
  readonly turnSeconds?: number;
  readonly signal?: AbortSignal;
  readonly onNote?: (note: string) => void;
  readonly onTraining?: (contender: string, progress: TrainingProgress) => void;
  /** of all contenders: when the comparison begins or goes on, and whenever one of them has finished */
  readonly onStanding?: (standings: readonly Standing[]) => void;
  /** of `testing` and `timing`: done, of all */
  readonly onStage?: (stage: string, done: number, total: number) => void;
}

/** What a comparison was begun with: kept, so that it is continued with the same. */
interface Begun {
  readonly shared: Omit<SharedOptions, 'dataDir'>;
  readonly contenders: readonly string[];
  readonly epochs: number;
  /** seconds that the epochs were fitted into; absent: they were given */
  readonly budget?: number;
  readonly stretch: boolean;
  /** whether trials chose the stretch; absent: begun before that was noted */
  readonly stretchTried?: boolean;
}

function readBegun(file: string): Begun {
  const begun = readJson(file) as Partial<Begun>;
  if (!begun.contenders)
    throw configError(`${file}: is of an older comparison; begin anew with another --out`);
  return begun as Begun;
}

const begunFile = (out: string): string => join(out, 'begun.json');

/** Whether there is a comparison in `out` to be continued: its epochs are settled. */
export const isBegun = (out: string): boolean => existsSync(begunFile(out));

/** Runs, or continues, the comparison in `out`; writes compare.json there. */
export async function compare(
  given: SharedOptions,
  out: string,
  options: CompareOptions = {},
): Promise<CompareResult> {
  const { signal, onNote, onTraining, onStage } = options;
  const file = begunFile(out);
  if (existsSync(file) && !options.resume)
    throw configError(`compare ${out}: already exists; add --resume to continue it, or choose another --out`);
  const hooks = { ...(signal && { signal }), ...(onNote && { onNote }) };
  // The contrast stretch is chosen once, for all.
  const known = existsSync(file) ? readBegun(file) : null;
  if (options.epochs !== undefined && options.budget !== undefined)
    throw configError('budget: is for who leaves the epochs open; leave --budget or --epochs out');
  if (known) checkSame(known, given, options, out);
  const shared: SharedOptions = { ...known?.shared, ...given };
  const base: RunOptions = {
    ...shared,
    ...(known && { stretch: known.stretch ? 'on' : 'off' }),
    technique: 'bnn',
  };
  const first = await prepareRun(base, hooks);
  const { dataDir: _, ...kept } = shared;
  const begun = known ?? { shared: kept, ...(await begin(first, shared.device, options)) };
  const contenders = contendersOf(begun.contenders);
  const optionsFor = ({
    technique,
    from,
    teacher,
    options: own,
  }: Contender): RunOptions & Contender['options'] => ({
    ...shared,
    ...own,
    stretch: begun.stretch ? 'on' : 'off',
    technique,
    ...(!techniques[technique].afterTraining && { epochs: begun.epochs }),
    ...(from && { from: join(out, from) }),
    ...(teacher && { teacher: join(out, teacher) }),
  });
  // What cannot be is refused before the first of many trainings.
  for (const contender of contenders) if (!contender.compacts) checkOptions(optionsFor(contender));
  if (!known) writeJsonAtomic(file, begun);

  const preparedFor = async (contender: Contender): Promise<PreparedRun> => {
    const whole = optionsFor(contender);
    const asked = shared.device ?? 'auto';
    const device = await chooseDevice(asked, { ...whole, technique: contender.technique }, (note) =>
      onNote?.(`${contender.name}: ${note}`),
    );
    const config = await onFittingDevice(buildConfig(whole, first.dataset, first, device), asked, onNote);
    const folder = new RunFolder(join(out, contender.name));
    if (!existsSync(folder.config))
      return { ...first, config: await measured(config, first.validation, hooks) };
    // What was measured when the run was begun, and the rates of then: a recipe's best-known ones change. A contender's own are in its
    // name. Whether the rest is the same, `trainRun` sees.
    const { pruning, schedule } = folder.readConfig();
    return { ...first, config: { ...config, schedule, ...(pruning && { pruning }) } };
  };
  let shown = '';
  const show = () => {
    const all = standings(out, contenders, begun.epochs);
    const text = JSON.stringify(all);
    if (text !== shown) options.onStanding?.(all);
    shown = text;
  };
  show();
  const finished: { contender: Contender; run: string }[] = [];
  for (const contender of contenders) {
    const { name, compacts } = contender;
    const onProgress = (progress: TrainingProgress) => onTraining?.(name, progress);
    if (compacts) {
      const run = await compacted(join(out, compacts), first, {
        ...options,
        epochs: begun.epochs,
        onProgress,
      });
      if (run) finished.push({ contender, run: join(compacts, 'compact', run) });
      else onNote?.(`${name}: no smaller network is within a point of ${compacts}; left out`);
      show();
      continue;
    }
    const prepared = await preparedFor(contender);
    onNote?.(`${name}: ${prepared.config.epochs} epochs`);
    await trainRun(prepared.config, prepared, join(out, name), shared.dataDir, {
      resume: true,
      ...(signal && { signal }),
      onProgress,
    });
    finished.push({ contender, run: name });
    show();
  }

  const words = { data: shared.data, dataDir: shared.dataDir, out, validationImages: first.validation.count };
  const { test } = first.dataset;
  const found: Omit<ComparedTechnique, 'times'>[] = [];
  for (const [i, { contender, run }] of finished.entries()) {
    signal?.throwIfAborted();
    const { name, technique } = contender;
    const path = join(out, run);
    const network = finishedNetwork(path);
    const predictions = await network.predict(test, first.config.threads, { ...(signal && { signal }) });
    onStage?.('testing', i + 1, finished.length);
    const wrong = Math.round((errorRate(predictions, test.labels) * test.count) / 100);
    const { bestEpoch, validationError } = readJson(new RunFolder(path).result) as TrainingResult;
    const { title, source, afterTraining, weightBits, binarySums, binaryActivations } = techniques[technique];
    const { precision } = new RunFolder(path).readConfig();
    found.push({
      name,
      technique,
      title: [title, ...settingsOf(contender)].join('; '),
      source,
      run,
      ...obtained(contender, run, words),
      epochs: begun.epochs * (1 + Number(!!contender.from && !afterTraining) + Number(!!contender.compacts)),
      bestEpoch,
      validationError,
      test: errorInterval(wrong, test.count),
      weightBits: precision?.weights ?? weightBits,
      activationBits: precision?.activations ?? (binarySums || binaryActivations ? 1 : 32),
      bytes: network.bytes,
      weights: network.cost.weights,
      nonzeroWeights: network.nonzeroWeights,
      macs: network.cost.macs,
      bitOperations: network.cost.bitOperations,
    });
  }
  const times = await timeAll(
    finished.map(({ run }) => join(out, run)),
    first,
    options,
  );
  const { config, dataset } = first;
  const result: CompareResult = {
    formatVersion: 2,
    dataset: dataset.title,
    classes: dataset.classes.length,
    images: { train: first.train.count, validation: first.validation.count, test: test.count },
    architecture: config.architecture,
    recipe: config.recipe,
    epochs: begun.epochs,
    batch: config.batch,
    seed: config.seed,
    stretch: begun.stretch,
    stretchTried: begun.stretchTried ?? false,
    cpu: processor(),
    threads: { training: config.threads, timing: allThreads() },
    versions: { cbnn: VERSION, node: process.versions.node },
    command: compareCommand(words, config, begun.contenders, begun.epochs),
    techniques: found.map((one, i) => ({ ...one, times: times[i]! })),
  };
  writeJsonAtomic(join(out, 'compare.json'), result);
  return result;
}

async function begin(
  first: PreparedRun,
  device: SharedOptions['device'],
  options: CompareOptions,
): Promise<Omit<Begun, 'shared'>> {
  const { epochs, budget, signal } = options;
  const chosen = contendersOf(options.contenders ?? usualContenders);
  const same = {
    contenders: chosen.map(({ name }) => name),
    stretch: first.config.input.stretch !== null,
    stretchTried: first.stretchChoice !== null,
  };
  if (epochs !== undefined || budget === undefined) return { ...same, epochs: epochs ?? first.config.epochs };
  options.onNote?.('timing a few steps of each, to fit the budget');
  const fitting = await epochsWithin(budget, chosen, first, {
    ...(device && { device }),
    ...(signal && { signal }),
    onStep: (done, total) => options.onStage?.('budget', done, total),
  });
  options.onNote?.(
    `an epoch of all takes ${fitting.secondsPerEpoch.toFixed(0)} s: ${fitting.epochs} epochs each`,
  );
  return { ...same, epochs: fitting.epochs, budget };
}

const formatSeconds = (seconds: number): string => `${Math.round(seconds)} s`;

const hasOf = ({ epochs, budget }: Begun): string =>
  budget === undefined ? String(epochs) : `${formatSeconds(budget)}, which made ${epochs} epochs`;

/** A comparison is continued as it was begun; options that are left out take whatever it has. */
function checkSame(
  begun: Begun,
  { stretch }: SharedOptions,
  { contenders, epochs, budget }: CompareOptions,
  out: string,
): void {
  const refuse = (what: string, has: unknown, asked: unknown) => {
    throw configError(
      `compare ${out}: was begun with ${what} ${has}, got ${asked}; leave the option out to continue, or choose another --out`,
    );
  };
  if (epochs !== undefined && epochs !== begun.epochs) refuse('epochs', begun.epochs, epochs);
  // What is left of it nobody has measured: the epochs stay.
  if (budget !== undefined && budget !== begun.budget)
    refuse(
      begun.budget === undefined ? 'epochs' : 'a budget of',
      hasOf(begun),
      `a budget of ${formatSeconds(budget)}`,
    );
  const has = begun.stretch ? 'on' : 'off';
  if ((stretch === 'on' || stretch === 'off') && stretch !== has) refuse('stretch', has, stretch);
  if (!contenders) return;
  const wanted = contendersOf(contenders).map(({ name }) => name);
  if (wanted.join() !== begun.contenders.join()) refuse('techniques', begun.contenders.join(), wanted.join());
}

/** In words, what a contender sets otherwise. */
const settingsOf = ({ compacts, technique, options }: Contender): string[] =>
  compacts
    ? [
        'compacted: slices that do not matter dropped, shrunk and retrained while validation images lose at most a point',
      ]
    : [
        ...(options.variations ?? []).map((variation) => variations[variation].title),
        ...numbersText(options, technique),
      ];

/** The run under `path`/compact that a compaction of the bnn in `path` chooses; null where it finds none. */
async function compacted(
  path: string,
  images: PreparedRun,
  {
    epochs,
    signal,
    onStage,
    onProgress,
  }: CompareOptions & { epochs: number; onProgress: (progress: TrainingProgress) => void },
): Promise<string | null> {
  const config = new RunFolder(path).readConfig();
  const stop = signal ? { signal } : {};
  const sensitivity = await sensitivityOf(path, images, {
    seeds: 1,
    threads: config.threads,
    ...stop,
    onProgress: (done, total) => onStage?.('sensitivity', done, total),
  });
  const { chosen, tries } = await compact(path, config, images, sensitivity, {
    epochs,
    maxTries: COMPACTION_TRIES,
    // The paper's reading; what became of the error on test images stands in the result.
    acceptance: 'estimate',
    ...stop,
    onProgress: (event) => event.kind === 'training' && onProgress(event.progress),
  });
  return tries.find(({ id }) => id === chosen)?.run ?? null;
}

/**
 * One image at a time on one thread, batches on one and on all, whatever training had; everything in turns. What a technique may run
 * on competes.
 */
async function timeAll(
  paths: readonly string[],
  { dataset }: PreparedRun,
  { signal, onStage, turnSeconds = 0.7 }: CompareOptions,
): Promise<ComparedTechnique['times'][]> {
  const executors: Executor[][] = [];
  for (const path of paths) executors.push(await openExecutors(path, dataset.test, allThreads()));
  const all = executors.flat();
  try {
    const times = await takeTurns(
      all.map(({ run }) => run),
      {
        rounds: ROUNDS,
        seconds: turnSeconds,
        signal,
        onTurn: (done, total) => onStage?.('timing', done, total),
      },
    );
    let at = 0;
    return executors.map((own) => {
      const measured = own.map(({ executor, threads, batch }) => {
        const calls = times[at++]!;
        const of = (share: number) => calls.at(share) / batch;
        return { executor, threads, batch, median: of(0.5), fast: of(0.1), slow: of(0.9) };
      });
      // Not all executors have as many threads as there are.
      const callsOf = (one: { batch: number; threads: number }) => `${one.batch} ${one.threads > 1}`;
      return [...new Set(measured.map(callsOf))].map((calls) => {
        const alike = measured.filter((one) => callsOf(one) === calls).sort((a, b) => a.median - b.median);
        const others = alike.slice(1).map(({ executor, threads, median }) => ({ executor, threads, median }));
        return { ...alike[0]!, others };
      });
    });
  } finally {
    for (const { close } of all) await close();
  }
}
