/** The one place that knows which trainers there are: what is above it has a plan and gets a `Trainer`. */

import { openDevice } from '../graph/session.js';
import { techniqueOf } from '../techniques/index.js';
import { planOf, type RunConfig } from './config.js';
import { chooseDevice } from './devices.js';
import { createNativeTrainer } from './native-trainer.js';
import { createOnnxTrainer } from './onnx-trainer.js';
import { createRealTrainer } from './real-trainer.js';
import type { Trainer } from './trainer.js';

/** A trainer for `config` with freshly initialized weights, on the configuration's device. */
export async function openTrainer(config: RunConfig): Promise<Trainer> {
  const plan = planOf(config);
  if (config.device === 'native') {
    await chooseDevice('native', config);
    const { nativeStep } = techniqueOf(plan);
    return (nativeStep === 'integers' ? createNativeTrainer : createRealTrainer)(plan, config);
  }
  const device = await openDevice(config.device, config.threads);
  return createOnnxTrainer(plan, device, { batch: config.batch, seed: config.seed });
}
