/** The lab's engines for packed models: the same scores as the reference, whichever runs, and in several threads. */
import { runReference, wasmRefusal } from '@cbnn/runtime';
import { afterAll, describe, expect, it } from 'vitest';
import { randomCase } from '../../../runtime/src/testing/random-model.js';
import { openDevice } from '../graph/session.js';
import { openEngine } from './evaluate.js';
import type { PackedEngine } from './packed-engine.js';
import { openPackedNative } from './packed-native.js';
import { openPackedOnnx } from './packed-onnx.js';
import { openPackedWasm } from './packed-wasm.js';

const opened: PackedEngine[] = [];
afterAll(async () => {
  for (const engine of opened) await engine.close();
});

describe.each([1, 2, 3, 4, 5, 6])('random model %d', (seed) => {
  const { model, images } = randomCase(seed, {}, 5);
  const pixels = Uint8Array.from(images.flatMap((image) => [...image]));
  const expected = images.flatMap((image) => [...runReference(model, image, { prepared: true }).scores]);

  it.each([
    ['WebAssembly', () => openPackedWasm(model, 1)],
    [
      'the native engine, where it is there',
      async () => (await openPackedNative(model, 2)) ?? openPackedWasm(model, 1),
    ],
    ['ONNX Runtime', async () => openPackedOnnx(model, await openDevice('cpu', 1), 2)],
    ['the engine that is chosen', () => openEngine(model, 1)],
  ])('on %s', async (_, open) => {
    expect(wasmRefusal(model)).toBeNull();
    const engine = await open();
    opened.push(engine);
    expect([...(await engine.scores(pixels, images.length))]).toEqual(expected);
    const stopped = engine.scores(pixels, images.length, { signal: AbortSignal.abort() });
    await expect(stopped).rejects.toThrow('aborted');
    const done: number[] = [];
    await engine.scores(pixels, images.length, { onProgress: (count) => done.push(count) });
    expect(done.at(-1)).toBe(images.length);
    await expect(engine.scores(pixels.subarray(1), images.length)).rejects.toThrow(
      'for images of another size',
    );
  });
});
