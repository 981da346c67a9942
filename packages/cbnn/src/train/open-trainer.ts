/** The one place that knows which trainers there are: what is above it has a plan and gets a `Trainer`. */
import { openDevice } from '../graph/session.js';
import { planOf, type RunConfig } from './config.js';
import { createOnnxTrainer } from './onnx-trainer.js';
import type { Trainer } from './trainer.js';

/** A trainer for `config` with freshly initialized weights, on the configuration's device. */
export async function openTrainer(config: RunConfig): Promise<Trainer> {
  const device = await openDevice(config.device, config.threads);
  return createOnnxTrainer(planOf(config), device, { batch: config.batch, seed: config.seed });
}
