/**
 * The training loop: epochs of steps, a validation after each, checkpoints in between.
 *
 * A run is a function of its configuration and its images: shuffles, augmentation and initialization all derive from
 * the seed, and a checkpoint holds the exact state between two steps, so a killed run continues bit-equal.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { configError, dataError } from '@cbnn/runtime';
import type { ImageSet } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import { names } from '../graph/names.js';
import { ratesAt } from '../nn/recipes.js';
import type { TrainingState } from '../nn/state.js';
import { errorRate } from '../predictions.js';
import { techniques } from '../techniques/index.js';
import { TrainingBatches } from './batches.js';
import type { RunConfig } from './config.js';
import { openTrainer } from './open-trainer.js';
import { lastRoundBegins, prune, roundBeginning } from './pruning.js';
import {
  CheckpointWriter,
  type Position,
  RunFolder,
  readCheckpoint,
  readJson,
  writeFileAtomic,
} from './run-folder.js';
import { openTeacher, type Teacher } from './teacher.js';
import type { GradientReport, StepResult, Trainer } from './trainer.js';

/** One line of metrics.jsonl, written after every epoch. Errors in percent. */
export interface EpochMetrics {
  readonly epoch: number;
  readonly loss: number;
  readonly trainError: number;
  readonly validationError: number;
  /** learning rate of latent weights in the epoch's last step (techniques without: of all weights) */
  readonly rate: number;
  /** 0 of an epoch that was only validated since the run went on; its `gradients` are missing then */
  readonly imagesPerSecond: number;
  readonly seconds: number;
  /** what trained it: a run may be continued on another device */
  readonly device: RunConfig['device'];
  /** per kernel layer, in the epoch's last step, where gradients are rounded to 8 bits */
  readonly gradients?: readonly GradientReport[];
}

export interface TrainingProgress {
  readonly phase: 'training' | 'validating';
  /** 1 .. epochs */
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  /** percent, this epoch so far */
  readonly trainError: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
  /** of the last epoch that was validated */
  readonly last: EpochMetrics | null;
}

export interface TrainOptions {
  /** continue from the folder's checkpoint if there is one */
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainingProgress) => void;
  /** called once, with what runs the training */
  readonly onStart?: (description: string) => void;
  /** weights and statistics to start from instead of random ones; moments start at zero */
  readonly initial?: TrainingState;
  /** seconds between checkpoints inside an epoch; 60 by default, 0 writes one after every step */
  readonly checkpointSeconds?: number;
}

export interface TrainingResult {
  readonly epochs: number;
  readonly bestEpoch: number;
  /** what trained it, e.g. `cpu: ONNX Runtime 1.30.0 native, 2 threads` */
  readonly engine: string;
  /** percent, at the best epoch */
  readonly validationError: number;
}

/**
 * Trains `config` on `train`, choosing the best epoch on `validation`, in the folder `path`.
 * Throws a config error when the folder already holds a run and `resume` is not set, or another run.
 */
export async function train(
  config: RunConfig,
  images: { readonly train: ImageSet; readonly validation: ImageSet },
  path: string,
  options: TrainOptions = {},
): Promise<TrainingResult> {
  if (images.train.count < config.batch)
    throw dataError(
      `training: expected at least one batch of ${config.batch} images, got ${images.train.count}`,
    );
  const folder = new RunFolder(path);
  folder.begin(config, options.resume === true);
  const trainer = await openTrainer(config);
  let teacher: Teacher | null = null;
  options.onStart?.(trainer.description);
  try {
    let position: Position = { epoch: 0, step: 0, lossSum: 0, correct: 0, best: null, metricsLines: 0 };
    if (existsSync(folder.checkpoint)) {
      const saved = readCheckpoint(folder.checkpoint);
      trainer.restore(saved.state);
      position = saved.position;
    } else if (options.initial) {
      trainer.restore(options.initial);
    }
    const left = position.epoch < config.epochs;
    if (left) {
      folder.moveTo(config);
      teacher = await openTeacher(config);
    }
    const result = await runEpochs(config, images, folder, { trainer, teacher }, position, options);
    // A finished run stays one of what trained it.
    const known = left || !existsSync(folder.result) ? null : (readJson(folder.result) as TrainingResult);
    return known ? { ...result, engine: known.engine } : result;
  } finally {
    await trainer.close();
    await teacher?.close();
  }
}

async function runEpochs(
  config: RunConfig,
  images: { readonly train: ImageSet; readonly validation: ImageSet },
  folder: RunFolder,
  { trainer, teacher }: { readonly trainer: Trainer; readonly teacher: Teacher | null },
  start: Position,
  options: TrainOptions,
): Promise<TrainingResult> {
  const { epochs, batch, augmentation, seed, schedule, calibrationBatches } = config;
  const batches = new TrainingBatches(preparedSet(images.train, config.input), batch, augmentation, seed);
  const validation = preparedSet(images.validation, config.input);
  const { steps } = batches;
  let { epoch, step, lossSum, correct, best, metricsLines } = start;
  let last = truncateMetrics(folder, metricsLines);
  let lastCheckpoint = Date.now();
  const begun = Date.now();
  const doneBefore = epoch * steps + step;
  const writer = new CheckpointWriter();
  const save = async () => {
    const position = { epoch, step, lossSum, correct, best, metricsLines };
    await writer.write(folder.checkpoint, trainer.state(), position);
    lastCheckpoint = Date.now();
  };
  /** Keeps all that is done, and throws. */
  const stop = async (signal: AbortSignal) => {
    // Also of a best epoch's weights: a position that names them is not written without them.
    await writer.finish();
    await save();
    await writer.finish();
    signal.throwIfAborted();
  };
  const validate = async (): Promise<number> => {
    const { signal } = options;
    function* calibration() {
      for (let i = 0; i < Math.min(calibrationBatches, steps); i++) {
        signal?.throwIfAborted();
        yield batches.get(epoch, i);
      }
    }
    if (calibrationBatches > 0) await trainer.calibrate(calibration());
    return errorRate(await trainer.classify(validation, signal), validation.labels);
  };
  const report = (phase: TrainingProgress['phase']) => {
    const done = epoch * steps + step;
    const seconds = (Date.now() - begun) / 1000;
    const perStep = seconds / Math.max(1, done - doneBefore);
    options.onProgress?.({
      phase,
      epoch: epoch + 1,
      epochs,
      step,
      steps,
      loss: lossSum / Math.max(1, step),
      trainError: 100 * (1 - correct / Math.max(1, step * batch)),
      imagesPerSecond: batch / perStep,
      secondsLeft: perStep * (epochs * steps - done),
      last,
    });
  };

  try {
    while (epoch < epochs) {
      const epochBegun = Date.now();
      const round =
        config.pruning && step === 0 ? roundBeginning(epoch, epochs, config.pruning.rounds) : null;
      if (round !== null) prune(trainer.state(), config.pruning!, round);
      const firstStep = step;
      let gradients: StepResult['gradients'];
      let next = step < steps ? batches.get(epoch, step) : null;
      while (next) {
        if (options.signal?.aborted) await stop(options.signal);
        const number = epoch * steps + step + 1;
        const taught = teacher ? await teacher.teach(next) : next;
        const running = trainer.step(taught, ratesAt(schedule, number, steps, epochs), number);
        step++;
        // Made while the step runs on threads of its own.
        next = step < steps ? batches.get(epoch, step) : null;
        const result = await running;
        gradients = result.gradients;
        lossSum += result.loss;
        correct += result.correct;
        report('training');
        if (Date.now() - lastCheckpoint >= 1000 * (options.checkpointSeconds ?? 60)) await save();
        // ONNX Runtime's step blocks the event loop: let timers, signals and servers have their turn.
        await new Promise(setImmediate);
      }
      const seconds = (Date.now() - epochBegun) / 1000;
      report('validating');
      const validationError = await validate().catch(async (error: unknown) => {
        if (options.signal?.aborted && error === options.signal.reason) await stop(options.signal);
        throw error;
      });
      last = {
        epoch: epoch + 1,
        loss: lossSum / steps,
        trainError: 100 * (1 - correct / (steps * batch)),
        validationError,
        rate: ratesAt(schedule, (epoch + 1) * steps, steps, epochs)[
          techniques[config.technique].latentWeights ? 'binary' : 'float'
        ],
        // Of an epoch whose last step was done before, no time was measured.
        imagesPerSecond: steps > firstStep ? ((steps - firstStep) * batch) / seconds : 0,
        seconds,
        device: config.device,
        ...(gradients && { gradients }),
      };
      // `<=` as in the paper's code: of equal epochs the later one counts.
      // Of a pruned network only epochs with all that is to go gone count.
      const isWhole = !config.pruning || epoch >= lastRoundBegins(epochs, config.pruning.rounds);
      if (isWhole && (!best || validationError <= best.validationError)) {
        best = { epoch: epoch + 1, validationError };
        const weights = new Map([...trainer.state()].filter(([name]) => !names.isTraining(name)));
        await writer.write(folder.best, weights, {
          epoch: epoch + 1,
          step: 0,
          lossSum: 0,
          correct: 0,
          best,
          metricsLines: 0,
        });
      }
      appendFileSync(folder.metrics, `${JSON.stringify(last)}\n`);
      metricsLines++;
      report('validating');
      epoch++;
      step = 0;
      lossSum = 0;
      correct = 0;
      await save();
    }
    await writer.finish();
  } finally {
    // Nobody else may begin on these files while one is still being written.
    await writer.finish().catch(() => {});
  }
  if (!best) throw configError('training: no epoch was run');
  return {
    epochs,
    bestEpoch: best.epoch,
    engine: trainer.description,
    validationError: best.validationError,
  };
}

/** Drops lines that a killed run wrote after its last checkpoint; returns the last line that stays. */
function truncateMetrics(folder: RunFolder, lines: number): EpochMetrics | null {
  const kept = existsSync(folder.metrics)
    ? readFileSync(folder.metrics, 'utf8').split('\n').slice(0, lines)
    : [];
  writeFileAtomic(folder.metrics, kept.map((line) => `${line}\n`).join(''));
  const last = kept.at(-1);
  return last ? (JSON.parse(last) as EpochMetrics) : null;
}
