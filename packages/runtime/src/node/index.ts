/** The entry for Node: the same as index.ts, with the native engine where the package @cbnn/native is installed. */
import { Worker } from 'node:worker_threads';
import { type Classifier, type LoadOptions, loadWith, type Platform, type Runner } from '../load.js';
import type { PackedModel } from '../model.js';
import type { StartThread } from '../threads.js';

export * from '../index.js';
export { Threads } from '../threads.js';

/** What this needs of @cbnn/native, which depends on this package and not the other way round. */
interface NativePackage {
  nativeRefusal(): string | null;
  readonly NativeEngine: {
    create(model: PackedModel): {
      readonly kernels: string;
      run(pixels: Uint8Array, scores: Int32Array): void;
      runBatch(pixels: Uint8Array, count: number, options: { threads: number }): Promise<Int32Array>;
    };
  };
}

const PACKAGE: string = '@cbnn/native';

async function openNative(model: PackedModel, threads: number): Promise<Runner | string> {
  let native: NativePackage;
  try {
    native = (await import(PACKAGE)) as NativePackage;
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    return isMissing ? `${PACKAGE} is not installed` : `${PACKAGE} cannot be loaded (${String(error)})`;
  }
  const refusal = native.nativeRefusal();
  if (refusal !== null) return refusal;
  try {
    const engine = native.NativeEngine.create(model);
    return {
      run: (pixels, scores) => engine.run(pixels, scores),
      runBatch: (pixels, count) => engine.runBatch(pixels, count, { threads }),
      description: `native: ${engine.kernels}, batches on ${threads} thread${threads === 1 ? '' : 's'}`,
    };
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace('engine native: ', '');
  }
}

const GPU_PACKAGE: string = 'webgpu';

/** Dawn, from npm's `webgpu`, where that is installed and finds an adapter's driver. */
async function findGpu(): Promise<GPU | null> {
  try {
    const { create } = (await import(GPU_PACKAGE)) as { create(options: string[]): GPU };
    return create([]);
  } catch {
    return null;
  }
}

/** Starts a thread of Node, for `Threads`. */
export const startThread: StartThread = () => {
  const worker = new Worker(new URL('./worker.js', import.meta.url));
  // A program that forgets to close a classifier still ends.
  worker.unref();
  return {
    send(task, transfer) {
      worker.ref();
      worker.postMessage(task, transfer);
    },
    listen(answer, failed) {
      worker.on('message', (message) => {
        worker.unref();
        answer(message);
      });
      worker.on('error', (error) => failed(error.message));
    },
    end: () => void worker.terminate(),
  };
};

const node: Platform = { openNative, findGpu, startThread };

/**
 * Loads a packed model: the bytes of its file, or an address to fetch them from. Throws a config error for an engine that
 * cannot run it, a model error for a file that is not a model, and a data error for one that cannot be fetched.
 */
export const load = (
  source: string | URL | ArrayBuffer | Uint8Array,
  options: LoadOptions = {},
): Promise<Classifier> => loadWith(node, source, options);
