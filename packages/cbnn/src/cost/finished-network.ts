/** A finished network as users compare them, whatever its technique: what it takes in, what it costs, what it predicts. */
import { existsSync, statSync } from 'node:fs';
import type { InputSpec, LayerSpec } from '@cbnn/runtime';
import { type ImageSet, takeImages } from '../data/dataset.js';
import { stretchSet } from '../data/stretch-set.js';
import { predictPacked } from '../engines/evaluate.js';
import type { ImagesOptions } from '../engines/packed-engine.js';
import { planOf } from '../train/config.js';
import { checkFinished, loadTrainer, readModel } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { modelCost, type NetworkCost, networkCost, uniformStorage } from './cost.js';

/** Images between two looks at the abort signal. */
const PART = 1000;

export interface FinishedNetwork {
  readonly input: InputSpec;
  readonly layers: readonly LayerSpec[];
  readonly cost: NetworkCost;
  /** of the packed model's file; of float32 weights and folded batch norms where the technique has no packed form */
  readonly bytes: number;
  readonly isPacked: boolean;
  /** Classes of raw images, `[count]`: by the packed model, else by the training graph in evaluation mode. */
  predict(images: ImageSet, threads: number, options?: ImagesOptions): Promise<Uint16Array>;
}

/** Opens a finished run, or a packed model file. Throws a config error where there is none. */
export function finishedNetwork(path: string): FinishedNetwork {
  const folder = new RunFolder(path);
  if (existsSync(folder.config) && folder.readConfig().technique === 'float') return floatNetwork(folder);
  const model = readModel(path);
  return {
    input: model.input,
    layers: model.layers,
    cost: modelCost(model),
    bytes: statSync(existsSync(folder.config) ? folder.model : path).size,
    isPacked: true,
    predict: (images, threads, options) => predictPacked(model, images, threads, options),
  };
}

function floatNetwork(folder: RunFolder): FinishedNetwork {
  checkFinished(folder.path);
  const config = folder.readConfig();
  const { input, layers } = planOf(config);
  const cost = networkCost(input, layers, uniformStorage(layers, 32));
  return {
    input,
    layers,
    cost,
    bytes: cost.bytes,
    isPacked: false,
    async predict(images, _, { signal, onProgress } = {}) {
      const trainer = await loadTrainer(folder.path);
      try {
        const stretched = stretchSet(images, input.stretch);
        const predictions = new Uint16Array(images.count);
        for (let start = 0; start < images.count; start += PART) {
          signal?.throwIfAborted();
          const part = takeImages(
            stretched,
            Uint32Array.from({ length: Math.min(PART, images.count - start) }, (_value, n) => start + n),
          );
          predictions.set(await trainer.classify(part), start);
          onProgress?.(start + part.count, images.count);
        }
        return predictions;
      } finally {
        await trainer.close();
      }
    },
  };
}
