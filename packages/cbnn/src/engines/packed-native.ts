/** Runs a packed model on the native engine, where @cbnn/native is installed and can run it. */
import type { NativeEngine } from '@cbnn/native';
import type { PackedModel } from '@cbnn/runtime';
import { inParts, type PackedEngine } from './packed-engine.js';

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

/** The native engine on some instruction set, the fastest by default; null where there is none, or it refuses the model. */
export async function openNative(model: PackedModel, kernels?: string): Promise<NativeEngine | null> {
  const native = await nativePackage();
  try {
    return native?.NativeEngine.create(model, kernels === undefined ? {} : { kernels }) ?? null;
  } catch {
    return null;
  }
}

/** Null where there is no native engine, or it refuses the model. */
export async function openPackedNative(model: PackedModel, threads: number): Promise<PackedEngine | null> {
  const native = await nativePackage();
  const engine = await openNative(model);
  if (!native || !engine) return null;
  const used = Math.min(threads, native.nativeThreads());
  return {
    description: `native: cbnn's own engine, ${engine.kernels}, ${used} thread${used === 1 ? '' : 's'}`,
    threads: used,
    scores: inParts(model, PART * used, (pixels, count) =>
      engine.runBatch(pixels, count, { prepared: true, threads: used }),
    ),
    close: async () => {},
  };
}
