import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseArchitecture } from './architecture.js';
import { encodeModel } from './model-file.js';
import { runReference } from './reference.js';
import { randomCase } from './testing/random-model.js';
import { answerTasks, type StartThread, type ThreadAnswer, Threads } from './threads.js';

const layers = parseArchitecture('5C3-MP2-6FC-4FC');
const stretch = { low: 5, high: 95 };
const input = { height: 8, width: 6, channels: 3, stretch, code: 'gray' } as const;
const { model, images } = randomCase(7, { layers, input }, 40);
const file = encodeModel(model);
const size = 8 * 6 * 3;
const pixels = Uint8Array.from(images.flatMap((image) => [...image]));

/** A worker in this thread: answers later, and fails as `fate` says, counted by its tasks. */
function fakeThread(fate: (task: number) => 'answer' | 'die' = () => 'answer') {
  const log = { sent: 0, ended: false };
  const start: StartThread = () => {
    const answer = answerTasks();
    let tell: (answer: ThreadAnswer) => void = () => {};
    let fail: (why: string) => void = () => {};
    return {
      send(task) {
        if (fate(log.sent++) === 'die') setTimeout(() => fail('it ran out of memory'));
        else answer(structuredClone(task)).then((found) => tell(found.answer));
      },
      listen(answered, failed) {
        tell = answered;
        fail = failed;
      },
      end() {
        log.ended = true;
      },
    };
  };
  return { start, log };
}

describe.each([
  ['shared', () => {}],
  ['copied', () => vi.stubGlobal('SharedArrayBuffer', undefined)],
])('threads with %s memory', (_, prepare) => {
  beforeEach(prepare);
  afterEach(() => vi.unstubAllGlobals());

  it.each([1, 2, 3])('gives the scores of single images on %d threads, raw and prepared', async (count) => {
    const { start, log } = fakeThread();
    const threads = await Threads.open(start, count, file, size, 4);
    for (const prepared of [false, true]) {
      const expected = images.flatMap((image) => [...runReference(model, image, { prepared }).scores]);
      expect([...(await threads.run(pixels, images.length, prepared))]).toEqual(expected);
      // Two at once, and one of nothing.
      const both = await Promise.all([1, 2].map(() => threads.run(pixels, images.length, prepared)));
      expect(both.map((scores) => [...scores])).toEqual([expected, expected]);
    }
    expect(await threads.run(new Uint8Array(0), 0)).toEqual(new Int32Array(0));
    threads.end();
    expect(log.ended).toBe(true);
    await expect(threads.run(pixels, images.length)).rejects.toThrow('it was closed');
  });

  it('takes nothing away from whoever gave the pixels', async () => {
    const threads = await Threads.open(fakeThread().start, 2, file, size, 4);
    const buffer = Buffer.from(pixels);
    await threads.run(buffer, images.length);
    expect(buffer.equals(Buffer.from(pixels))).toBe(true);
  });

  it('ends what is under way when it is closed', async () => {
    const threads = await Threads.open(fakeThread().start, 1, file, size, 4);
    const running = threads.run(pixels, images.length);
    threads.end();
    await expect(running).rejects.toThrow('it was closed');
  });

  it('says why a thread cannot start, or has died', async () => {
    const dead = fakeThread(() => 'die');
    await expect(Threads.open(dead.start, 2, file, size, 4)).rejects.toThrow('it ran out of memory');
    expect(dead.log.ended).toBe(true);
    await expect(Threads.open(fakeThread().start, 1, file.subarray(1), size, 4)).rejects.toThrow(/model/i);
    const later = fakeThread((task) => (task > 2 ? 'die' : 'answer'));
    const threads = await Threads.open(later.start, 2, file, size, 4);
    await expect(threads.run(pixels, images.length)).rejects.toThrow('it ran out of memory');
    await expect(threads.run(pixels, images.length)).rejects.toThrow('it ran out of memory');
  });
});
