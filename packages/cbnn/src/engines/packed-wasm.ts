/** Runs a packed model on the WebAssembly engine, in as many threads as asked for. */
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { encodeModel, type PackedModel, WasmEngine } from '@cbnn/runtime';
import { Piscina } from 'piscina';
import { checkImages, type PackedEngine } from './packed-engine.js';

/** Images that a thread takes at a time. */
const PART = 64;

/** Images to run, already stretched. */
export interface ImagePart {
  readonly pixels: Uint8Array;
  readonly count: number;
}

/** Scores of the images of a part, one after the other. */
export type RunPart = (part: ImagePart) => Int32Array;

export async function partRunner(model: PackedModel): Promise<RunPart> {
  const engine = await WasmEngine.create(model);
  const { height, width, channels } = model.input;
  const [size, classes] = [height * width * channels, model.classes.length];
  return ({ pixels, count }) => {
    const scores = new Int32Array(count * classes);
    for (let n = 0; n < count; n++)
      engine.run(pixels.subarray(n * size, (n + 1) * size), scores.subarray(n * classes, (n + 1) * classes), {
        stretched: true,
      });
    return scores;
  };
}

interface Runner {
  readonly threads: number;
  run(part: ImagePart): Promise<Int32Array>;
  close(): Promise<void>;
}

/** Throws a config error for a model that `wasmRefusal` refuses. */
export async function openPackedWasm(model: PackedModel, threads: number): Promise<PackedEngine> {
  const file = new URL('./packed-worker.js', import.meta.url);
  // Only the built package has a file for threads; sources under test run in this one.
  const runner =
    threads > 1 && existsSync(file) ? await inThreads(file, model, threads) : await inThisThread(model);
  const { height, width, channels } = model.input;
  const [size, classes] = [height * width * channels, model.classes.length];
  return {
    description: `wasm: cbnn's own engine, ${runner.threads} thread${runner.threads === 1 ? '' : 's'}`,
    async scores(pixels, count, { signal, onProgress } = {}) {
      checkImages(pixels, count, model.input);
      const scores = new Int32Array(count * classes);
      let next = 0;
      let done = 0;
      const takeParts = async () => {
        while (next < count) {
          signal?.throwIfAborted();
          const start = next;
          next = Math.min(count, start + PART);
          const part = { pixels: pixels.subarray(start * size, next * size), count: next - start };
          scores.set(await runner.run(part), start * classes);
          done += part.count;
          onProgress?.(done, count);
        }
      };
      await Promise.all(Array.from({ length: runner.threads }, takeParts));
      return scores;
    },
    close: () => runner.close(),
  };
}

async function inThisThread(model: PackedModel): Promise<Runner> {
  const run = await partRunner(model);
  return {
    threads: 1,
    async run(part) {
      // Timers and signals have their turn between two parts.
      await setImmediate();
      return run(part);
    },
    close: async () => {},
  };
}

async function inThreads(file: URL, model: PackedModel, threads: number): Promise<Runner> {
  const pool = new Piscina<ImagePart, Int32Array>({
    filename: file.href,
    minThreads: threads,
    maxThreads: threads,
    workerData: encodeModel(model),
  });
  const run = async ({ pixels, count }: ImagePart): Promise<Int32Array> => {
    // A copy, also of a Buffer (whose own `slice` is none): what is transferred is gone here.
    const copy = new Uint8Array(pixels);
    return await pool.run({ pixels: copy, count }, { transferList: [copy.buffer] });
  };
  try {
    await run({ pixels: new Uint8Array(0), count: 0 });
  } catch (error) {
    await pool.destroy();
    throw error;
  }
  return { threads, run, close: () => pool.destroy() };
}
