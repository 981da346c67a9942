/** Batches of the WebAssembly engine on workers, where that is worth it. */
import type { Runner } from './load.js';
import type { PackedModel } from './model.js';
import { type StartThread, Threads } from './threads.js';

/** Milliseconds of work below which a batch is done here: a browser's message to a worker and back costs several. */
const WORTH_WORKERS = 30;

/** An engine that runs single images by `run`, with batches on `count` workers, which start with the first batch that is worth it; where they cannot, it runs here. */
export function inThreads(
  run: (pixels: Uint8Array, scores: Int32Array) => void,
  description: string,
  { input, classes }: PackedModel,
  file: Uint8Array,
  count: number,
  start: StartThread,
): Runner {
  const size = input.height * input.width * input.channels;
  let opened: Promise<Threads | null> | null = null;
  let failure = '';
  let closed = false;
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
      let canHelp = !closed;
      for (let n = 0; n < images; n++) {
        run(
          pixels.subarray(n * size, (n + 1) * size),
          scores.subarray(n * classes.length, (n + 1) * classes.length),
        );
        const left = ((performance.now() - begun) / (n + 1)) * (images - n - 1);
        if (!canHelp || left < WORTH_WORKERS) continue;
        opened ??= Threads.open(start, count, file, size, classes.length).catch((error: Error) => {
          failure = error.message;
          return null;
        });
        const threads = await opened;
        if (!threads) continue;
        const rest = await threads
          .run(pixels.subarray((n + 1) * size), images - n - 1)
          .catch(({ message }: Error) => {
            failure = closed ? failure : message;
            return null;
          });
        if (rest) {
          scores.set(rest, (n + 1) * classes.length);
          break;
        }
        // A worker has died: the rest is done here, and the next batch starts new ones.
        threads.end();
        opened = null;
        canHelp = false;
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
