/**
 * What may run a finished network here: the packed engines for networks of bits, ONNX Runtime's float32 kernels for all others, and
 * beside those what a technique allows for: ONNX Runtime's int8 kernels for fixed point, the native engine for XNOR-Net and for the
 * weights that pruning has left. Which is the best, timing says. One image at a time on one thread, and many on all.
 */
import { existsSync, readFileSync } from 'node:fs';
import { runReference, WasmEngine, wasmRefusal } from '@cbnn/runtime';
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
  readonly threads: number;
  /** images a call */
  readonly batch: number;
  /** scores `[batch][class]` of the next images of the set, round and round */
  run(): Promise<Scores>;
  close(): Promise<void>;
}

type Scores = Float32Array | Int32Array;

/** Those that the network in `path` has here, for single images and for batches. Throws an internal error where answers differ. */
export async function openExecutors(path: string, images: ImageSet, threads: number): Promise<Executor[]> {
  const some = batchOf(images);
  return existsSync(new RunFolder(path).model)
    ? openPacked(path, some, threads)
    : openStored(path, some, threads);
}

/** A batch of images spread over the set, which may lie class by class; of fewer images, each more than once. */
export const batchOf = (images: ImageSet): ImageSet =>
  takeImages(
    images,
    Uint32Array.from({ length: BATCH }, (_, n) =>
      images.count < BATCH ? n % images.count : Math.floor((n * images.count) / BATCH),
    ),
  );

async function openPacked(path: string, images: ImageSet, threads: number): Promise<Executor[]> {
  const model = readModel(path);
  const { pixels } = preparedSet(images, model.input);
  const engine = await openEngine(model, threads);
  const executor = nameOf(engine.description);
  const run = () => engine.scores(pixels, BATCH);
  const many: Executor = { executor, threads, batch: BATCH, run, close: () => engine.close() };
  const expected = await many.run();
  const classes = model.classes.length;
  const next = nextOf(pixels);
  for (let n = 0; n < ORACLED; n++) {
    const { scores } = runReference(model, next(), { prepared: true });
    checkScores(
      executor,
      'plain loops',
      scores,
      expected.subarray(n * classes, (n + 1) * classes),
      classes,
      EXACT,
    );
  }
  const one = await openSingle(path, pixels);
  checkScores(one.executor, executor, expected, await allOf(one, classes), classes, EXACT);
  return [one, many];
}

async function openSingle(path: string, pixels: Uint8Array): Promise<Executor> {
  const model = readModel(path);
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

async function openStored(path: string, images: ImageSet, threads: number): Promise<Executor[]> {
  const network = decodeNetwork(readFileSync(new RunFolder(path).network));
  const { plan, classes } = network;
  const { pixels } = preparedSet(images, plan.input);
  const own = await openNetwork(network, threads);
  const expected = await own.scores({ count: BATCH, pixels });
  await own.close();
  const native = await openStoredNative(network);
  const all = [
    await openFloat32(network, pixels, 1, 1),
    await openFloat32(network, pixels, BATCH, threads),
    ...(fitsInt8(network)
      ? [await openInt8(network, pixels, 1, 1), await openInt8(network, pixels, BATCH, threads)]
      : []),
    ...(native ? await openNativeBoth(network, native, pixels, threads) : []),
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

async function openFloat32(
  network: StoredNetwork,
  pixels: Uint8Array,
  batch: number,
  threads: number,
): Promise<Executor> {
  const opened = await openNetwork(network, threads, batch);
  return evaluated(`${nameOf(opened.description)}, float32`, opened, pixels, batch, threads);
}

async function openInt8(
  network: StoredNetwork,
  pixels: Uint8Array,
  batch: number,
  threads: number,
): Promise<Executor> {
  const device = await openDevice('auto', threads);
  const opened = await openStoredInt8(network, device, batch);
  return evaluated(`${nameOf(device.description)}, int8`, opened, pixels, batch, threads);
}

function evaluated(
  executor: string,
  opened: Evaluator,
  pixels: Uint8Array,
  batch: number,
  threads: number,
): Executor {
  const next = nextOf(pixels);
  return {
    executor,
    threads,
    batch,
    run: () => opened.scores({ count: batch, pixels: batch > 1 ? pixels : next() }),
    close: () => opened.close(),
  };
}

async function openNativeBoth(
  network: StoredNetwork,
  engine: StoredNative,
  pixels: Uint8Array,
  threads: number,
): Promise<Executor[]> {
  const executor = `native, ${engine.kernels}${techniques[network.plan.technique].prunes ? ', sparse' : ''}`;
  const next = nextOf(pixels);
  const close = async () => {};
  const one = { executor, threads: 1, batch: 1, run: async () => engine.run(next()), close };
  const run = () => engine.runBatch(pixels, BATCH, threads);
  const many = { executor, threads, batch: BATCH, run, close };
  const classes = network.classes.length;
  const [single, together] = [await allOf(one, classes), await many.run()];
  checkScores(executor, 'single images', single, together, classes, EXACT);
  const image = nextOf(pixels);
  for (let n = 0; n < ORACLED; n++) {
    const found = single.subarray(n * classes, (n + 1) * classes);
    checkScores(executor, 'plain loops', engine.reference(image()), found, classes, EXACT);
  }
  return [one, many];
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
