/** A model to classify images with, from a file's bytes or an address, on the fastest engine that can run it. */
import { classify } from './classify.js';
import { CbnnError, configError, dataError } from './errors.js';
import type { PackedModel } from './model.js';
import { decodeModelAsync } from './model-file.js';
import { valuesOf } from './shapes.js';
import { checkPixels } from './slices.js';
import type { StartThread } from './threads.js';
import { WasmEngine, wasmRefusal } from './wasm/engine.js';

export const engineNames = ['auto', 'native', 'wasm', 'webgpu', 'reference'] as const;
export type EngineName = (typeof engineNames)[number];

export interface LoadOptions {
  /**
   * `auto` (default): the first of `native`, `wasm` and `reference` that can run the model here; a name: that or an error.
   * `native` is there in Node, where the package @cbnn/native is installed. `webgpu` is only taken when it is asked for: a single
   * image waits longer for an answer from the GPU than a CPU takes.
   */
  readonly engine?: EngineName;
  /** of batches; 1 by default. On the WebAssembly engine they are workers, started with the first batch. */
  readonly threads?: number;
}

/** RGBA pixels as a canvas gives them. */
export interface RgbaImage {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** uint8 `[height][width][channel]`, or an `ImageData`. Not stretched, not coded, not scaled: the model says how it sees pixels. */
export type Image = Uint8Array | Uint8ClampedArray | RgbaImage;

export interface Classification {
  readonly index: number;
  /** the class's name */
  readonly label: string;
  /** one per class; the largest is the class, of equal ones the first */
  readonly scores: Int32Array;
}

export interface Classifier {
  readonly model: PackedModel;
  /** which engine runs, and why, in one line */
  readonly engine: string;
  /** Throws a data error for an image of another size. */
  classify(image: Image): Promise<Classification>;
  classify(images: readonly Image[]): Promise<Classification[]>;
  /** Several images, as a list or as one array, one image after the other. */
  classifyBatch(images: readonly Image[] | Uint8Array | Uint8ClampedArray): Promise<Classification[]>;
  /** Ends the workers that batches run on, where there are any. */
  close(): void;
}

/** An engine with a model in it. */
export interface Runner {
  /** which engine runs, and why, in one line */
  readonly description: string;
  run(pixels: Uint8Array, scores: Int32Array): void | Promise<void>;
  /** scores `[count][classes]` of `count` images, where the engine has something faster than one after the other */
  runBatch?(pixels: Uint8Array, count: number): Promise<Int32Array>;
  close?(): void;
}

/** What differs between browsers and Node. */
export interface Platform {
  /** Opens the native engine, or says why it cannot. */
  openNative(model: PackedModel, threads: number): Promise<Runner | string>;
  readonly startThread: StartThread;
  /** A `GPU`; null, or a reason, where there is none. Not typed: users without the types of the DOM read this file's. */
  findGpu(): Promise<unknown>;
}

const browser: Platform = {
  openNative: async () => 'the native engine runs in Node',
  findGpu: async () => globalThis.navigator?.gpu,
  startThread() {
    // Bundlers know this form and take the script along.
    const worker = new Worker(new URL('./cbnn-worker.js', import.meta.url), { type: 'module' });
    return {
      send: (task, transfer) => worker.postMessage(task, transfer),
      listen(answer, failed) {
        worker.onmessage = ({ data }) => answer(data);
        worker.onerror = ({ message }) => failed(message || 'its worker cannot be started');
      },
      end: () => worker.terminate(),
    };
  },
};

/**
 * Loads a packed model: the bytes of its file, or an address to fetch them from. Throws a config error for an engine that
 * cannot run it, a model error for a file that is not a model, and a data error for one that cannot be fetched.
 */
export const load = (
  source: string | URL | ArrayBuffer | Uint8Array,
  options: LoadOptions = {},
): Promise<Classifier> => loadWith(browser, source, options);

/** `load` on a platform. */
export async function loadWith(
  platform: Platform,
  source: string | URL | ArrayBuffer | Uint8Array,
  { engine = 'auto', threads = 1 }: LoadOptions,
): Promise<Classifier> {
  if (!engineNames.includes(engine))
    throw configError(`engine: expected one of ${engineNames.join(', ')}, got ${engine}`);
  if (!Number.isInteger(threads) || threads < 1)
    throw configError(`threads: expected an integer from 1, got ${threads}`);
  // A copy: whoever gave them may use the array again before all is read.
  const bytes =
    typeof source === 'string' || source instanceof URL
      ? await fetchBytes(source)
      : new Uint8Array(new Uint8Array(source));
  const model = await decodeModelAsync(bytes);
  const runner = await openRunner(model, bytes, engine, threads, platform);
  const size = valuesOf(model.input);
  const classes = model.classes.length;

  const classification = (scores: Int32Array): Classification => {
    const index = classify(scores);
    return { index, label: model.classes[index]!, scores };
  };
  async function one(image: Image): Promise<Classification> {
    const scores = new Int32Array(classes);
    await runner.run(pixelsOf(image, model), scores);
    return classification(scores);
  }
  function classifyAny(image: Image): Promise<Classification>;
  function classifyAny(images: readonly Image[]): Promise<Classification[]>;
  function classifyAny(images: Image | readonly Image[]) {
    return Array.isArray(images) ? classifier.classifyBatch(images) : one(images as Image);
  }
  const classifier: Classifier = {
    model,
    get engine() {
      return runner.description;
    },
    classify: classifyAny,
    async classifyBatch(images) {
      const isFlat = images instanceof Uint8Array || images instanceof Uint8ClampedArray;
      if (isFlat && images.length % size !== 0)
        throw dataError(`batch: expected a multiple of ${size} bytes (one image), got ${images.length}`);
      const count = isFlat ? images.length / size : images.length;
      const imageAt = (n: number): Image => (isFlat ? images.subarray(n * size, (n + 1) * size) : images[n]!);
      if (!runner.runBatch) return Promise.all(Array.from({ length: count }, (_, n) => one(imageAt(n))));
      // A copy: whoever gave them may use the array again before the answer is there.
      const pixels = isFlat ? new Uint8Array(images) : new Uint8Array(count * size);
      if (!isFlat)
        for (const [n, image] of images.entries()) {
          const own = pixelsOf(image, model);
          checkPixels(own, model.input);
          pixels.set(own, n * size);
        }
      const scores = await runner.runBatch(pixels, count);
      return Array.from({ length: count }, (_, n) =>
        classification(scores.subarray(n * classes, (n + 1) * classes)),
      );
    },
    close: () => runner.close?.(),
  };
  return classifier;
}

async function openRunner(
  model: PackedModel,
  file: Uint8Array,
  engine: EngineName,
  threads: number,
  { openNative, startThread, findGpu }: Platform,
): Promise<Runner> {
  // What only some need is loaded when they need it.
  const reference = async (why: string): Promise<Runner> => {
    const { referenceRefusal, runReference } = await import('./reference.js');
    const refusal = referenceRefusal(model, { products: engine === 'auto' });
    if (refusal) throw configError(`engine ${engine}: ${engine === 'auto' ? `${why}, and ` : ''}${refusal}`);
    return {
      run: (pixels, scores) => scores.set(runReference(model, pixels).scores),
      description: `reference: ${why}`,
    };
  };
  if (engine === 'reference') return reference('plain loops, as asked for');
  if (engine === 'webgpu') {
    const gpu = await findGpu();
    if (!gpu || typeof gpu === 'string')
      throw configError(
        `engine webgpu: there is no WebGPU here${gpu ? `: ${gpu}` : ''}; in Node it comes with the package webgpu`,
      );
    const { WebGpuEngine } = await import('./webgpu/engine.js');
    const webgpu = await WebGpuEngine.create(model, gpu as GPU);
    return {
      run: async (pixels, scores) => scores.set(await webgpu.run(pixels, 1)),
      runBatch: (pixels, count) => webgpu.run(pixels, count),
      close: () => webgpu.close(),
      description: `webgpu: ${webgpu.adapter}`,
    };
  }
  let without = '';
  if (engine !== 'wasm') {
    const native = await openNative(model, threads);
    if (typeof native !== 'string') return native;
    if (engine === 'native') throw configError(`engine native: ${native}`);
    without = `; ${native}`;
  }
  const refusal = wasmRefusal(model);
  if (engine === 'wasm' && refusal) throw configError(`engine wasm: ${refusal}`);
  if (refusal) return reference(`plain loops, because ${refusal}${without}`);
  try {
    const wasm = await WasmEngine.create(model);
    const run = (pixels: Uint8Array, scores: Int32Array) => wasm.run(pixels, scores);
    const description = `wasm: WebAssembly with SIMD${without}`;
    if (threads === 1) return { run, description };
    const { inThreads } = await import('./in-threads.js');
    return inThreads(run, description, model, file, threads, startThread, wasm.cost);
  } catch (error) {
    // No WebAssembly, none with SIMD, or forbidden by the page's policy.
    if (error instanceof CbnnError && error.kind === 'internal') throw error;
    const why = error instanceof Error ? error.message : String(error);
    if (engine === 'wasm') throw configError(`engine wasm: cannot run here: ${why}`);
    return reference(`plain loops, because WebAssembly cannot run here: ${why}${without}`);
  }
}

async function fetchBytes(address: string | URL): Promise<Uint8Array> {
  let status: number;
  try {
    const response = await fetch(address);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    status = response.status;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw dataError(`model ${address}: cannot be fetched (${why}); a file on disk is given as its bytes`);
  }
  throw dataError(`model ${address}: expected an answer of 200, got ${status}`);
}

/** The bytes that the model takes. Of RGBA, alpha is left out; a grey model takes it where red, green and blue are equal. */
function pixelsOf(image: Image, { input }: PackedModel): Uint8Array {
  if (image instanceof Uint8Array) return image;
  if (image instanceof Uint8ClampedArray) return new Uint8Array(image);
  const { data, width, height } = image;
  const { channels } = input;
  if (width !== input.width || height !== input.height)
    throw dataError(
      `image: expected ${input.width} x ${input.height} pixels, got ${width} x ${height}; scale it with a canvas`,
    );
  if (data.length !== 4 * width * height)
    throw dataError(`image: expected ${4 * width * height} bytes of RGBA, got ${data.length}`);
  if (channels !== 1 && channels !== 3)
    throw dataError(`image: the model takes ${channels} channels; give it raw bytes`);
  const pixels = new Uint8Array(width * height * channels);
  for (let p = 0; p < width * height; p++) {
    const [red, green, blue] = [data[4 * p]!, data[4 * p + 1]!, data[4 * p + 2]!];
    if (channels === 3) pixels.set([red, green, blue], 3 * p);
    else if (red === green && green === blue) pixels[p] = red;
    else throw dataError('image: the model takes grey images, got one in colour');
  }
  return pixels;
}
