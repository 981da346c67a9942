/**
 * Iterative magnitude pruning (Han et al. 2015): in each of some rounds, in the first half of training, the smallest weights of every
 * layer are taken away and the rest is trained on. How much each layer loses follows from what it alone can lose.
 */
import type { ImageSet } from '../data/dataset.js';
import { spreadImages } from '../data/dataset.js';
import { names } from '../graph/names.js';
import { openDevice } from '../graph/session.js';
import { parametersOf } from '../graph/technique.js';
import { initialValue } from '../nn/initialize.js';
import { type Plan, planShapes } from '../nn/plan.js';
import type { TrainingState, TrainingTensor } from '../nn/state.js';
import { techniques } from '../techniques/index.js';
import { evaluatedError } from './after-training.js';
import type { RunConfig } from './config.js';

export type Pruning = NonNullable<RunConfig['pruning']>;

/** Shares of a layer's weights that are taken away by themselves, to see what that costs. */
const TRIED = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95] as const;
/** Percentage points that a layer may cost by itself. */
const TOLERANCE = 2;
const SENSITIVITY_IMAGES = 1000;
/** A layer keeps at least a hundredth of its weights. */
const MOST = 0.99;

/** Share of layer `k`'s weights that is gone after round `round` of `rounds` (from 0): each takes the same share of what is left. */
export const sparsityAfter = (layer: number, round: number, rounds: number): number =>
  1 - (1 - layer) ** ((round + 1) / rounds);

/** Rounds begin in the first half of the epochs: the rest is for what is left, while the rate falls. */
const begins = (round: number, epochs: number, rounds: number): number =>
  Math.floor((round * epochs) / (2 * rounds));

/** The round that begins with epoch `epoch` (from 0), the last of those that do; or null. */
export function roundBeginning(epoch: number, epochs: number, rounds: number): number | null {
  for (let round = rounds - 1; round >= 0; round--) if (begins(round, epochs, rounds) === epoch) return round;
  return null;
}

/** The epoch (from 0) that the last round begins with. */
export const lastRoundBegins = (epochs: number, rounds: number): number => begins(rounds - 1, epochs, rounds);

/** Takes the smallest weights of every layer away: of the masks, the weights and their moments, in place. */
export function prune(state: TrainingState, pruning: Pruning, round: number): void {
  for (const [k, share] of pruning.layers.entries()) {
    const { data: weights } = state.get(`layers.${k}.weights`)!;
    const { data: mask } = state.get(`layers.${k}.mask`)!;
    const gone = Math.round(sparsityAfter(share, round, pruning.rounds) * weights.length);
    mask.fill(1);
    for (const i of smallest(weights, gone)) {
      mask[i] = 0;
      for (const name of [`layers.${k}.weights`, ...moments(k)]) {
        const tensor = state.get(name);
        if (tensor) tensor.data[i] = 0;
      }
    }
  }
}

const moments = (k: number): string[] =>
  [names.firstMoment, names.secondMoment].map((of) => of(`layers.${k}.weights`));

/** Indices of the `count` smallest magnitudes; of equal ones those that come first. */
function smallest(weights: Float32Array, count: number): Uint32Array {
  const order = Uint32Array.from({ length: weights.length }, (_, i) => i);
  return order.sort((a, b) => Math.abs(weights[a]!) - Math.abs(weights[b]!) || a - b).subarray(0, count);
}

/**
 * What share of each layer's weights to take away so that `target` of all is gone. Each layer is pruned by itself, without training,
 * to find what share costs 2 points of validation error; those shares are then all raised, or lowered, together.
 */
export async function layerSparsities(
  plan: Plan,
  start: TrainingState,
  validation: ImageSet,
  target: number,
  {
    threads,
    signal,
    onProgress,
  }: {
    readonly threads: number;
    readonly signal?: AbortSignal;
    readonly onProgress?: (done: number, total: number) => void;
  },
): Promise<number[]> {
  const device = await openDevice('auto', threads);
  // Spread over the set: folders of images lie in it class by class.
  const images = spreadImages(validation, SENSITIVITY_IMAGES);
  const shapes = planShapes(plan);
  const full = withMasks(plan, start);
  const base = await evaluatedError(plan, full, images, device);
  const alone: number[] = [];
  for (const { index } of shapes) {
    let most = 0;
    for (const share of TRIED) {
      signal?.throwIfAborted();
      const layers = shapes.map((_, k) => (k === index ? share : 0));
      const tried = withMasks(plan, start);
      prune(tried, { target, rounds: 1, layers }, 0);
      if ((await evaluatedError(plan, tried, images, device)) > base + TOLERANCE) break;
      most = share;
    }
    // None that was tried: half of the least.
    alone.push(most || TRIED[0] / 2);
    onProgress?.(index + 1, shapes.length);
  }
  return raised(
    alone,
    shapes.map(({ fanIn, output }) => fanIn * output.channels),
    target,
  );
}

/** 1 - (1 - share)^power of every layer, with the power that makes `target` of all weights; no layer beyond 99 %. */
export function raised(alone: readonly number[], weights: readonly number[], target: number): number[] {
  const all = weights.reduce((sum, count) => sum + count, 0);
  const at = (power: number) => alone.map((share) => Math.min(MOST, 1 - (1 - share) ** power));
  const total = (shares: readonly number[]) =>
    shares.reduce((sum, share, k) => sum + share * weights[k]!, 0) / all;
  let [low, high] = [0, 1];
  while (total(at(high)) < target && high < 1e4) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (total(at(middle)) < target) low = middle;
    else high = middle;
  }
  return at(high).map((share) => Math.round(share * 1e4) / 1e4);
}

/** A copy of a trained network's state with masks that keep all. */
export function withMasks(plan: Plan, start: TrainingState): TrainingState {
  const state = new Map<string, TrainingTensor>(
    [...start].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
  );
  for (const shape of planShapes(plan))
    for (const parameter of parametersOf(techniques.pruned, plan, shape))
      if (parameter.role === 'mask')
        state.set(parameter.name, { shape: parameter.shape, data: initialValue(parameter, shape, 0) });
  return state;
}
