/**
 * The best executor for a finished network here: the packed engines for networks of bits, ONNX Runtime's float32 kernels for all
 * others (also for XNOR-Net, whose scales no packed engine has). One image at a time on one thread, and many on all.
 */
import { existsSync, readFileSync } from 'node:fs';
import { internalError, WasmEngine, wasmRefusal } from '@cbnn/runtime';
import { finishedNetwork } from '../cost/finished-network.js';
import { type ImageSet, takeImages } from '../data/dataset.js';
import { stretchSet } from '../data/stretch-set.js';
import { openEngine } from '../engines/evaluate.js';
import { openNative } from '../engines/packed-native.js';
import { argmax } from '../predictions.js';
import { decodeNetwork, openNetwork } from '../store/network-file.js';
import { readModel } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';

/** Images of a batch. */
const BATCH = 32;
/**
 * Of those, how many may get another class from ONNX Runtime than in a batch of another size: it adds up in another order, and a
 * rounded activation may fall to the other side. Packed models have none.
 */
const MOST_DIFFERENT = 2;

export interface Executor {
  readonly executor: string;
  readonly threads: number;
  /** images a call */
  readonly batch: number;
  /** the classes of the next images of the set, round and round */
  run(): Promise<Uint16Array>;
  close(): Promise<void>;
}

/** Those of the network in `path`: single images, and batches on `threads` threads. Throws an internal error where answers differ. */
export async function openExecutors(path: string, images: ImageSet, threads: number): Promise<Executor[]> {
  const some = takeImages(
    images,
    Uint32Array.from({ length: BATCH }, (_, n) => n % images.count),
  );
  const network = finishedNetwork(path);
  const { pixels } = stretchSet(some, network.input.stretch);
  const expected = await network.predict(some, threads);
  const open = existsSync(new RunFolder(path).model) ? openPacked : openStored;
  const executors = [await open(path, pixels, 1, 1), await open(path, pixels, BATCH, threads)];
  for (const { executor, batch, run } of executors) {
    let different = 0;
    for (let n = 0; n < BATCH; n += batch)
      for (const [i, found] of (await run()).entries()) different += Number(found !== expected[n + i]);
    if (different > (network.isPacked ? 0 : MOST_DIFFERENT))
      throw internalError(
        `compare: ${executor} gives ${different} of ${BATCH} images of ${path} other classes`,
      );
  }
  return executors;
}

async function openPacked(
  path: string,
  pixels: Uint8Array,
  batch: number,
  threads: number,
): Promise<Executor> {
  const model = readModel(path);
  const classes = model.classes.length;
  const classesOf = (scores: Int32Array) =>
    Uint16Array.from({ length: batch }, (_, n) => argmax(scores, n, classes));
  if (batch > 1) {
    const engine = await openEngine(model, threads);
    const run = async () => classesOf(await engine.scores(pixels, batch));
    return { executor: nameOf(engine.description), threads, batch, run, close: () => engine.close() };
  }
  const native = await openNative(model);
  const engine = native ?? (wasmRefusal(model) === null ? await WasmEngine.create(model) : null);
  if (!engine) {
    const slow = await openEngine(model, 1);
    const next = nextOf(pixels);
    const run = async () => classesOf(await slow.scores(next(), 1));
    return { executor: nameOf(slow.description), threads, batch, run, close: () => slow.close() };
  }
  const scores = new Int32Array(classes);
  const next = nextOf(pixels);
  return {
    executor: native ? `native, ${native.kernels}` : 'wasm',
    threads,
    batch,
    async run() {
      engine.run(next(), scores, { stretched: true });
      return classesOf(scores);
    },
    close: async () => {},
  };
}

async function openStored(
  path: string,
  pixels: Uint8Array,
  batch: number,
  threads: number,
): Promise<Executor> {
  const file = readFileSync(new RunFolder(path).network);
  const network = await openNetwork(decodeNetwork(file), threads, batch);
  const next = nextOf(pixels);
  return {
    executor: `${nameOf(network.description)}, float32`,
    threads,
    batch,
    run: () => network.classify({ count: batch, pixels: batch > 1 ? pixels : next() }),
    close: () => network.close(),
  };
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
