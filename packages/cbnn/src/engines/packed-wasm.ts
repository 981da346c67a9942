/** Runs a packed model on the WebAssembly engine, in as many threads as asked for. */
import { setImmediate } from 'node:timers/promises';
import { encodeModel, type PackedModel, startThread, Threads, WasmEngine } from '@cbnn/runtime';
import { inParts, type PackedEngine } from './packed-engine.js';

/** Images that each thread takes between two looks at the abort signal. */
const PART = 64;

/** Throws a config error for a model that `wasmRefusal` refuses. */
export async function openPackedWasm(model: PackedModel, threads: number): Promise<PackedEngine> {
  const { height, width, channels } = model.input;
  const [size, classes] = [height * width * channels, model.classes.length];
  // Only the built package has a script for threads; sources under test run in this one.
  const workers =
    threads > 1
      ? await Threads.open(startThread, threads, encodeModel(model), size, classes).catch(() => null)
      : null;
  const used = workers ? threads : 1;
  const engine = workers ? null : await WasmEngine.create(model);
  return {
    description: `wasm: cbnn's own engine, ${used} thread${used === 1 ? '' : 's'}`,
    threads: used,
    scores: inParts(model, PART * used, async (pixels, count) => {
      if (workers) return workers.run(pixels, count, true);
      // Timers and signals have their turn between two parts.
      await setImmediate();
      return engine!.runAll(pixels, count, { prepared: true });
    }),
    close: async () => workers?.end(),
  };
}
