/** What runs a packed model on many images: the lab's engines, all exact. */
import { dataError, type InputSpec, type PackedModel } from '@cbnn/runtime';

/** For long work on images. */
export interface ImagesOptions {
  readonly signal?: AbortSignal;
  /** images done, of all */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface PackedEngine {
  readonly description: string;
  readonly threads: number;
  /**
   * int32 scores `[count][classes]` of images that are already prepared, `[count][height][width][channels]`. One call at a
   * time.
   */
  scores(pixels: Uint8Array, count: number, options?: ImagesOptions): Promise<Int32Array>;
  close(): Promise<void>;
}

/** Throws a data error unless `pixels` are `count` images of the model's size. */
function checkImages(pixels: Uint8Array, count: number, { height, width, channels }: InputSpec): void {
  const size = height * width * channels;
  if (pixels.length !== count * size)
    throw dataError(
      `images: expected ${height}x${width}x${channels}, ${size} bytes each, got ${pixels.length / count} bytes each; the model is for images of another size`,
    );
}

/** `scores` of an engine that runs `part` images at a time: between two parts it can be stopped, and tells how far it is. */
export function inParts(
  { input, classes: { length: classes } }: PackedModel,
  part: number,
  run: (pixels: Uint8Array, count: number) => Promise<Int32Array>,
): PackedEngine['scores'] {
  const size = input.height * input.width * input.channels;
  return async (pixels, count, { signal, onProgress } = {}) => {
    checkImages(pixels, count, input);
    const scores = new Int32Array(count * classes);
    for (let start = 0; start < count; start += part) {
      signal?.throwIfAborted();
      const end = Math.min(count, start + part);
      scores.set(await run(pixels.subarray(start * size, end * size), end - start), start * classes);
      onProgress?.(end, count);
    }
    return scores;
  };
}
