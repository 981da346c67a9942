/** The native training step against the plain one, bit for bit, on every instruction set and any number of threads. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { awkwardShapes } from '../../runtime/src/testing/awkward-shapes.js';
import { NativeTrainer, type NativeTrainerOptions, trainingKernels } from './index.js';
import {
  compareTraining,
  copyOf,
  goldenCases,
  rates,
  THREADS,
  TRAINED_HASH,
  trainedHash,
  trainingCase,
} from './testing/compare-training.js';

/** Every instruction set, the first with several numbers of threads, and both ways of convolutions. */
const variants = trainingKernels().flatMap((kernels, i) => [
  ...(i === 0 ? [1, 5] : []).map((threads) => ({ kernels, threads })),
  ...(['looked-up', 'counted'] as const).map((convolutions) => ({ kernels, convolutions, threads: 2 })),
]);
const everywhere = trainingKernels().flatMap((kernels) =>
  THREADS.map((threads) => [kernels, threads] as const),
);
const FUZZES = process.env['CBNN_FUZZ'] === '1';
const create = (options: NativeTrainerOptions) => NativeTrainer.create(options);

describe.runIf(variants.length > 0)('the native training step', () => {
  it(
    'equals the plain one on random networks',
    () =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 0x7fffffff }),
          fc.integer({ min: 1, max: 11 }),
          (seed, batch) => compareTraining(trainingCase(seed, batch), variants, create),
        ),
        { numRuns: FUZZES ? 1500 : 80 },
      ),
    FUZZES ? 3_600_000 : 60_000,
  );

  it.each(awkwardShapes.filter(([, height, width]) => height * width < 700))(
    'equals the plain one on %s of %d x %d',
    (architecture, height, width) =>
      compareTraining(trainingCase(height, 5, architecture, { height, width }), variants, create),
  );

  it.each(everywhere)(
    'ends with the weights it must after many steps: %s on %d threads',
    async (kernels, threads) => {
      expect(await trainedHash({ kernels, threads }, create)).toBe(TRAINED_HASH);
    },
  );

  it('is held to those of first layers and inputs of either kind', () => {
    const kinds = goldenCases().map(({ options: { firstLayer, input } }) => [firstLayer, input.encoding]);
    expect(kinds).toEqual([
      ['binary', 'bit-slices'],
      ['integer', '8-bit'],
    ]);
  });

  it('refuses what does not fit, and a second step while one is under way', async () => {
    const { options, images, labels } = trainingCase(5, 4);
    expect(() => create({ ...options, kernels: 'abacus' })).toThrow('has not the instructions');
    for (const threads of [0, 257, 1.5])
      expect(() => create({ ...options, threads })).toThrow('expected threads as an integer of 1..256');
    expect(() => create({ ...options, place: new Float32Array(99) })).toThrow('do not fit together');
    expect(() => create({ ...options, layers: options.layers.slice(1) })).toThrow('do not fit together');
    expect(() => create({ ...options, firstBound: 2 ** 31 - 1, batch: 4000 })).toThrow('too large');
    const trainer = create(options);
    await expect(trainer.step(images[0]!.subarray(1), labels[0]!, rates, 1)).rejects.toThrow(
      'another length',
    );
    await expect(
      trainer.step(
        images[0]!,
        labels[0]!.map(() => 99),
        rates,
        1,
      ),
    ).rejects.toThrow('no class');
    const first = trainer.step(images[0]!, labels[0]!, rates, 1);
    await expect(trainer.step(images[1]!, labels[1]!, rates, 1)).rejects.toThrow('under way');
    await first;
  });

  it('adds up squares that fill 32 bits', async () => {
    // Every bit of the map is 1 and so is every weight behind it: 17 images of the largest sum there is.
    const { options, images, labels } = trainingCase(2, 17, '4C1-3FC-2FC', { height: 64, width: 64 });
    const [first, second] = options.layers;
    first!.gamma.value.fill(0);
    first!.beta.value.fill(0.5);
    second!.weights.value.fill(0.5);
    const trainer = create(copyOf(options, {}));
    await trainer.forward(images[0]!);
    expect(trainer.sums(1).every((sum) => sum === 2 ** 14)).toBe(true);
    expect(trainer.statistics[1]!.variance).toEqual(new Float32Array(3));
    await compareTraining({ options, images, labels }, variants, create);
  });

  it('leaves the event loop to others during a step', async () => {
    const { options, images, labels } = trainingCase(3, 40, '32C3-64C3-MP2-64C3-5FC', {
      height: 32,
      width: 32,
    });
    let turns = 0;
    let isDone = false;
    const step = create(options)
      .step(images[0]!, labels[0]!, rates, 1)
      .finally(() => {
        isDone = true;
      });
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve));
      turns++;
    }
    await step;
    // Thousands in the tens of milliseconds of a step; one or two where it held the loop.
    expect(turns).toBeGreaterThan(10);
  });

  it('learns nothing in a forward pass', async () => {
    const { options, images, labels } = trainingCase(8, 6);
    const before = copyOf(options, {});
    const trainer = create(options);
    await trainer.forward(images[0]!);
    expect(options.layers).toEqual(before.layers);
    const { mean } = trainer.statistics[0]!;
    const forward = mean.slice();
    await trainer.step(images[0]!, labels[0]!, rates, 1);
    expect(mean).toEqual(forward);
  });
});
