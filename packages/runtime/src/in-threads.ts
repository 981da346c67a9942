/** Batches of the WebAssembly engine on workers, where that is worth it. */

import type { Runner } from './load.js';
import type { PackedModel } from './model.js';
import { valuesOf } from './shapes.js';
import { type StartThread, Threads } from './threads.js';

/** Milliseconds of work below which a batch is done here: a browser's message to a worker and back costs several. */
const WORTH_WORKERS = 30;

/**
 * An engine that runs single images by `run`, with batches on `count` workers, which start with the first batch that is worth it; where
 * they cannot, it runs here. `cost`: of `WasmEngine`.
 */
export function inThreads(
  run: (pixels: Uint8Array, scores: Int32Array) => void,
  description: string,
  { input, classes }: PackedModel,
  file: Uint8Array,
  count: number,
  start: StartThread,
  cost: number,
): Runner {
  const size = valuesOf(input);
  let opened: Promise<Threads | null> | null = null;
  let failure = '';
  let closed = false;
  const open = () =>
    Threads.open(start, count, file, size, classes.length, cost).catch((error: Error) => {
      failure = error.message;
      return null;
    });
  return {
    run,
    get description() {
      return failure
        ? `${description}; batches here, as workers fail: ${failure}`
        : `${description}, batches on ${count} workers`;
    },
    async runBatch(pixels, images) {
      const scores = new Int32Array(images * classes.length);
      const begun = performance.now();
      let canHelp = true;
      for (let n = 0; n < images; n++) {
        run(
          pixels.subarray(n * size, (n + 1) * size),
          scores.subarray(n * classes.length, (n + 1) * classes.length),
        );
        const left = ((performance.now() - begun) / (n + 1)) * (images - n - 1);
        if (closed || !canHelp || left < WORTH_WORKERS) continue;
        opened ??= open();
        const own = opened;
        const threads = await own;
        canHelp = false;
        if (!threads) continue;
        try {
          const rest = await threads.run(pixels.subarray((n + 1) * size), images - n - 1);
          failure = '';
          scores.set(rest, (n + 1) * classes.length);
          break;
        } catch (error) {
          // A worker has died: the rest is done here, and the next batch starts new ones.
          threads.end();
          if (!closed) failure = (error as Error).message;
          if (opened === own) opened = null;
        }
      }
      return scores;
    },
    close() {
      closed = true;
      opened?.then((threads) => threads?.end());
      opened = null;
    },
  };
}
