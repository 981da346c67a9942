/**
 * Batches on several threads: each has the model and an engine of its own. Where memory can be shared, a batch and its scores lie there,
 * and every thread takes the next image as soon as it is free; where not, as on a page that is not cross-origin isolated, threads are
 * sent parts, and copies go to and fro: 3 KB an image.
 */
import { decodeModelAsync } from './model-file.js';
import { WasmEngine } from './wasm/engine.js';

/** What a thread is told: the model's file once, then batches in shared memory, or parts of them. */
export type ThreadTask =
  | { readonly file: Uint8Array; readonly cost?: number }
  | { readonly shared: SharedArrayBuffer; readonly count: number; readonly prepared: boolean }
  | { readonly pixels: Uint8Array; readonly count: number; readonly prepared: boolean };

/** What it answers, in the order of its tasks. */
export type ThreadAnswer = { readonly scores: Int32Array } | { readonly error: string };

/** A worker of the platform. */
export interface Thread {
  send(task: ThreadTask, transfer: ArrayBuffer[]): void;
  /** `answer` is called for each answer, `failed` when the worker cannot start or dies */
  listen(answer: (answer: ThreadAnswer) => void, failed: (why: string) => void): void;
  end(): void;
}

/** Starts a worker whose script answers with `answerTasks`. */
export type StartThread = () => Thread;

/** Images that a thread takes at a time, at most: a message costs a browser a millisecond or two. */
const MOST_IMAGES = 64;

/** For a worker to read the model: ten times what a phone takes. */
const START_MILLISECONDS = 20_000;

/** A batch in shared memory: the image that is next (an int32), the scores, and then the pixels. */
function sharedParts(shared: SharedArrayBuffer, scoreCount: number) {
  return {
    next: new Int32Array(shared, 0, 1),
    scores: new Int32Array(shared, 4, scoreCount),
    pixels: new Uint8Array(shared, 4 + 4 * scoreCount),
  };
}

/** The side of the worker: answers tasks one after the other. */
export function answerTasks(): (
  task: ThreadTask,
) => Promise<{ answer: ThreadAnswer; transfer: ArrayBuffer[] }> {
  let engine: WasmEngine | null = null;
  let last: Promise<unknown> = Promise.resolve();
  const work = async (task: ThreadTask): Promise<Int32Array> => {
    if ('file' in task) engine = await WasmEngine.create(await decodeModelAsync(task.file), task);
    else if ('pixels' in task) return engine!.runAll(task.pixels, task.count, { prepared: task.prepared });
    else runShared(engine!, task);
    return new Int32Array(0);
  };
  return (task) => {
    const answered = last
      .then(() => work(task))
      .then(
        (scores) => ({ answer: { scores }, transfer: [scores.buffer as ArrayBuffer] }),
        (error: unknown) => ({ answer: { error: String(error) }, transfer: [] }),
      );
    last = answered;
    return answered;
  };
}

/** Runs images of a batch, one after the other, until there is no next one. */
function runShared(
  engine: WasmEngine,
  { shared, count, prepared }: { shared: SharedArrayBuffer; count: number; prepared: boolean },
): void {
  const classes = engine.model.classes.length;
  const { next, scores, pixels } = sharedParts(shared, count * classes);
  const size = pixels.length / count;
  for (let n = Atomics.add(next, 0, 1); n < count; n = Atomics.add(next, 0, 1))
    engine.run(pixels.subarray(n * size, (n + 1) * size), scores.subarray(n * classes, (n + 1) * classes), {
      prepared,
    });
}

/** Threads with the model of `file` in them. */
export class Threads {
  private constructor(
    private readonly threads: readonly OpenThread[],
    private readonly size: number,
    private readonly classes: number,
  ) {}

  /** `cost`: of `WasmEngine`. Throws an error that says why where no thread can be started. */
  static async open(
    start: StartThread,
    count: number,
    file: Uint8Array,
    size: number,
    classes: number,
    cost?: number,
  ): Promise<Threads> {
    const threads: OpenThread[] = [];
    try {
      for (let i = 0; i < count; i++) threads.push(new OpenThread(start()));
      // A script that is there but is not ours never answers.
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error('its worker does not answer')), START_MILLISECONDS);
      });
      const ready = Promise.all(
        threads.map((thread) => thread.ask({ file: file.slice(), ...(cost !== undefined && { cost }) })),
      );
      await Promise.race([ready, late]).finally(() => clearTimeout(timer));
    } catch (error) {
      for (const thread of threads) thread.end();
      throw error;
    }
    return new Threads(threads, size, classes);
  }

  /** int32 scores `[count][classes]` of `count` images, one behind the other, raw or prepared already. */
  async run(pixels: Uint8Array, count: number, prepared = false): Promise<Int32Array> {
    if (typeof SharedArrayBuffer === 'undefined') return this.runParts(pixels, count, prepared);
    const scoreCount = count * this.classes;
    const shared = new SharedArrayBuffer(4 + 4 * scoreCount + count * this.size);
    const parts = sharedParts(shared, scoreCount);
    parts.pixels.set(pixels.subarray(0, count * this.size));
    await Promise.all(this.threads.slice(0, count).map((thread) => thread.ask({ shared, count, prepared })));
    return parts.scores.slice();
  }

  private async runParts(pixels: Uint8Array, count: number, prepared: boolean): Promise<Int32Array> {
    const { size, classes } = this;
    const scores = new Int32Array(count * classes);
    const share = Math.max(1, Math.min(MOST_IMAGES, Math.ceil(count / this.threads.length)));
    let next = 0;
    const takeParts = async (thread: OpenThread) => {
      while (next < count) {
        const start = next;
        next = Math.min(count, start + share);
        // A copy, also of a Buffer, whose own `slice` is none: what is transferred is gone here.
        const part = new Uint8Array(pixels.subarray(start * size, next * size));
        const task = { pixels: part, count: next - start, prepared };
        scores.set(await thread.ask(task, [part.buffer]), start * classes);
      }
    };
    await Promise.all(this.threads.map(takeParts));
    return scores;
  }

  end(): void {
    for (const thread of this.threads) thread.end();
  }
}

/** Questions and answers of one worker. */
class OpenThread {
  private readonly waiting: { resolve: (scores: Int32Array) => void; reject: (error: Error) => void }[] = [];
  private dead: string | null = null;

  constructor(private readonly thread: Thread) {
    thread.listen(
      (answer) => {
        const first = this.waiting.shift();
        if ('scores' in answer) first?.resolve(answer.scores);
        else first?.reject(new Error(answer.error));
      },
      (why) => this.fail(why),
    );
  }

  private fail(why: string): void {
    this.dead ??= why;
    for (const { reject } of this.waiting.splice(0)) reject(new Error(why));
  }

  ask(task: ThreadTask, transfer: ArrayBuffer[] = []): Promise<Int32Array> {
    return new Promise((resolve, reject) => {
      if (this.dead !== null) return reject(new Error(this.dead));
      this.waiting.push({ resolve, reject });
      try {
        this.thread.send(task, transfer);
      } catch (error) {
        // No answer will come: the next one is another's.
        this.waiting.pop();
        reject(error);
      }
    });
  }

  end(): void {
    this.fail('it was closed');
    this.thread.end();
  }
}
