/** Decides by two short trainings whether the contrast stretch helps: recipe `modern` asks validation images. */
import type { Stretch } from '@cbnn/runtime';
import { type ImageSet, takeImages } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import { ratesAt } from '../nn/recipes.js';
import { errorRate } from '../predictions.js';
import { Random } from '../random.js';
import { TrainingBatches } from './batches.js';
import type { RunConfig } from './config.js';
import { openTrainer } from './open-trainer.js';

export interface StretchChoice {
  readonly stretch: Stretch | null;
  /** validation errors of the short trainings, percent */
  readonly errorWith: number;
  readonly errorWithout: number;
}

const TRAINING_IMAGES = 4000;
const VALIDATION_IMAGES = 2000;
const EPOCHS = 3;
const TRIAL = 5;

/** The stretch is taken when it lowers the error; on a tie it is left out. */
export async function chooseStretch(
  config: RunConfig,
  images: { readonly train: ImageSet; readonly validation: ImageSet },
  stretch: Stretch,
  options: {
    readonly signal?: AbortSignal;
    /** steps done in both trainings, of all */
    readonly onProgress?: (done: number, total: number) => void;
  } = {},
): Promise<StretchChoice> {
  const sample = (set: ImageSet, count: number): ImageSet =>
    set.count <= count
      ? set
      : takeImages(set, new Random(config.seed, TRIAL).permutation(set.count).subarray(0, count));
  const train = sample(images.train, Math.max(TRAINING_IMAGES, 4 * config.batch));
  const validation = sample(images.validation, VALIDATION_IMAGES);
  const trial = async (tried: Stretch | null, number: number): Promise<number> => {
    const trainer = await openTrainer(config);
    try {
      const batches = new TrainingBatches(
        preparedSet(train, { ...config.input, stretch: tried }),
        config.batch,
        config.augmentation,
        config.seed,
      );
      const { steps } = batches;
      for (let i = 0; i < EPOCHS * steps; i++) {
        options.signal?.throwIfAborted();
        options.onProgress?.(number * EPOCHS * steps + i, 2 * EPOCHS * steps);
        const rates = ratesAt(config.schedule, i + 1, steps, EPOCHS);
        await trainer.step(batches.get(Math.floor(i / steps), i % steps), rates, i + 1);
      }
      options.onProgress?.((number + 1) * EPOCHS * steps, 2 * EPOCHS * steps);
      await trainer.calibrate(Array.from({ length: Math.min(10, steps) }, (_, i) => batches.get(0, i)));
      const prepared = preparedSet(validation, { ...config.input, stretch: tried });
      return errorRate(await trainer.classify(prepared), validation.labels);
    } finally {
      await trainer.close();
    }
  };
  const errorWithout = await trial(null, 0);
  const errorWith = await trial(stretch, 1);
  return { stretch: errorWith < errorWithout ? stretch : null, errorWith, errorWithout };
}
