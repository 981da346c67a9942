/** Runs a packed model on the WebAssembly engine, in as many threads as asked for. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { encodeModel, type PackedModel, WasmEngine } from '@cbnn/runtime';
import { checkImages, type PackedEngine } from './packed-engine.js';

/** Images that a thread takes at a time. */
const PART = 64;

/** Runs images one after the other; `pixels` are already stretched. */
export type RunImages = (pixels: Uint8Array, count: number) => Int32Array;

export async function imageRunner(model: PackedModel): Promise<RunImages> {
  const engine = await WasmEngine.create(model);
  const { height, width, channels } = model.input;
  const [size, classes] = [height * width * channels, model.classes.length];
  return (pixels, count) => {
    const scores = new Int32Array(count * classes);
    for (let n = 0; n < count; n++)
      engine.run(pixels.subarray(n * size, (n + 1) * size), scores.subarray(n * classes, (n + 1) * classes), {
        stretched: true,
      });
    return scores;
  };
}

interface Runner {
  run(pixels: Uint8Array, count: number): Promise<Int32Array>;
  close(): Promise<void>;
}

/** Throws a config error for a model that `wasmRefusal` refuses. */
export async function openPackedWasm(model: PackedModel, threads: number): Promise<PackedEngine> {
  const file = new URL('./packed-worker.js', import.meta.url);
  // Only the built package has a file for workers; sources under test run in this thread.
  const workers = threads > 1 && existsSync(file) ? threads : 0;
  const bytes = encodeModel(model);
  const runners =
    workers === 0
      ? [await inThisThread(model)]
      : Array.from({ length: workers }, () => inWorker(file, bytes));
  const { height, width, channels } = model.input;
  const [size, classes] = [height * width * channels, model.classes.length];
  return {
    description: `wasm: cbnn's own engine, ${runners.length} thread${runners.length === 1 ? '' : 's'}`,
    async scores(pixels, count) {
      checkImages(pixels, count, model.input);
      const scores = new Int32Array(count * classes);
      let next = 0;
      await Promise.all(
        runners.map(async ({ run }) => {
          while (next < count) {
            const start = next;
            next = Math.min(count, start + PART);
            scores.set(await run(pixels.subarray(start * size, next * size), next - start), start * classes);
          }
        }),
      );
      return scores;
    },
    async close() {
      for (const { close } of runners) await close();
    },
  };
}

async function inThisThread(model: PackedModel): Promise<Runner> {
  const run = await imageRunner(model);
  return {
    async run(pixels, count) {
      // Timers and signals have their turn between two parts.
      await setImmediate();
      return run(pixels, count);
    },
    close: async () => {},
  };
}

function inWorker(file: URL, model: Uint8Array): Runner {
  const worker = new Worker(file, { workerData: model });
  return {
    async run(pixels, count) {
      const part = pixels.slice();
      worker.postMessage({ pixels: part, count }, [part.buffer]);
      // `once` rejects when the worker fails.
      const [scores] = (await once(worker, 'message')) as [Int32Array];
      return scores;
    },
    async close() {
      await worker.terminate();
    },
  };
}
