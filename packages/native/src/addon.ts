/** The compiled addon (csrc/addon.c), where this package has one for this machine. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** To the addon a way that is asked for is its place in the list of `ways`, from 1, and 0 the faster one. */
export const wayNumber = <Way extends string>(ways: readonly Way[], asked: Way | undefined): number =>
  asked ? ways.indexOf(asked) + 1 : 0;

/** Ways of convolutions of bits. */
export const CONVOLUTIONS = ['looked-up', 'counted'] as const;

/** A model laid out for some kernels; the addon knows what is in it. */
export type Handle = object & { readonly kind?: 'native engine' };

/** A network of real sums laid out; the addon knows what is in it. */
export type RealHandle = object & { readonly kind?: 'native real network' };

export interface Addon {
  /** instruction sets that this processor has, fastest first */
  kernels(): string[];
  /** Throws an error that says why, e.g. that it needs more than `mostBytes`. */
  create(
    numbers: Int32Array,
    arrays: readonly unknown[],
    kernels: string,
    mostBytes: number,
    /** 1: the first layer by tables, 2: by permutations where that can be, 0: what is faster */
    first: number,
    /** 1: convolutions of bits looked up where that can be, 2: counted, 0: what is faster */
    sums: number,
  ): Handle;
  run(handle: Handle, pixels: Uint8Array, count: number, prepared: boolean, scores: Int32Array): void;
  /** The same on a thread of its own. */
  runLater(
    handle: Handle,
    pixels: Uint8Array,
    count: number,
    prepared: boolean,
    scores: Int32Array,
  ): Promise<void>;
  /** What hidden layer `k` gave for the first image of the last `run`. */
  bits(handle: Handle, k: number, out: Uint8Array): void;
  /** Networks of real sums: csrc/real/door.c. */
  createReal(
    shapes: Int32Array,
    /** indices of `realForms` */
    forms: Int32Array,
    hasK: boolean,
    /** four per layer: weights, mean, scale, beta */
    arrays: readonly Float32Array[],
    kernels: string,
    mostBytes: number,
  ): RealHandle;
  runReal(handle: RealHandle, planes: Float32Array, count: number, scores: Float32Array): void;
  runRealLater(handle: RealHandle, planes: Float32Array, count: number, scores: Float32Array): Promise<void>;
  /** Nanoseconds of each layer on what the last `run` left, and behind them the products a second of counting alone. */
  measure(handle: Handle, rounds: number, out: Float64Array): void;
}

/** A training step laid out; the addon knows what is in it. */
export type TrainerHandle = object & { readonly kind?: 'native trainer'; readonly bytes: number };

/** Training: csrc/train/door.c. */
export interface TrainingAddon {
  trainingKernels(): string[];
  createTrainer(
    shapes: Int32Array,
    /** batch, threads, squared hinge, integer first layer, convolutions */
    numbers: Int32Array,
    place: Float32Array,
    rateScales: Float32Array,
    /** nine per layer: value, first and second moment of weights, gamma and beta */
    parameters: readonly Float32Array[],
    kernels: string,
    mostBytes: number,
  ): TrainerHandle;
  step(
    handle: TrainerHandle,
    pixels: Uint8Array,
    labels: Uint16Array,
    rates: Float32Array,
    number: number,
    results: Float64Array,
    statistics: Float32Array,
    targets: Float32Array | undefined,
  ): Promise<void>;
  units(handle: TrainerHandle, values: Float32Array, sets: boolean): void;
  scores(handle: TrainerHandle, out: Float32Array): void;
  inspect(handle: TrainerHandle, layer: number, what: number, out: Int32Array): void;
  /** Does `steps` steps of products in registers alone; returns how many products that is. */
  dotLimit(kernels: string, steps: number): number;
}

/** A real training step laid out; the addon knows what is in it. */
export type RealTrainerHandle = object & { readonly kind?: 'real trainer' };

/** Training in bfloat16: csrc/train-real/door.c. */
export interface RealTrainingAddon {
  realTrainingKernels(): string[];
  createRealTrainer(
    shapes: Int32Array,
    /** batch, threads, squared hinge, shift-based batch norm, and the layers' activations */
    numbers: Int32Array,
    /** six per layer: weights that are multiplied with, gamma, beta, and their gradients */
    layers: readonly Float32Array[],
    /** four per trained tensor: value, first and second moment, gradient */
    tensors: readonly Float32Array[],
    /** one per layer: of signs that are drawn what they are drawn by, else empty */
    noises: readonly Float32Array[],
    /** two per trained tensor: what the rate is multiplied with, and 1 where it is latent */
    tensorNumbers: Float32Array,
    kernels: string,
    mostBytes: number,
  ): RealTrainerHandle;
  realStep(
    handle: RealTrainerHandle,
    pixels: Uint8Array,
    labels: Uint16Array,
    learns: boolean,
    results: Float64Array,
    statistics: Float32Array,
    targets: Float32Array | undefined,
    sharpness: number,
  ): Promise<void>;
  realUpdate(handle: RealTrainerHandle, rates: Float32Array): Promise<void>;
  realScores(handle: RealTrainerHandle, out: Float32Array): void;
}

type Everything = Addon & TrainingAddon & RealTrainingAddon;

/** The addon, or why there is none. */
export const addon: Everything | string = load();

function load(): Everything | string {
  const require = createRequire(import.meta.url);
  try {
    const find = require('node-gyp-build') as (folder: string) => Everything;
    return find(fileURLToPath(new URL('..', import.meta.url)));
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    return `@cbnn/native has nothing that runs on ${process.platform} ${process.arch} (${reason})`;
  }
}
