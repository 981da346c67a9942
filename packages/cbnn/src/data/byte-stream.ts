/** Chunks of a file, plain or inflated, read as a sequence of bytes: never more than a chunk is in memory. */
import { createReadStream } from 'node:fs';
import { constants, createInflate } from 'node:zlib';
import { CbnnError, dataError } from '@cbnn/runtime';
import { reason } from './files.js';

/** A part of a file. */
export interface FileRange {
  readonly path: string;
  readonly start: number;
  /** exclusive */
  readonly end: number;
  readonly signal?: AbortSignal | undefined;
  /** the file ends before the range should: what is there is wanted */
  readonly truncated?: boolean;
}

async function* plainChunks({ path, start, end, signal }: FileRange): AsyncGenerator<Uint8Array> {
  if (start >= end) return;
  const file = createReadStream(path, {
    start,
    end: end - 1,
    highWaterMark: 1 << 18,
    ...(signal && { signal }),
  });
  yield* file as AsyncIterable<Uint8Array>;
}

/** What a zlib stream unpacks to. One that is cut off gives what is there if the range says so, else an error. */
async function* inflatedChunks(range: FileRange): AsyncGenerator<Uint8Array> {
  const { path, start, end, signal, truncated } = range;
  const inflate = createInflate({
    chunkSize: 1 << 18,
    ...(truncated && { finishFlush: constants.Z_SYNC_FLUSH }),
  });
  if (start >= end) return;
  const file = createReadStream(path, {
    start,
    end: end - 1,
    highWaterMark: 1 << 18,
    ...(signal && { signal }),
  });
  file.on('error', (error) => inflate.destroy(error));
  file.pipe(inflate);
  try {
    yield* inflate as AsyncIterable<Uint8Array>;
  } finally {
    file.destroy();
    inflate.destroy();
  }
}

export class ByteStream {
  private readonly chunks: AsyncGenerator<Uint8Array>;
  private chunk: Uint8Array = new Uint8Array(0);
  private inChunk = 0;
  /** bytes read so far */
  private count = 0;

  /** `name` is the file's, for errors. */
  constructor(
    private readonly range: FileRange,
    private readonly name: string,
    private readonly inflated: boolean,
  ) {
    this.chunks = inflated ? inflatedChunks(range) : plainChunks(range);
  }

  /** Where reading stands, e.g. `byte 136` or `byte 56 of what byte 136 on inflates to`. */
  position(): string {
    return this.inflated
      ? `byte ${this.count} of what byte ${this.range.start} on inflates to`
      : `byte ${this.range.start + this.count}`;
  }

  /** Fills `target` as far as there are bytes, and returns how many there were. */
  async fill(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      if (this.inChunk === this.chunk.length && !(await this.next())) break;
      const part = this.chunk.subarray(this.inChunk, this.inChunk + target.length - filled);
      target.set(part, filled);
      filled += part.length;
      this.inChunk += part.length;
      this.count += part.length;
    }
    return filled;
  }

  /** Exactly `count` bytes. Throws a data error where the stream ends before. */
  async exactly(count: number, what: string): Promise<DataView> {
    const bytes = new Uint8Array(count);
    const position = this.position();
    const got = await this.fill(bytes);
    if (got < count)
      throw dataError(
        `${this.name}: expected ${count} bytes (${what}) at ${position}, got ${got}; the file is truncated`,
      );
    return new DataView(bytes.buffer);
  }

  /** Reads to the end, at most `limit` bytes, so that the checksum of what was inflated is looked at. */
  async finish(limit: number): Promise<void> {
    if ((await this.fill(new Uint8Array(limit + 1))) > limit)
      throw dataError(
        `${this.name}: expected an end before ${this.position()}, got more; the file is damaged`,
      );
  }

  /** Releases the file. */
  async close(): Promise<void> {
    await this.chunks.return(undefined);
  }

  private async next(): Promise<boolean> {
    try {
      const { done, value } = await this.chunks.next();
      if (done) return false;
      this.chunk = value;
      this.inChunk = 0;
      return true;
    } catch (error) {
      if (error instanceof CbnnError || this.range.signal?.aborted) throw error;
      throw dataError(
        `${this.name}: cannot be read after ${this.position()} (${reason(error)}); the file is damaged`,
      );
    }
  }
}
