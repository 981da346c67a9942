/** How long a training step takes: every engine that is here, on the paper's network at some widths. */
import { availableParallelism } from 'node:os';
import type { StepTimes } from '@cbnn/native';
import { allSlices, configError, internalError, type KernelShape, parseArchitecture } from '@cbnn/runtime';
import { nativePackage } from '../engines/packed-native.js';
import { openDevice } from '../graph/session.js';
import type { Technique } from '../graph/technique.js';
import { type Plan, planShapes, type TechniqueName } from '../nn/plan.js';
import { processor } from '../processor.js';
import { Random } from '../random.js';
import { techniques } from '../techniques/index.js';
import { layOutStep } from '../train/native-trainer.js';
import { createOnnxTrainer } from '../train/onnx-trainer.js';
import { createRealTrainer } from '../train/real-trainer.js';
import type { ImageBatch, Trainer } from '../train/trainer.js';
import { VERSION } from '../version.js';
import { Times, takeTurns } from './turns.js';

export interface TrainingBenchOptions {
  /** whose step; default: bnn */
  readonly technique?: TechniqueName;
  /** channels of the first two convolutions; the paper's network has 128. Default: 32, 64 */
  readonly widths?: readonly number[];
  /** images a step; 50 by default */
  readonly batches?: readonly number[];
  /** numbers of threads; 1 and all by default */
  readonly threads?: readonly number[];
  readonly input?: 'bit-slices' | '8-bit';
  /** instruction sets of the native step; the fastest and `avx2`, where they are, by default */
  readonly kernels?: readonly string[];
  readonly rounds?: number;
  /** of each engine's turn */
  readonly seconds?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number, engine: string) => void;
}

export interface StepTime {
  readonly width: number;
  /** images a step */
  readonly batch: number;
  readonly engine: string;
  readonly kind: 'native' | 'onnx';
  readonly threads: number;
  /** milliseconds a step; from the fastest tenth to the slowest */
  readonly median: number;
  readonly fast: number;
  readonly slow: number;
  readonly imagesPerSecond: number;
  /** of the ONNX graph's time with as many threads; null where that was not run */
  readonly share: number | null;
  readonly native: NativeShares | null;
}

/** Where the time of the native step in integers goes. */
export interface NativeShares {
  /** milliseconds of a step's parts, in their order: medians of all steps */
  readonly parts: Readonly<Record<string, number>>;
  /** products of signs and gradients in the convolutions' backward pass, billions a second and thread */
  readonly gmacs: number;
  /** what one thread reaches in registers */
  readonly limit: number;
  /** memory of the step, beside trained tensors and their moments */
  readonly bytes: number;
}

export interface TrainingBenchResult {
  readonly cpu: string;
  readonly technique: TechniqueName;
  readonly input: 'bit-slices' | '8-bit';
  readonly architectures: Readonly<Record<number, string>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly times: readonly StepTime[];
}

interface Contender {
  readonly engine: string;
  readonly kind: StepTime['kind'];
  readonly threads: number;
  /** resolves to the loss */
  step(): Promise<number>;
  shares?(): NativeShares;
  close(): Promise<void>;
}

const CLASSES = 10;
const SIDE = 32;
const RATES = { binary: 1e-3, float: 1e-3, progress: 0 };
const MOST_THREADS = 256;
/**
 * How far a first loss may be from the ONNX graph's, as a share: products of bfloat16 have 8 bits. In a network of signs that has just
 * been drawn, one that falls otherwise turns others in every layer behind it: there only the order of size can be compared.
 */
function lossTolerance({ nativeStep, binarySums, binaryActivations }: Technique): number {
  if (nativeStep !== 'bfloat16') return 1e-3;
  return binarySums || binaryActivations ? 0.3 : 2e-2;
}
/** Steps that are compared before anything is timed. */
const CHECKED = 2;

export const benchArchitecture = (width: number): string =>
  `${width}C3-${width}C3-MP2-${2 * width}C3-${2 * width}C3-MP2-${4 * width}C3-${4 * width}C3-MP2-${8 * width}FC-${8 * width}FC-${CLASSES}FC`;

/**
 * Times steps on one batch again and again. Throws an internal error when the native step differs between instruction sets or
 * numbers of threads, or when its first loss is not the ONNX graph's.
 */
export async function benchTraining(options: TrainingBenchOptions = {}): Promise<TrainingBenchResult> {
  const { technique = 'bnn', widths = [32, 64], batches = [50], rounds = 3, seconds = 2, signal } = options;
  const { input = techniques[technique].input } = options;
  const threads = [...new Set(options.threads ?? [1, Math.min(availableParallelism(), MOST_THREADS)])];
  const times: StepTime[] = [];
  const versions: Record<string, string> = { cbnn: VERSION, node: process.versions.node };
  const sizes = widths.flatMap((width) => batches.map((batch) => ({ width, batch })));
  for (const [s, { width, batch }] of sizes.entries()) {
    const contenders = await openContenders(
      planOf(width, input, technique),
      batch,
      threads,
      options.kernels,
      versions,
    );
    try {
      await checkSteps(contenders, lossTolerance(techniques[technique]));
      const measured = await takeTurns(
        contenders.map(({ step }) => step),
        {
          rounds,
          seconds,
          signal,
          onTurn: (done, total, i) =>
            options.onProgress?.(
              s * total + done,
              sizes.length * total,
              `W=${width}, batch ${batch}, ${contenders[i]!.engine}`,
            ),
        },
      );
      times.push(
        ...contenders.map(({ engine, kind, threads: used, shares }, i) => {
          const own = measured[i]!;
          const onnx = contenders.findIndex((one) => one.kind === 'onnx' && one.threads === used);
          return {
            ...{ width, batch, engine, kind, threads: used },
            ...{ median: own.at(0.5), fast: own.at(0.1), slow: own.at(0.9) },
            imagesPerSecond: (1000 * batch) / own.at(0.5),
            share: onnx < 0 ? null : own.at(0.5) / measured[onnx]!.at(0.5),
            native: shares?.() ?? null,
          };
        }),
      );
    } finally {
      for (const { close } of contenders) await close();
    }
  }
  return {
    cpu: processor(),
    technique,
    input,
    architectures: Object.fromEntries(widths.map((width) => [width, benchArchitecture(width)])),
    versions,
    times,
  };
}

function planOf(width: number, encoding: 'bit-slices' | '8-bit', technique: TechniqueName): Plan {
  const slices = encoding === '8-bit' ? [] : allSlices(3);
  return {
    input: {
      height: SIDE,
      width: SIDE,
      channels: 3,
      encoding,
      slices,
      shifts: slices.map(() => 0),
      stretch: null,
    },
    layers: parseArchitecture(benchArchitecture(width)),
    technique,
    slicing: encoding === '8-bit' ? 'equal' : 'place-value',
    firstLayer: techniques[technique].firstLayers[0],
    loss: 'cross-entropy',
  };
}

async function openContenders(
  plan: Plan,
  batch: number,
  threads: readonly number[],
  wanted: readonly string[] | undefined,
  versions: Record<string, string>,
): Promise<Contender[]> {
  const images = benchBatch(batch);
  const contenders: Contender[] = [];
  const native = await nativePackage();
  const { nativeStep } = techniques[plan.technique];
  const inIntegers = nativeStep === 'integers';
  const all = inIntegers ? native?.trainingKernels() : native?.realTrainingKernels();
  const kernels = (nativeStep && all) || [];
  const missing = wanted?.find((name) => !kernels.includes(name));
  if (missing !== undefined)
    throw configError(
      `kernels: expected one of ${kernels.join(', ') || 'none, for there is no @cbnn/native'}, got ${missing}`,
    );
  const chosen = wanted ?? kernels.filter((name, i) => i === 0 || name === 'avx2');
  const options = { batch, seed: 1 };
  for (const count of threads) {
    for (const name of chosen) {
      if (inIntegers) {
        contenders.push(await openNative(plan, images, count, name, native!.productLimit));
        continue;
      }
      const trainer = await createRealTrainer(plan, { ...options, threads: count, kernels: name });
      const engine = `native, ${name}`;
      contenders.push({ engine, kind: 'native', threads: count, ...steps(trainer, images) });
    }
    const device = await openDevice('auto', count);
    versions['ONNX Runtime'] = device.version;
    // Its WebAssembly build has one thread, whatever is asked for.
    if (device.threads !== count) continue;
    const trainer = await createOnnxTrainer(plan, device, options);
    const engine = `ONNX graph, ${device.name}`;
    contenders.push({ engine, kind: 'onnx', threads: count, ...steps(trainer, images) });
  }
  if (contenders.length === 0)
    throw configError('bench: no engine here has as many threads as that; try --threads 1');
  return contenders;
}

/** Steps of a trainer on the same images. */
function steps(trainer: Trainer, images: ImageBatch): Pick<Contender, 'step' | 'close'> {
  let step = 0;
  return {
    step: async () => (await trainer.step(images, RATES, ++step)).loss,
    close: () => trainer.close(),
  };
}

async function openNative(
  plan: Plan,
  images: ImageBatch,
  threads: number,
  kernels: string,
  limitOf: (kernels: string) => number,
): Promise<Contender> {
  const { trainer } = await layOutStep(plan, { batch: images.count, seed: 1, threads, kernels });
  // The clock is not always at its highest: the most of some measurements, before and after.
  let limit = 0;
  const measureLimit = () => {
    for (let i = 0; i < 8; i++) limit = Math.max(limit, limitOf(kernels) / 1e9);
  };
  measureLimit();
  const products = (backwardProducts(planShapes(plan)) * images.count) / 1e9;
  let step = 0;
  const seconds: StepTimes[] = [];
  const medianOf = (part: keyof StepTimes): number => new Times(seconds.map((one) => one[part])).at(0.5);
  return {
    engine: `native, ${kernels}`,
    kind: 'native',
    threads,
    step: async () => {
      const rates = { latent: RATES.binary / 10, float: RATES.float / 10 };
      const { loss, seconds: own } = await trainer.step(images.pixels, images.labels, rates, ++step);
      seconds.push(own);
      return loss;
    },
    shares: () => {
      measureLimit();
      const { roundGradients, weightProducts, inputGradients, ...whole } = seconds[0]!;
      const parts = Object.keys(whole) as (keyof StepTimes)[];
      return {
        parts: Object.fromEntries(parts.map((name) => [name, 1000 * medianOf(name)])),
        gmacs: products / (medianOf('weightProducts') + medianOf('inputGradients')),
        limit,
        bytes: trainer.bytes,
      };
    },
    close: async () => {},
  };
}

/** Products of the convolutions' backward pass for one image: gradients of weights, and of all inputs but the image. */
const backwardProducts = (shapes: readonly KernelShape[]): number =>
  shapes
    .filter(({ kind }) => kind === 'conv')
    .reduce((sum, { index, fanIn, output: { height, width, channels } }) => {
      const forward = fanIn * height * width * channels;
      return sum + (index === 0 ? forward : 2 * forward);
    }, 0);

/** Random images in which a bright block's place tells the class: something to learn. */
function benchBatch(count: number): ImageBatch {
  const random = new Random(1);
  const size = SIDE * SIDE * 3;
  const labels = new Uint16Array(count).map(() => random.below(CLASSES));
  const pixels = new Uint8Array(count * size).map(() => random.below(256));
  for (const [n, label] of labels.entries())
    pixels.fill(250, n * size + label * 300, n * size + (label + 1) * 300);
  return { count, pixels, labels };
}

async function checkSteps(contenders: readonly Contender[], tolerance: number): Promise<void> {
  const losses: number[][] = [];
  for (const contender of contenders) {
    const own: number[] = [];
    for (let i = 0; i < CHECKED; i++) own.push(await contender.step());
    losses.push(own);
  }
  // Native ones come first. The ONNX graph's sums of floats depend on the number of threads.
  const first = losses[0]!;
  for (const [c, { engine, kind }] of contenders.entries()) {
    const own = losses[c]!;
    const differs = kind === 'native' && own.some((loss, i) => loss !== first[i]);
    if (differs || !(Math.abs(own[0]! - first[0]!) < tolerance * first[0]!))
      throw internalError(
        `bench: ${engine} has losses ${own.join(', ')}, ${contenders[0]!.engine} ${first.join(', ')}`,
      );
  }
}
