/** Packed models on whole image sets, with the fastest exact engine that is there. */
import { type PackedModel, wasmRefusal } from '@cbnn/runtime';
import type { ImageSet } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import type { Pixels } from '../graph/evaluator.js';
import { openDevice } from '../graph/session.js';
import { argmax } from '../predictions.js';
import type { ImagesOptions, PackedEngine } from './packed-engine.js';
import { openPackedNative } from './packed-native.js';
import { openPackedOnnx } from './packed-onnx.js';
import { openPackedWasm } from './packed-wasm.js';

/** The fastest that is here and can run the model: native, WebAssembly, ONNX Runtime. */
export async function openEngine(model: PackedModel, threads: number): Promise<PackedEngine> {
  const native = await openPackedNative(model, threads);
  if (native) return native;
  if (wasmRefusal(model) === null) return openPackedWasm(model, threads);
  return openPackedOnnx(model, await openDevice('auto', threads));
}

/** Classes that `model` gives raw `images`. */
export async function predictPacked(
  model: PackedModel,
  images: ImageSet,
  threads: number,
  options: ImagesOptions = {},
): Promise<Uint16Array> {
  return predictPrepared(model, preparedSet(images, model.input), threads, options);
}

/** Classes that `model` gives images whose pixels are already prepared. */
export async function predictPrepared(
  model: PackedModel,
  { pixels, count }: Pixels,
  threads: number,
  options: ImagesOptions = {},
): Promise<Uint16Array> {
  const engine = await openEngine(model, threads);
  try {
    return await classesOf(engine, pixels, count, options);
  } finally {
    await engine.close();
  }
}

/** 1 per raw image that `model` classifies wrongly. */
export async function wrongOf(
  model: PackedModel,
  images: ImageSet,
  threads: number,
  options: ImagesOptions = {},
): Promise<Uint8Array> {
  return marks(await predictPacked(model, images, threads, options), images.labels);
}

/** 1 per image whose `pixels`, already prepared, the engine does not give its label. */
export async function wrongImages(
  engine: PackedEngine,
  images: ImageSet,
  pixels: Uint8Array,
): Promise<Uint8Array> {
  return marks(await classesOf(engine, pixels, images.count), images.labels);
}

async function classesOf(
  engine: PackedEngine,
  pixels: Uint8Array,
  count: number,
  options: ImagesOptions = {},
): Promise<Uint16Array> {
  const scores = await engine.scores(pixels, count, options);
  return Uint16Array.from({ length: count }, (_, n) => argmax(scores, n, scores.length / count));
}

const marks = (predictions: Uint16Array, labels: Uint16Array): Uint8Array =>
  Uint8Array.from(labels, (label, n) => (predictions[n] === label ? 0 : 1));
