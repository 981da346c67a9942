/** Runs a packed model on the native engine, where @cbnn/native is installed and can run it. */
import type { PackedModel } from '@cbnn/runtime';
import { checkImages, type PackedEngine } from './packed-engine.js';

/** Images that each thread takes between two looks at the abort signal. */
const PART = 256;

/** The native package; null where it is not installed or has nothing for this machine. */
export async function nativePackage(): Promise<typeof import('@cbnn/native') | null> {
  try {
    const native = await import('@cbnn/native');
    return native.nativeRefusal() === null ? native : null;
  } catch {
    // An optional dependency.
    return null;
  }
}

/** Null where there is no native engine, or it refuses the model. */
export async function openPackedNative(model: PackedModel, threads: number): Promise<PackedEngine | null> {
  const native = await nativePackage();
  if (!native) return null;
  let engine: import('@cbnn/native').NativeEngine;
  try {
    engine = native.NativeEngine.create(model);
  } catch {
    return null;
  }
  const used = Math.min(threads, native.nativeThreads());
  const { height, width, channels } = model.input;
  const [size, classes] = [height * width * channels, model.classes.length];
  return {
    description: `native: cbnn's own engine, ${engine.kernels}, ${used} thread${used === 1 ? '' : 's'}`,
    async scores(pixels, count, { signal, onProgress } = {}) {
      checkImages(pixels, count, model.input);
      const scores = new Int32Array(count * classes);
      for (let start = 0; start < count; start += PART * used) {
        signal?.throwIfAborted();
        const end = Math.min(count, start + PART * used);
        const part = pixels.subarray(start * size, end * size);
        scores.set(
          await engine.runBatch(part, end - start, { stretched: true, threads: used }),
          start * classes,
        );
        onProgress?.(end, count);
      }
      return scores;
    },
    close: async () => {},
  };
}
