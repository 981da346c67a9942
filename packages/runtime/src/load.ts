/** A model to classify images with, from a file's bytes or an address, on the fastest engine that can run it. */
import { CbnnError, configError, dataError } from './errors.js';
import type { PackedModel } from './model.js';
import { decodeModel } from './model-file.js';
import { classify, runReference } from './reference.js';
import { WasmEngine, wasmRefusal } from './wasm/engine.js';

export const engineNames = ['auto', 'wasm', 'reference'] as const;
export type EngineName = (typeof engineNames)[number];

export interface LoadOptions {
  /** `auto` (default): `wasm` where it can run the model, else `reference`; `wasm`: that or an error */
  readonly engine?: EngineName;
}

/** RGBA pixels as a canvas gives them. */
export interface RgbaImage {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** uint8 `[height][width][channel]`, or an `ImageData`. Not stretched, not scaled: the model says how it sees pixels. */
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
  /** Several images, as a list or as one array after the other. */
  classifyBatch(images: readonly Image[] | Uint8Array): Promise<Classification[]>;
}

/**
 * Loads a packed model: the bytes of its file, or an address to fetch them from. Throws a config error for an engine that
 * cannot run it, a model error for a file that is not a model, and a data error for one that cannot be fetched.
 */
export async function load(
  source: string | URL | ArrayBuffer | Uint8Array,
  { engine = 'auto' }: LoadOptions = {},
): Promise<Classifier> {
  if (!engineNames.includes(engine))
    throw configError(`engine: expected one of ${engineNames.join(', ')}, got ${engine}`);
  const bytes =
    typeof source === 'string' || source instanceof URL ? await fetchBytes(source) : new Uint8Array(source);
  const model = decodeModel(bytes);
  const { run, description } = await openRunner(model, engine);
  const pixelCount = model.input.height * model.input.width * model.input.channels;

  function one(image: Image): Classification {
    const scores = new Int32Array(model.classes.length);
    run(pixelsOf(image, model), scores);
    const index = classify(scores);
    return { index, label: model.classes[index]!, scores };
  }
  return {
    model,
    engine: description,
    classify: async (image) => one(image),
    async classifyBatch(images) {
      if (!(images instanceof Uint8Array)) return images.map(one);
      if (images.length % pixelCount !== 0)
        throw dataError(
          `batch: expected a multiple of ${pixelCount} bytes (one image), got ${images.length}`,
        );
      return Array.from({ length: images.length / pixelCount }, (_, n) =>
        one(images.subarray(n * pixelCount, (n + 1) * pixelCount)),
      );
    },
  };
}

type Run = (pixels: Uint8Array, scores: Int32Array) => void;

async function openRunner(
  model: PackedModel,
  engine: EngineName,
): Promise<{ run: Run; description: string }> {
  const reference = (why: string) => ({
    run: (pixels: Uint8Array, scores: Int32Array) => scores.set(runReference(model, pixels).scores),
    description: `reference: ${why}`,
  });
  if (engine === 'reference') return reference('plain loops, as asked for');
  const refusal = wasmRefusal(model);
  if (engine === 'wasm' && refusal) throw configError(`engine wasm: ${refusal}`);
  if (refusal) return reference(`plain loops, because ${refusal}`);
  try {
    const wasm = await WasmEngine.create(model);
    return { run: (pixels, scores) => wasm.run(pixels, scores), description: 'wasm: WebAssembly with SIMD' };
  } catch (error) {
    // No WebAssembly, none with SIMD, or forbidden by the page's policy.
    if (error instanceof CbnnError && error.kind === 'internal') throw error;
    const why = error instanceof Error ? error.message : String(error);
    if (engine === 'wasm') throw configError(`engine wasm: cannot run here: ${why}`);
    return reference(`plain loops, because WebAssembly cannot run here: ${why}`);
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
  if (image instanceof Uint8ClampedArray) return new Uint8Array(image.buffer, image.byteOffset, image.length);
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
