/** Runs a packed model on the WebAssembly engine, in as many threads as asked for. */
import { setImmediate } from 'node:timers/promises';
import { encodeModel, type PackedModel, startThread, Threads, WasmEngine } from '@cbnn/runtime';
import { checkImages, type PackedEngine } from './packed-engine.js';

/** Images that each thread takes between two looks at the abort signal. */
const PART = 64;

/** Throws a config error for a model that `wasmRefusal` refuses. */
export async function openPackedWasm(model: PackedModel, threads: number): Promise<PackedEngine> {
  const { height, width, channels } = model.input;
  const [size, classes] = [height * width * channels, model.classes.length];
  const engine = await WasmEngine.create(model);
  // Only the built package has a script for threads; sources under test run in this one.
  const workers =
    threads > 1
      ? await Threads.open(startThread, threads, encodeModel(model), size, classes).catch(() => null)
      : null;
  const used = workers ? threads : 1;

  async function run(pixels: Uint8Array, count: number): Promise<Int32Array> {
    if (workers) return workers.run(pixels, count, true);
    // Timers and signals have their turn between two parts.
    await setImmediate();
    const scores = new Int32Array(count * classes);
    for (let n = 0; n < count; n++)
      engine.run(pixels.subarray(n * size, (n + 1) * size), scores.subarray(n * classes, (n + 1) * classes), {
        stretched: true,
      });
    return scores;
  }

  return {
    description: `wasm: cbnn's own engine, ${used} thread${used === 1 ? '' : 's'}`,
    async scores(pixels, count, { signal, onProgress } = {}) {
      checkImages(pixels, count, model.input);
      const scores = new Int32Array(count * classes);
      for (let start = 0; start < count; start += PART * used) {
        signal?.throwIfAborted();
        const end = Math.min(count, start + PART * used);
        scores.set(await run(pixels.subarray(start * size, end * size), end - start), start * classes);
        onProgress?.(end, count);
      }
      return scores;
    },
    close: async () => workers?.end(),
  };
}
