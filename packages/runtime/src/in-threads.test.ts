/** Batches on workers that die, cannot start, or are closed meanwhile. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { parseArchitecture } from './architecture.js';
import { inThreads } from './in-threads.js';
import { encodeModel } from './model-file.js';
import { runReference } from './reference.js';
import { randomCase } from './testing/random-model.js';
import { answerTasks, type StartThread, type ThreadAnswer } from './threads.js';

const { model, images } = randomCase(7, { layers: parseArchitecture('5C3-MP2-6FC-4FC') }, 12);
const pixels = Uint8Array.from(images.flatMap((image) => [...image]));
const expected = images.flatMap((image) => [...runReference(model, image).scores]);

/** Workers of this thread, of which `fails` says at each task whether it dies. */
function workers(fails: (worker: number, task: number) => boolean) {
  const alive = new Set<number>();
  let started = 0;
  const start: StartThread = () => {
    const worker = started++;
    alive.add(worker);
    const answer = answerTasks();
    let tell: (answer: ThreadAnswer) => void = () => {};
    let fail: (why: string) => void = () => {};
    let tasks = 0;
    return {
      send(task) {
        if (fails(worker, tasks++)) setTimeout(() => fail('it ran out of memory'));
        else answer(structuredClone(task)).then((found) => tell(found.answer));
      },
      listen(answered, failed) {
        tell = answered;
        fail = failed;
      },
      end: () => alive.delete(worker),
    };
  };
  const runner = inThreads(
    (image, scores) => scores.set(runReference(model, image).scores),
    'wasm',
    model,
    encodeModel(model),
    2,
    start,
    2,
  );
  return { runner, alive, batch: () => runner.runBatch!(pixels, images.length) };
}

// A clock on which every image takes a second: a batch is always worth workers.
beforeEach(() => {
  let seconds = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => 1000 * seconds++);
});
afterEach(() => vi.restoreAllMocks());

it('does what is left of a batch where a worker died, and the next one on new workers', async () => {
  const { runner, alive, batch } = workers((worker, task) => worker === 1 && task === 1);
  expect([...(await batch())]).toEqual(expected);
  expect(runner.description).toBe('wasm; batches here, as workers fail: it ran out of memory');
  expect(alive.size).toBe(0);
  expect([...(await batch())]).toEqual(expected);
  expect(runner.description).toBe('wasm, batches on 2 workers');
  runner.close!();
  await new Promise((resolve) => setTimeout(resolve));
  expect(alive.size).toBe(0);
});

it('leaves the workers of other batches alone', async () => {
  const { runner, alive, batch } = workers((worker, task) => worker === 1 && task === 1);
  const all = await Promise.all([batch(), batch(), batch()]);
  for (const scores of all) expect([...scores]).toEqual(expected);
  expect([...(await batch())]).toEqual(expected);
  runner.close!();
  await new Promise((resolve) => setTimeout(resolve));
  expect(alive.size).toBe(0);
});

it('starts none after it is closed', async () => {
  const { runner, alive, batch } = workers(() => false);
  const running = batch();
  runner.close!();
  expect([...(await running)]).toEqual(expected);
  expect([...(await batch())]).toEqual(expected);
  expect(alive.size).toBe(0);
});

it('goes on without workers that cannot start, and says why', async () => {
  const { runner, alive, batch } = workers((_, task) => task === 0);
  for (let i = 0; i < 2; i++) expect([...(await batch())]).toEqual(expected);
  expect(runner.description).toBe('wasm; batches here, as workers fail: it ran out of memory');
  expect(alive.size).toBe(0);
});
