/** How many epochs fit into a time: a few steps of every technique, timed. */
import { configError } from '@cbnn/runtime';
import type { TechniqueName } from '../nn/plan.js';
import { techniques } from '../techniques/index.js';
import { TrainingBatches } from '../train/batches.js';
import type { RunConfig } from '../train/config.js';
import { chooseDevice, onFittingDevice } from '../train/devices.js';
import { openTrainer } from '../train/open-trainer.js';
import type { PreparedRun } from '../train/prepare.js';

/** Steps before the clock, and on it. */
const WARM_STEPS = 1;
const TIMED_STEPS = 3;
/** Share of the budget that training may take; the rest is for validation, tests and timing. */
const TRAINING_SHARE = 0.85;

/** Throws a config error where not even one epoch of each fits. */
export async function epochsWithin(
  budget: number,
  names: readonly TechniqueName[],
  { config, train }: PreparedRun,
  options: { readonly signal?: AbortSignal; readonly onStep?: (done: number, total: number) => void },
): Promise<{ epochs: number; secondsPerEpoch: number }> {
  let seconds = 0;
  for (const [i, technique] of names.entries()) {
    options.signal?.throwIfAborted();
    const { firstLayers, input, afterTraining } = techniques[technique];
    if (afterTraining) continue;
    const own: RunConfig = {
      ...config,
      technique,
      firstLayer: firstLayers[0],
      input: { ...config.input, ...(input === '8-bit' && { encoding: '8-bit', slices: [] }) },
      ...(input === '8-bit' && { slicing: 'equal' }),
      device: await chooseDevice('auto', { technique }),
    };
    const trainer = await openTrainer(await onFittingDevice(own, 'auto'));
    try {
      const batches = new TrainingBatches(train, config.batch, config.augmentation, config.seed);
      let begun = 0;
      for (let step = 1; step <= WARM_STEPS + TIMED_STEPS; step++) {
        if (step === WARM_STEPS + 1) begun = performance.now();
        await trainer.step(
          batches.get(0, (step - 1) % batches.steps),
          { binary: 0, float: 0, progress: 0 },
          step,
        );
      }
      seconds += ((performance.now() - begun) / 1000 / TIMED_STEPS) * batches.steps;
    } finally {
      await trainer.close();
    }
    options.onStep?.(i + 1, names.length);
  }
  const epochs = Math.floor((TRAINING_SHARE * budget) / seconds);
  if (epochs < 1)
    throw configError(
      `budget: an epoch of all techniques takes ${Math.ceil(seconds)} s here; expected at least ${Math.ceil(seconds / TRAINING_SHARE)} s, got ${Math.round(budget)} s; use fewer --techniques, a smaller --width or --limit`,
    );
  return { epochs, secondsPerEpoch: seconds };
}
