/**
 * What may run a finished network here: the packed engines for networks of bits, ONNX Runtime's float32 kernels for all others, and
 * beside those what a technique allows for: ONNX Runtime's int8 kernels for fixed point, the native engine for XNOR-Net and for the
 * weights that pruning has left. Which is the best, timing says. One image at a time on one thread, and many on one and on all.
 */
import { existsSync, readFileSync } from 'node:fs';
import { type PackedModel, runReference, WasmEngine, wasmRefusal } from '@cbnn/runtime';
import { type ImageSet, takeImages } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import { openEngine } from '../engines/evaluate.js';
import { openNative } from '../engines/packed-native.js';
import { fitsInt8, openStoredInt8 } from '../engines/stored-int8.js';
import { openStoredNative, type StoredNative } from '../engines/stored-native.js';
import type { Evaluator } from '../graph/evaluator.js';
import { openDevice } from '../graph/session.js';
import { decodeNetwork, openNetwork, type StoredNetwork } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';
import { readModel } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { agreementOf, checkScores, EXACT } from './checked-scores.js';

/** Images of a batch. */
const BATCH = 32;
/** Images whose scores are compared with an oracle in plain loops, to the bit. */
const ORACLED = 1;

export interface Executor {
  readonly executor: string;
  /** that it really has: not always as many as were asked for */
  readonly threads: number;
  /** images a call */
  readonly batch: number;
  /** scores `[batch][class]` of the next images of the set, round and round */
  run(): Promise<Scores>;
  close(): Promise<void>;
}

type Scores = Float32Array | Int32Array;

/** How executors are called. */
type Calls = Pick<Executor, 'batch' | 'threads'>;

/**
 * Those that the network in `path` has here, for single images and batches on one thread, and for batches on `threads`, where they
 * are more. Throws an internal error where answers differ.
 */
export async function openExecutors(path: string, images: ImageSet, threads: number): Promise<Executor[]> {
  const some = batchOf(images);
  const calls: Calls[] = [
    { batch: 1, threads: 1 },
    { batch: BATCH, threads: 1 },
    ...(threads > 1 ? [{ batch: BATCH, threads }] : []),
  ];
  return existsSync(new RunFolder(path).model)
    ? openPacked(path, some, calls)
    : openStored(path, some, calls);
}

/** A batch of images spread over the set, which may lie class by class; of fewer images, each more than once. */
export const batchOf = (images: ImageSet): ImageSet =>
  takeImages(
    images,
    Uint32Array.from({ length: BATCH }, (_, n) =>
      images.count < BATCH ? n % images.count : Math.floor((n * images.count) / BATCH),
    ),
  );

async function openPacked(path: string, images: ImageSet, calls: readonly Calls[]): Promise<Executor[]> {
  const model = readModel(path);
  const { pixels } = preparedSet(images, model.input);
  const all = await opened(calls, (how) =>
    how.batch === 1 ? openSingle(model, pixels) : openBatches(model, pixels, how),
  );
  const classes = model.classes.length;
  const next = nextOf(pixels);
  const oracle = Array.from({ length: ORACLED }, () => [
    ...runReference(model, next(), { prepared: true }).scores,
  ]).flat();
  const scores = await scoresOf(all, classes);
  for (const [i, found] of scores.entries()) {
    const { executor } = all[i]!;
    checkScores(executor, 'plain loops', oracle, found.subarray(0, oracle.length), classes, EXACT);
    checkScores(executor, all[0]!.executor, scores[0]!, found, classes, EXACT);
  }
  return all;
}

async function openBatches(model: PackedModel, pixels: Uint8Array, { threads }: Calls): Promise<Executor> {
  const engine = await openEngine(model, threads);
  return {
    executor: nameOf(engine.description),
    threads: engine.threads,
    batch: BATCH,
    run: () => engine.scores(pixels, BATCH),
    close: () => engine.close(),
  };
}

async function openSingle(model: PackedModel, pixels: Uint8Array): Promise<Executor> {
  const next = nextOf(pixels);
  const native = await openNative(model);
  const engine = native ?? (wasmRefusal(model) === null ? await WasmEngine.create(model) : null);
  const about = { threads: 1, batch: 1 };
  if (!engine) {
    const slow = await openEngine(model, 1);
    const executor = nameOf(slow.description);
    return { ...about, executor, run: () => slow.scores(next(), 1), close: () => slow.close() };
  }
  const scores = new Int32Array(model.classes.length);
  return {
    ...about,
    executor: native ? `native, ${native.kernels}` : 'wasm',
    async run() {
      engine.run(next(), scores, { prepared: true });
      return scores;
    },
    close: async () => {},
  };
}

async function openStored(path: string, images: ImageSet, calls: readonly Calls[]): Promise<Executor[]> {
  const network = decodeNetwork(readFileSync(new RunFolder(path).network));
  const { plan, classes } = network;
  const { pixels } = preparedSet(images, plan.input);
  const own = await openNetwork(network, 1);
  const expected = await own.scores({ count: BATCH, pixels });
  await own.close();
  const native = await openStoredNative(network);
  const all = [
    ...(await opened(calls, (how) => openFloat32(network, pixels, how))),
    ...(fitsInt8(network) ? await opened(calls, (how) => openInt8(network, pixels, how)) : []),
    ...(native ? await openStoredOnNative(network, native, pixels, calls) : []),
  ];
  const size = pixels.length / BATCH;
  const agreement = agreementOf(
    network,
    native && ((image) => native.margin(pixels.subarray(image * size, (image + 1) * size))),
  );
  for (const one of all)
    checkScores(one.executor, path, expected, await allOf(one, classes.length), classes.length, agreement);
  return all;
}

/** One for each of `calls`, but for what has one thread however many are asked for. */
async function opened(calls: readonly Calls[], open: (how: Calls) => Promise<Executor>): Promise<Executor[]> {
  const all: Executor[] = [];
  for (const how of calls) {
    const one = await open(how);
    if (one.threads === 1 && how.threads > 1) await one.close();
    else all.push(one);
  }
  return all;
}

async function openFloat32(network: StoredNetwork, pixels: Uint8Array, how: Calls): Promise<Executor> {
  const { description, threads, ...opened } = await openNetwork(network, how.threads, how.batch);
  return evaluated(`${nameOf(description)}, float32`, opened, pixels, { ...how, threads });
}

async function openInt8(network: StoredNetwork, pixels: Uint8Array, how: Calls): Promise<Executor> {
  const device = await openDevice('auto', how.threads);
  const { description, threads } = device;
  const opened = await openStoredInt8(network, device, how.batch);
  return evaluated(`${nameOf(description)}, int8`, opened, pixels, { ...how, threads });
}

function evaluated(executor: string, opened: Evaluator, pixels: Uint8Array, how: Calls): Executor {
  const { batch } = how;
  const next = nextOf(pixels);
  return {
    executor,
    ...how,
    run: () => opened.scores({ count: batch, pixels: batch > 1 ? pixels : next() }),
    close: () => opened.close(),
  };
}

async function openStoredOnNative(
  network: StoredNetwork,
  engine: StoredNative,
  pixels: Uint8Array,
  calls: readonly Calls[],
): Promise<Executor[]> {
  const executor = `native, ${engine.kernels}${techniques[network.plan.technique].prunes ? ', sparse' : ''}`;
  const next = nextOf(pixels);
  const all = await opened(calls, async ({ batch, threads: asked }) => {
    const threads = Math.min(asked, engine.threads);
    const run = batch === 1 ? async () => engine.run(next()) : () => engine.runBatch(pixels, BATCH, threads);
    return { executor, batch, threads, run, close: async () => {} };
  });
  const classes = network.classes.length;
  const [single, ...others] = await scoresOf(all, classes);
  for (const found of others) checkScores(executor, 'single images', single!, found, classes, EXACT);
  const image = nextOf(pixels);
  for (let n = 0; n < ORACLED; n++) {
    const found = single!.subarray(n * classes, (n + 1) * classes);
    checkScores(executor, 'plain loops', engine.reference(image()), found, classes, EXACT);
  }
  return all;
}

async function scoresOf(all: readonly Executor[], classes: number): Promise<Float64Array[]> {
  const scores: Float64Array[] = [];
  for (const one of all) scores.push(await allOf(one, classes));
  return scores;
}

/** Scores of all images, `[BATCH][class]`. */
async function allOf({ batch, run }: Executor, classes: number): Promise<Float64Array> {
  const all = new Float64Array(BATCH * classes);
  for (let n = 0; n < BATCH; n += batch) all.set(await run(), n * classes);
  return all;
}

/** `native, avx512` of `native: cbnn's own engine, avx512, 2 threads`; `ONNX Runtime 1.30.0 native` of ONNX Runtime's devices. */
const nameOf = (description: string): string =>
  description
    .replace(": cbnn's own engine", '')
    .replace(/^[a-z]+: /, '')
    .replace(/, \d+ threads?.*$/, '');

/** One image after the other, round and round. */
function nextOf(pixels: Uint8Array): () => Uint8Array {
  const size = pixels.length / BATCH;
  let n = 0;
  return () => {
    const i = n++ % BATCH;
    return pixels.subarray(i * size, (i + 1) * size);
  };
}
