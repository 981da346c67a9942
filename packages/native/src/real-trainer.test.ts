/** The real training step against the plain one, bit for bit, on every instruction set and any number of threads. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { awkwardShapes } from '../../runtime/src/testing/awkward-shapes.js';
import { RealTrainer, type RealTrainerOptions, realTrainingKernels } from './index.js';
import {
  compareRealTraining,
  goldenRealCases,
  realTrainingCase,
  SIGNS,
  TRAINED_REAL_HASH,
  trainedRealHash,
} from './testing/compare-real-training.js';
import { THREADS } from './testing/compare-training.js';

/** Every instruction set, the first with several numbers of threads. */
const variants = realTrainingKernels().flatMap((kernels, i) =>
  (i === 0 ? [1, 2, 5] : [2]).map((threads) => ({ kernels, threads })),
);
const everywhere = realTrainingKernels().flatMap((kernels) =>
  THREADS.map((threads) => [kernels, threads] as const),
);
const FUZZES = process.env['CBNN_FUZZ'] === '1';

const create = (options: RealTrainerOptions) => RealTrainer.create(options);

describe.runIf(variants.length > 0)('the real training step', () => {
  it(
    'equals the plain one on random networks',
    () =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 0x7fffffff }),
          fc.integer({ min: 1, max: 11 }),
          (seed, batch) => compareRealTraining(realTrainingCase(seed, batch), variants, create),
        ),
        { numRuns: FUZZES ? 1500 : 20 },
      ),
    FUZZES ? 3_600_000 : 60_000,
  );

  it.each(awkwardShapes.filter(([, height, width]) => height * width < 250))(
    'equals the plain one on %s of %d x %d',
    (architecture, height, width) =>
      compareRealTraining(realTrainingCase(height, 3, architecture, { height, width }), variants, create),
  );

  it.each(everywhere)(
    'ends with the weights it must after many steps: %s on %d threads',
    async (kernels, threads) => {
      expect(await trainedRealHash({ kernels, threads }, create)).toBe(TRAINED_REAL_HASH);
    },
  );

  it('is held to those of networks with every activation', () => {
    const all = goldenRealCases().flatMap(({ options }) =>
      options.layers.map(({ activation }) => activation),
    );
    expect(new Set(all).size).toBe(2 + SIGNS.length);
    expect(new Set(goldenRealCases().map(({ options }) => options.hasShifts)).size).toBe(2);
  });

  it('updates by Adam, and clips what is latent', async () => {
    const { options } = realTrainingCase(4, 2);
    const before = options.tensors.map(({ value, first, second }) => ({
      value: value.slice(),
      first: first.slice(),
      second: second.slice(),
    }));
    for (const { gradient } of options.tensors) gradient.fill(0.25);
    await RealTrainer.create(options).update({ latent: 0.5, float: 0.25 });
    for (const [t, { value, isLatent, rateScale }] of options.tensors.entries())
      for (const [i, found] of value.entries()) {
        const start = before[t]!;
        const moment = 0.9 * start.first[i]! + 0.25;
        const root = Math.sqrt(0.999 * start.second[i]! + 0.25 ** 2) + 1e-8 / Math.sqrt(0.001);
        const next = start.value[i]! - ((isLatent ? 0.5 * rateScale : 0.25) * moment) / root;
        expect(found).toBeCloseTo(isLatent ? Math.min(1, Math.max(-1, next)) : next, 4);
      }
  });

  it('refuses what does not fit, and a second step while one is under way', async () => {
    const { options, pixels, labels } = realTrainingCase(5, 4);
    const changed = (change: Partial<RealTrainerOptions>) => create({ ...options, ...change });
    expect(() => changed({ kernels: 'abacus' })).toThrow('has not the instructions');
    for (const threads of [0, 257, 1.5])
      expect(() => changed({ threads })).toThrow('expected threads as an integer of 1..256');
    expect(() => changed({ layers: options.layers.slice(1) })).toThrow('do not fit together');
    const [first, ...rest] = options.tensors;
    expect(() => changed({ tensors: [{ ...first!, gradient: new Float32Array(1) }, ...rest] })).toThrow(
      'do not fit together',
    );
    // The values say how many moments there are, and there is no tensor without any.
    const empty = new Float32Array(0);
    for (const none of [
      { ...first!, value: empty },
      { ...first!, value: empty, first: empty, second: empty, gradient: empty },
    ])
      expect(() => changed({ tensors: [none, ...rest] })).toThrow('do not fit together');
    const withActivation = (k: number, activation: string) =>
      options.layers.with(k, { ...options.layers.at(k)!, activation: activation as 'relu' });
    for (const [k, activation] of [
      [0, 'none'],
      [0, 'abacus'],
      [-1, 'relu'],
      [-1, 'scaled-sign'],
    ] as const)
      expect(() => changed({ layers: withActivation(k, activation) })).toThrow('do not fit together');
    const trainer = create(options);
    await expect(trainer.step(pixels.subarray(1), labels)).rejects.toThrow('another length');
    await expect(
      trainer.step(
        pixels,
        labels.map(() => 99),
      ),
    ).rejects.toThrow('no class');
    const step = trainer.step(pixels, labels);
    await expect(trainer.step(pixels, labels)).rejects.toThrow('under way');
    await expect(trainer.update({ latent: 0, float: 0 })).rejects.toThrow('under way');
    await step;
  });

  it('computes no gradients in a forward pass', async () => {
    const { options, pixels, labels } = realTrainingCase(8, 6);
    for (const { gradient } of options.tensors) gradient.fill(5);
    const trainer = RealTrainer.create(options);
    await trainer.forward(pixels);
    expect(options.tensors.every(({ gradient }) => gradient.every((value) => value === 5))).toBe(true);
    const forward = trainer.statistics.map(({ mean }) => mean.slice());
    await trainer.step(pixels, labels);
    expect(trainer.statistics.map(({ mean }) => mean)).toEqual(forward);
  });
});
