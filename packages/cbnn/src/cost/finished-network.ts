/** A finished network as users compare them, whatever its technique: what it takes in, what it costs, what it predicts. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { configError, type InputSpec, type LayerSpec, modelShapes } from '@cbnn/runtime';
import { type ImageSet, takeImages } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import { predictPacked } from '../engines/evaluate.js';
import type { ImagesOptions } from '../engines/packed-engine.js';
import { decodeNetwork, openNetwork, type StoredNetwork } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';
import { checkFinished, readModel } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { modelCost, type NetworkCost, networkCost } from './cost.js';
import { techniqueStorage } from './technique-storage.js';

/** Images between two looks at the abort signal. */
const PART = 1000;

export interface FinishedNetwork {
  readonly input: InputSpec;
  readonly layers: readonly LayerSpec[];
  readonly cost: NetworkCost;
  /** weights that are not 0, of `cost.weights`: what is left of a pruned network */
  readonly nonzeroWeights: number;
  /** of the packed model's file, or of the network's where the technique has no packed form */
  readonly bytes: number;
  readonly isPacked: boolean;
  /** of fixed point, per layer: as `Q1.6`, of weights, and of what the layer hands on where it does */
  readonly formats?: readonly { readonly weights: string; readonly activations: string | null }[];
  /** Classes of raw images, `[count]`: by the packed model, or the network as it is stored. */
  predict(images: ImageSet, threads: number, options?: ImagesOptions): Promise<Uint16Array>;
}

/** Opens a finished run, or a packed model file. Throws a config error where there is none. */
export function finishedNetwork(path: string): FinishedNetwork {
  const folder = new RunFolder(path);
  if (existsSync(folder.config) && !techniques[folder.readConfig().technique].integerSums)
    return realNetwork(folder);
  const model = readModel(path);
  return {
    input: model.input,
    layers: model.layers,
    cost: modelCost(model),
    nonzeroWeights: modelShapes(model).reduce((sum, { index, fanIn, output }) => {
      const { weights } = model.kernels[index]!;
      return sum + (weights.type === 'integer' ? nonzero(weights.values) : fanIn * output.channels);
    }, 0),
    bytes: statSync(existsSync(folder.config) ? folder.model : path).size,
    isPacked: true,
    predict: (images, threads, options) => predictPacked(model, images, threads, options),
  };
}

function nonzero(weights: Float32Array | Int8Array): number {
  let count = 0;
  for (const weight of weights) if (weight !== 0) count++;
  return count;
}

/** Qm.n of `bits` bits: a sign, m bits before the point and n behind it, 2^-n being the step; m or n may be negative. */
export function fixedPointFormat(bits: number, step: number): string {
  const behind = -Math.log2(step);
  return `Q${bits - 1 - behind}.${behind}`;
}

function formatsOf({ plan, layers }: StoredNetwork): FinishedNetwork['formats'] {
  const { precision } = plan;
  return (
    precision &&
    layers.map(({ weightStep, activationStep }) => ({
      weights: fixedPointFormat(precision.weights, weightStep!),
      activations: activationStep ? fixedPointFormat(precision.activations, activationStep[0]!) : null,
    }))
  );
}

function realNetwork(folder: RunFolder): FinishedNetwork {
  checkFinished(folder.path);
  if (!existsSync(folder.network))
    throw configError(
      `run ${folder.path}: has no ${basename(folder.network)}; write it with \`cbnn train ... --resume\``,
    );
  const file = readFileSync(folder.network);
  const stored = decodeNetwork(file);
  const { input, layers } = stored.plan;
  const formats = formatsOf(stored);
  return {
    ...(formats && { formats }),
    input,
    layers,
    cost: networkCost(input, layers, techniqueStorage(stored)),
    nonzeroWeights: stored.layers.reduce((sum, { weights }) => sum + nonzero(weights), 0),
    bytes: file.length,
    isPacked: false,
    async predict(images, threads, { signal, onProgress } = {}) {
      const network = await openNetwork(stored, threads);
      try {
        const prepared = preparedSet(images, input);
        const predictions = new Uint16Array(images.count);
        for (let start = 0; start < images.count; start += PART) {
          signal?.throwIfAborted();
          const part = takeImages(
            prepared,
            Uint32Array.from({ length: Math.min(PART, images.count - start) }, (_value, n) => start + n),
          );
          predictions.set(await network.classify(part), start);
          onProgress?.(start + part.count, images.count);
        }
        return predictions;
      } finally {
        await network.close();
      }
    },
  };
}
