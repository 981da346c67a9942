/** Which weights go, when, and how many of each layer. */
import { parseArchitecture } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { names } from '../graph/names.js';
import { openDevice } from '../graph/session.js';
import type { Plan } from '../nn/plan.js';
import type { TrainingState, TrainingTensor } from '../nn/state.js';
import { Random } from '../random.js';
import { evaluatedError } from './after-training.js';
import {
  lastRoundBegins,
  layerSparsities,
  prune,
  raised,
  roundBeginning,
  sparsityAfter,
  withMasks,
} from './pruning.js';

const stateOf = (weights: number[]) =>
  new Map(
    Object.entries({
      'layers.0.weights': weights,
      'layers.0.mask': weights.map(() => 1),
      'adam.m.layers.0.weights': weights.map(() => 3),
      'adam.v.layers.0.weights': weights.map(() => 4),
    }).map(([name, values]) => [name, { shape: [values.length], data: Float32Array.from(values) }]),
  );

describe('pruning', () => {
  it('takes the smallest weights away, and what Adam knew of them', () => {
    const state = stateOf([0.5, -0.1, 0.3, -0.9, 0.1, 0]);
    prune(state, { target: 0.5, rounds: 1, layers: [0.5] }, 0);
    // 0, then of the two of 0.1 the first, then the other.
    expect([...state.get('layers.0.mask')!.data]).toEqual([1, 0, 1, 1, 0, 0]);
    expect([...state.get('layers.0.weights')!.data].map((w) => w + 0)).toEqual(
      [0.5, 0, 0.3, -0.9, 0, 0].map(Math.fround),
    );
    expect([...state.get('adam.m.layers.0.weights')!.data]).toEqual([3, 0, 3, 3, 0, 0]);
    expect([...state.get('adam.v.layers.0.weights')!.data]).toEqual([4, 0, 4, 4, 0, 0]);
  });

  it('never gives back what is gone, and ends at its share', () => {
    const weights = Array.from({ length: 1000 }, (_, i) => Math.sin(i * 12.9898) * 43.7);
    const state = stateOf(weights);
    const pruning = { target: 0.9, rounds: 4, layers: [0.9] };
    let before = state.get('layers.0.mask')!.data.slice();
    for (let round = 0; round < 4; round++) {
      prune(state, pruning, round);
      const mask = state.get('layers.0.mask')!.data;
      for (const [i, kept] of mask.entries()) if (!before[i]) expect(kept).toBe(0);
      expect(mask.reduce((sum, kept) => sum + kept, 0)).toBe(
        1000 - Math.round(1000 * sparsityAfter(0.9, round, 4)),
      );
      before = mask.slice();
      // What is left moves on.
      const own = state.get('layers.0.weights')!.data;
      for (const [i, kept] of mask.entries()) if (kept) own[i] = own[i]! * (1 + (i % 7) / 10);
    }
    expect(before.reduce((sum, kept) => sum + kept, 0)).toBe(100);
  });

  it('spreads its rounds over the first half of the epochs', () => {
    const begins = (epochs: number, rounds: number) =>
      Array.from({ length: epochs }, (_, epoch) => roundBeginning(epoch, epochs, rounds));
    expect(begins(6, 3)).toEqual([0, 1, 2, null, null, null]);
    expect(begins(12, 3)).toEqual([0, null, 1, null, 2, ...Array(7).fill(null)]);
    // Where two begin together, the later one says how much goes.
    expect(begins(3, 3)).toEqual([1, 2, null]);
    expect(begins(1, 1)).toEqual([0]);
    expect([lastRoundBegins(6, 3), lastRoundBegins(3, 3), lastRoundBegins(5, 1)]).toEqual([2, 1, 0]);
  });

  it('takes most of the layer that can lose most by itself', async () => {
    const plan: Plan = {
      technique: 'pruned',
      input: { height: 2, width: 2, channels: 1, encoding: '8-bit', slices: [], shifts: [], stretch: null },
      layers: parseArchitecture('40FC-4FC'),
      firstLayer: 'real',
      slicing: 'equal',
      loss: 'cross-entropy',
    };
    const random = new Random(3);
    // Hidden units 0 to 3 see one corner a little better than the others: without some of their weights they see another. Of the
    // last layer's weights only four matter: the brightest of these units is the class.
    const hidden = Float32Array.from({ length: 160 }, (_, i) =>
      Math.floor(i / 4) % 4 === i % 4 ? 1 : 0.9 + 0.01 * random.uniform(),
    );
    const last = Float32Array.from({ length: 160 }, (_, i) =>
      Math.floor(i / 40) === i % 40 ? 1 : 1e-6 * random.uniform(),
    );
    const vector = (count: number, value: number) => ({
      shape: [count],
      data: new Float32Array(count).fill(value),
    });
    const start: TrainingState = new Map([
      ['layers.0.weights', { shape: [40, 4], data: hidden }],
      ['layers.1.weights', { shape: [4, 40], data: last }],
      ...[40, 4].flatMap((count, k): [string, TrainingTensor][] => [
        [`layers.${k}.gamma`, vector(count, 1)],
        [`layers.${k}.beta`, vector(count, 0)],
        // Far below what the sums are, so that all units are on.
        [names.mean(k), vector(count, -2000)],
        [names.inverse(k), vector(count, 1)],
      ]),
    ]);
    const labels = Uint16Array.from({ length: 200 }, (_, n) => n % 4);
    const pixels = Uint8Array.from({ length: 800 }, (_, i) =>
      i % 4 === labels[Math.floor(i / 4)] ? 255 : random.below(120),
    );
    const images = { height: 2, width: 2, channels: 1, count: 200, pixels, labels };
    expect(await evaluatedError(plan, withMasks(plan, start), images, await openDevice('auto', 1))).toBe(0);
    const [first, second] = await layerSparsities(plan, start, images, 0.6, { threads: 1 });
    expect((first! + second!) / 2).toBeCloseTo(0.6, 2);
    // None of what is tried of the first, all of the second: half of 30, and 95 per cent, to begin with.
    expect(second! / first!).toBeGreaterThan(3);
  });

  it('takes more of layers that can lose more, and of all together what was asked for', () => {
    const weights = [100, 1000, 10_000];
    for (const target of [0.3, 0.7, 0.9, 0.95]) {
      const shares = raised([0.3, 0.5, 0.9], weights, target);
      const gone = shares.reduce((sum, share, k) => sum + share * weights[k]!, 0) / 11_100;
      expect(gone).toBeCloseTo(target, 2);
      expect(shares[0]!).toBeLessThan(shares[1]!);
      expect(shares[1]!).toBeLessThanOrEqual(shares[2]!);
      expect(Math.max(...shares)).toBeLessThanOrEqual(0.99);
    }
  });
});
