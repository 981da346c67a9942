/** The real training step against the plain one: random networks, and every bit of what a step leaves. */
import { Dice } from '../../../runtime/src/testing/random-model.js';
import type { RealTensor, RealTrainer, RealTrainerOptions, RealTrainingLayer } from '../real-trainer.js';
import { expectSame, GOLDEN_NETWORK, hashOf, rates, trainingCase, type Variant } from './compare-training.js';
import { plainRealStep } from './plain-real-step.js';

export interface RealTrainingCase {
  readonly options: RealTrainerOptions;
  readonly pixels: Uint8Array;
  readonly labels: Uint16Array;
  readonly targets?: Float32Array;
  readonly sharpness: number;
}

/** Of hidden layers; half of them are `relu`. */
export const SIGNS = [
  ...(['sign', 'scaled-sign', 'approximate-sign', 'decaying-sign'] as const),
  ...(['random-sign', 'random-approximate-sign', 'random-decaying-sign'] as const),
];

/** A network with activations of every kind, and a batch; the same for the same seed. */
export function realTrainingCase(
  seed: number,
  batch: number,
  architecture?: string,
  size?: { height: number; width: number },
): RealTrainingCase {
  const { options, images, labels, targets } = trainingCase(seed, batch, architecture, size);
  const dice = new Dice(seed ^ 0x51ed270b);
  const { input, shapes, loss } = options;
  const layers = options.layers.map(
    ({ weights, gamma, beta }, k): RealTrainingLayer & { tensors: RealTensor[] } => {
      const size = 1 / Math.sqrt(shapes[k]!.fanIn);
      const tensors = [weights, gamma, beta].map((tensor, i) => ({
        ...tensor,
        value: i === 0 ? tensor.value.map((w) => w * size) : tensor.value,
        gradient: new Float32Array(tensor.value.length),
        isLatent: i === 0 && k % 2 === 1,
        rateScale: 1 + k,
      }));
      const [w, g, b] = tensors as [RealTensor, RealTensor, RealTensor];
      const hidden = dice.chance(50) ? 'relu' : SIGNS[dice.range(0, SIGNS.length - 1)]!;
      const activation = k === shapes.length - 1 ? 'none' : hidden;
      const gradients = { weights: w.gradient, gamma: g.gradient, beta: b.gradient };
      const { output, pooled } = shapes[k]!;
      const noise = Float32Array.from(
        { length: batch * output.channels * pooled.height * pooled.width },
        () => dice.uint32() / 2 ** 32,
      );
      const own = { weights: w.value, gamma: g.value, beta: b.value, gradients, tensors };
      return { ...own, activation, ...(activation.startsWith('random-') && { noise }) };
    },
  );
  const tensors = layers.flatMap((layer) => layer.tensors);
  const hasShifts = dice.chance(30);
  const own: RealTrainerOptions = { input, shapes, layers, tensors, loss, hasShifts, batch, threads: 1 };
  const sharpness = 10 ** (dice.range(-10, 10) / 10);
  return { options: own, pixels: images[0]!, labels: labels[0]!, sharpness, ...(targets && { targets }) };
}

/** What `trainedRealHash` must give on every processor; see TRAINED_HASH. */
export const TRAINED_REAL_HASH = '05e3f5e9e4a49f1dd2ee627188d56739dbe203fd7222e9a1a6a7b0e732a5cf7a';

/** Small networks, of 8-bit images and of slices, which have every activation between them. */
export const goldenRealCases = (): RealTrainingCase[] =>
  [155, 274].map((seed) => realTrainingCase(seed, 6, ...GOLDEN_NETWORK));

/** Hash of what some steps of them leave. */
export async function trainedRealHash(
  variant: Variant,
  create: (options: RealTrainerOptions) => RealTrainer,
): Promise<string> {
  const tensors: RealTensor[] = [];
  for (const { options, pixels, labels, sharpness } of goldenRealCases()) {
    const trainer = create({ ...options, ...variant });
    for (let i = 0; i < 6; i++) {
      await trainer.step(pixels, labels, { sharpness });
      await trainer.update(rates);
    }
    tensors.push(...options.tensors);
  }
  return hashOf(tensors);
}

/** One step of every variant against the plain one; throws at the first difference. */
export async function compareRealTraining(
  { options, pixels, labels, ...given }: RealTrainingCase,
  variants: readonly Variant[],
  create: (options: RealTrainerOptions) => RealTrainer,
): Promise<void> {
  const expected = plainRealStep(options, pixels, labels, given);
  const gradients = options.tensors.map(({ gradient }) => gradient.slice());
  for (const variant of variants) {
    for (const { gradient } of options.tensors) gradient.fill(Number.NaN);
    const trainer = create({ ...options, ...variant });
    const { loss, correct } = await trainer.step(pixels, labels, given);
    const where = `${variant.kernels}, ${variant.threads} threads`;
    for (const [k, { mean, variance }] of expected.statistics.entries()) {
      expectSame(trainer.statistics[k]!.mean, mean, `${where}: means of layer ${k}`);
      expectSame(trainer.statistics[k]!.variance, variance, `${where}: variances of layer ${k}`);
    }
    expectSame(trainer.scores(), expected.scores, `${where}: scores`);
    if (loss !== expected.loss || correct !== expected.correct)
      throw new Error(
        `${where}: loss ${loss}, ${correct} right, expected ${expected.loss}, ${expected.correct}`,
      );
    for (const [t, gradient] of [...gradients.entries()].toReversed())
      expectSame(options.tensors[t]!.gradient, gradient, `${where}: gradient of tensor ${t}`);
  }
}
