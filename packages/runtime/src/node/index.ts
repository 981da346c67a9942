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
  nativeThreads(): number;
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
    const used = Math.min(threads, native.nativeThreads());
    return {
      run: (pixels, scores) => engine.run(pixels, scores),
      runBatch: (pixels, count) => engine.runBatch(pixels, count, { threads }),
      description: `native: ${engine.kernels}, the fastest that this processor has; batches on ${used} thread${used === 1 ? '' : 's'}`,
    };
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace('engine native: ', '');
  }
}

const GPU_PACKAGE: string = 'webgpu';

let gpu: Promise<unknown> | null = null;

/**
 * Dawn, from npm's `webgpu`, where that is installed. One for the whole process, and kept: devices do not keep it alive, and end
 * the process when it is collected before them.
 */
const findGpu = (): Promise<unknown> => {
  // Deno has its own.
  gpu ??= globalThis.navigator?.gpu
    ? Promise.resolve(globalThis.navigator.gpu)
    : import(GPU_PACKAGE).then(
        ({ create }: { create(options: string[]): unknown }) => create([]),
        (error: unknown) => `the package ${GPU_PACKAGE} cannot be loaded (${String(error)})`,
      );
  return gpu;
};

/** Starts a thread of Node, for `Threads`. */
export const startThread: StartThread = () => {
  // Without the flags of the program: some, like --input-type, end a worker.
  const worker = new Worker(new URL('./worker.js', import.meta.url), { execArgv: [] });
  // A program that forgets to close a classifier still ends, but not while it waits for answers.
  let waiting = 0;
  worker.unref();
  return {
    send(task, transfer) {
      if (waiting++ === 0) worker.ref();
      worker.postMessage(task, transfer);
    },
    listen(answer, failed) {
      worker.on('message', (message) => {
        if (--waiting === 0) worker.unref();
        answer(message);
      });
      worker.on('error', (error) => failed(error.message));
      worker.on('exit', (code) => failed(`its thread ended with code ${code}`));
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
