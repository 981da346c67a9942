/** Which weights go, when, and how many of each layer. */
import { describe, expect, it } from 'vitest';
import { lastRoundBegins, prune, raised, roundBeginning, sparsityAfter } from './pruning.js';

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
