/** The native training step against the plain one: random networks, and every bit of what a step leaves. */
import { createHash } from 'node:crypto';
import { inputMagnitudes, modelShapes, parseArchitecture } from '@cbnn/runtime';
import { Dice, randomModel } from '../../../runtime/src/testing/random-model.js';
import type { NativeTrainer, NativeTrainerOptions, TrainedTensor } from '../trainer.js';
import { plainStep } from './plain-step.js';

export interface TrainingCase {
  readonly options: NativeTrainerOptions;
  readonly images: Uint8Array[];
  readonly labels: Uint16Array[];
  /** what to learn in place of labels, of every batch */
  readonly targets?: Float32Array;
}

/** A network that training knows, its weights, and some batches; the same for the same seed. */
export function trainingCase(
  seed: number,
  batch: number,
  architecture?: string,
  size?: { height: number; width: number },
): TrainingCase {
  const dice = new Dice(seed ^ 0x2545f491);
  const model = randomModel(seed, {
    maxMacs: 60_000,
    ...(size && { input: size }),
    ...(architecture && { layers: parseArchitecture(architecture) }),
  });
  const firstLayer = dice.chance(50) ? 'integer' : 'binary';
  const sliced = model.input.encoding === 'bit-slices';
  const shifts = model.input.shifts.map((shift) => (firstLayer === 'integer' ? 0 : shift));
  const input = { ...model.input, stretch: null, shifts };
  const shapes = modelShapes({ input, layers: model.layers });
  const uniform = () => Math.fround((dice.uint32() / 2 ** 32) * 2 - 1);
  const tensor = (length: number, value: () => number): TrainedTensor => ({
    value: Float32Array.from({ length }, value),
    first: Float32Array.from({ length }, () => uniform() / 100),
    second: Float32Array.from({ length }, () => Math.abs(uniform()) / 1000),
  });
  const layers = shapes.map(({ fanIn, output: { channels } }, k) => ({
    // Some weights are exactly 0, and some outputs have none but these.
    weights: tensor(channels * fanIn, () => (dice.chance(3) ? 0 : uniform())),
    gamma: tensor(channels, () => (dice.chance(5) ? 0 : uniform() * 2)),
    beta: tensor(channels, uniform),
    rateScale: k === 0 && firstLayer === 'integer' ? 1 : 1 + dice.range(0, 9),
  }));
  const magnitudes = inputMagnitudes(input);
  const perTap = magnitudes.reduce((sum, value) => sum + value, 0);
  const options: NativeTrainerOptions = {
    input,
    shapes,
    layers,
    firstLayer,
    place: Float32Array.from(magnitudes, (magnitude, c) =>
      firstLayer === 'binary' ? magnitude : sliced ? 2 ** (c % 8) / 255 : 1 / 255,
    ),
    firstBound: (shapes[0]!.fanIn / magnitudes.length) * perTap * (firstLayer === 'integer' ? 127 : 1),
    loss: dice.chance(50) ? 'cross-entropy' : 'squared-hinge',
    batch,
    threads: 1,
  };
  const bytes = batch * input.height * input.width * input.channels;
  const classes = shapes.at(-1)!.output.channels;
  return {
    options,
    images: [0, 1].map(() => Uint8Array.from({ length: bytes }, () => dice.range(0, 255))),
    labels: [0, 1].map(() => Uint16Array.from({ length: batch }, () => dice.range(0, classes - 1))),
    // They need not add up to 1 here.
    ...(options.loss === 'cross-entropy' &&
      dice.chance(30) && {
        targets: Float32Array.from({ length: batch * classes }, () => Math.abs(uniform())),
      }),
  };
}

export const tensorsOf = ({ layers }: NativeTrainerOptions): TrainedTensor[] =>
  layers.flatMap(({ weights, gamma, beta }) => [weights, gamma, beta]);

/** The same start for another trainer. */
export function copyOf(
  options: NativeTrainerOptions,
  more: Partial<NativeTrainerOptions>,
): NativeTrainerOptions {
  const copy = ({ value, first, second }: TrainedTensor): TrainedTensor => ({
    value: value.slice(),
    first: first.slice(),
    second: second.slice(),
  });
  const layers = options.layers.map(({ weights, gamma, beta, rateScale }) => ({
    weights: copy(weights),
    gamma: copy(gamma),
    beta: copy(beta),
    rateScale,
  }));
  return { ...options, ...more, layers };
}

type Numbers = Int32Array | Float32Array;

/** Throws an error that says where they differ first. */
export function expectSame(found: Numbers, expected: Numbers, where: string): void {
  const bytes = ({ buffer, byteOffset, byteLength }: Numbers) => Buffer.from(buffer, byteOffset, byteLength);
  if (bytes(found).equals(bytes(expected))) return;
  const at = Array.from(expected).findIndex((value, i) => !Object.is(value, found[i]));
  throw new Error(`${where}: ${found[at]} at ${at} of ${found.length}, expected ${expected[at]}`);
}

export const rates = { latent: Math.fround(0.01), float: Math.fround(0.003) };
/** Trainers to compare: an instruction set, and threads. */
export interface Variant {
  readonly kernels: string;
  readonly threads: number;
  readonly convolutions?: 'looked-up' | 'counted';
}

/** Numbers of threads that a result must not depend on: fewer, as many and more than there are pieces of some layers. */
export const THREADS = [1, 2, 3, 5] as const;

/** SHA-256 of weights and moments. */
export function hashOf(tensors: readonly TrainedTensor[]): string {
  const hash = createHash('sha256');
  for (const { value, first, second } of tensors)
    for (const part of [value, first, second]) {
      // Its other bits would be the processor's.
      if (part.some(Number.isNaN)) throw new Error('expected numbers, found NaN');
      hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    }
  return hash.digest('hex');
}

/** Convolutions with and without strides, pooling, dense layers, and numbers of channels that fill no block. */
export const GOLDEN_NETWORK = ['18C3-40C3-MP2-33C3S2-36FC-7FC', { height: 11, width: 10 }] as const;

/**
 * What `trainedHash` must give on every processor. It changes with the law (docs/training-step.md), or with what `trainingCase` draws,
 * and with nothing else.
 */
export const TRAINED_HASH = '830d8ca888a6d66fdba9a53f510d73d119a812a3412cb413c2f501ae84e540bf';

/** Small networks: of slices, with a binary first layer; and of 8-bit images, with an integer one. */
export const goldenCases = (): TrainingCase[] =>
  [3, 16].map((seed) => trainingCase(seed, 6, ...GOLDEN_NETWORK));

/** Hash of what some steps of them leave. */
export async function trainedHash(
  variant: Variant,
  create: (options: NativeTrainerOptions) => NativeTrainer,
): Promise<string> {
  const tensors: TrainedTensor[] = [];
  for (const { options, images, labels } of goldenCases()) {
    const own = copyOf(options, variant);
    const trainer = create(own);
    for (let i = 0; i < 10; i++) await trainer.step(images[i % 2]!, labels[i % 2]!, rates, i + 1);
    tensors.push(...tensorsOf(own));
  }
  return hashOf(tensors);
}

/** Two steps of every variant against two plain ones; throws at the first difference. */
export async function compareTraining(
  { options, images, labels, targets }: TrainingCase,
  variants: readonly Variant[],
  create: (options: NativeTrainerOptions) => NativeTrainer,
): Promise<void> {
  const plain = copyOf(options, {});
  const units = new Float32Array(options.shapes.length);
  const trained = variants.map((variant) => {
    const own = copyOf(options, variant);
    return { variant, own, trainer: create(own) };
  });
  for (const [i, pixels] of images.entries()) {
    const expected = plainStep(plain, units, pixels, labels[i]!, rates, i + 1, targets);
    for (const { variant, own, trainer } of trained) {
      const result = await trainer.step(pixels, labels[i]!, rates, i + 1, targets);
      const where = `step ${i}, ${Object.values(variant)} threads`;
      for (const [k, trace] of expected.traces.entries()) {
        const sums = Int32Array.from(trace.p.flatMap((image) => [...image]));
        expectSame(trainer.sums(k), sums, `${where}: sums of layer ${k}`);
        expectSame(trainer.statistics[k]!.mean, trace.mean, `${where}: means of layer ${k}`);
        expectSame(trainer.statistics[k]!.variance, trace.variance, `${where}: variances of layer ${k}`);
      }
      expectSame(trainer.scores(), expected.scores, `${where}: scores`);
      for (const [name, found, wanted] of [
        ['loss', result.loss, expected.loss],
        ['right answers', result.correct, expected.correct],
      ] as const)
        if (found !== wanted) throw new Error(`${where}: ${name}: ${found}, expected ${wanted}`);
      for (let k = options.shapes.length - 1; k >= 0; k--)
        expectSame(
          trainer.products(k),
          Int32Array.from(expected.products[k]!),
          `${where}: products of layer ${k}`,
        );
      expectSame(trainer.units, units, `${where}: units`);
      const wanted = tensorsOf(plain);
      for (const [t, tensor] of tensorsOf(own).entries())
        for (const part of ['value', 'first', 'second'] as const)
          expectSame(tensor[part], wanted[t]![part], `${where}: ${part} of tensor ${t}`);
    }
  }
}
