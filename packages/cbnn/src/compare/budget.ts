/** How many epochs fit into a time: a few steps of every contender, timed. */
import { allSlices, configError, parseSlices } from '@cbnn/runtime';
import { recipes } from '../nn/recipes.js';
import { techniques } from '../techniques/index.js';
import { TrainingBatches } from '../train/batches.js';
import type { RunConfig } from '../train/config.js';
import { chooseDevice, onFittingDevice, type TrainingDevice } from '../train/devices.js';
import { openTrainer } from '../train/open-trainer.js';
import type { PreparedRun } from '../train/prepare.js';
import { type Contender, contenderOf } from './contenders.js';

/** Steps before the clock, and on it. */
const WARM_STEPS = 1;
const TIMED_STEPS = 3;
/** Share of the budget that training may take; the rest is for validation, tests and timing. */
const TRAINING_SHARE = 0.85;

/** Networks that a compaction retrains at most here. */
export const COMPACTION_TRIES = 4;

/** The configuration that a contender's steps are timed with: its network, whatever it begins with. */
async function trialOf(contender: Contender, config: RunConfig, asked: TrainingDevice): Promise<RunConfig> {
  const { technique, options } = contender;
  const { firstLayers, input } = techniques[technique];
  const { channels } = config.input;
  const encoding = options.input ?? input;
  const isSliced = encoding === 'bit-slices';
  const slices = options.slices ? parseSlices(options.slices, channels) : allSlices(channels);
  const own: RunConfig = {
    ...config,
    technique,
    ...(options.variations && { variations: [...options.variations] }),
    ...(technique === 'ttq' && options.sparsity !== undefined && { ternarySparsity: options.sparsity }),
    firstLayer: options.firstLayer ?? firstLayers[0],
    input: { ...config.input, encoding, slices: isSliced ? [...slices] : [] },
    slicing: options.slicing ?? (isSliced ? recipes[config.recipe].slicing : 'equal'),
    device: await chooseDevice(asked, { technique, ...options }),
  };
  return onFittingDevice(own, asked);
}

/** Throws a config error where not even one epoch of each fits. */
export async function epochsWithin(
  budget: number,
  contenders: readonly Contender[],
  { config, train }: PreparedRun,
  {
    device = 'auto',
    signal,
    onStep,
  }: {
    /** what all are trained on */
    readonly device?: TrainingDevice;
    readonly signal?: AbortSignal;
    readonly onStep?: (done: number, total: number) => void;
  },
): Promise<{ epochs: number; secondsPerEpoch: number }> {
  let seconds = 0;
  for (const [i, contender] of contenders.entries()) {
    signal?.throwIfAborted();
    if (techniques[contender.technique].afterTraining) continue;
    const trainer = await openTrainer(await trialOf(contender, config, device));
    const runs = contender.compacts ? COMPACTION_TRIES : 1;
    const teacher = contender.teacher
      ? await openTrainer(await trialOf(contenderOf(contender.teacher), config, device))
      : null;
    try {
      const batches = new TrainingBatches(train, config.batch, config.augmentation, config.seed);
      let begun = 0;
      for (let step = 1; step <= WARM_STEPS + TIMED_STEPS; step++) {
        if (step === WARM_STEPS + 1) begun = performance.now();
        const batch = batches.get(0, (step - 1) % batches.steps);
        // What a teacher says of a batch takes about as long as one that knows nothing yet.
        await teacher?.classify(batch);
        await trainer.step(batch, { binary: 0, float: 0, progress: 0 }, step);
      }
      seconds += runs * ((performance.now() - begun) / 1000 / TIMED_STEPS) * batches.steps;
    } finally {
      await trainer.close();
      await teacher?.close();
    }
    onStep?.(i + 1, contenders.length);
  }
  const epochs = Math.floor((TRAINING_SHARE * budget) / seconds);
  if (epochs < 1)
    throw configError(
      `budget: an epoch of all of them takes ${Math.ceil(seconds)} s here; expected at least ${Math.ceil(seconds / TRAINING_SHARE)} s, got ${Math.round(budget)} s; use fewer --techniques, a smaller --width or --limit`,
    );
  return { epochs, secondsPerEpoch: seconds };
}
