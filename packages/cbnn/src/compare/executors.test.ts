/** What may run a finished network: which there are for a technique, and that wrong answers are noticed. */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../data/testing/temporary-folder.js';
import { nativePackage } from '../engines/packed-native.js';
import { randomPixels, randomStored } from '../engines/testing/random-stored.js';
import { names } from '../graph/names.js';
import { encodeNetwork } from '../store/network-file.js';
import { RunFolder } from '../train/run-folder.js';
import { batchOf, openExecutors } from './executors.js';

const hasNative = (await nativePackage()) !== null;
const precision = { weights: 8, activations: 8 };
const images = {
  ...{ count: 20, height: 12, width: 11, channels: 3 },
  ...{ pixels: randomPixels(20), labels: new Uint16Array(20) },
};

/** As a finished run has it. */
async function write(technique: 'xnor-net' | 'pruned' | 'fixed-point' | 'bwn'): Promise<string> {
  const network = randomStored(
    technique,
    '20C3-33C3-MP2-30FC-5FC',
    technique === 'fixed-point' ? { precision } : {},
  );
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [k, layer] of network.layers.entries()) {
    const put = (name: string, data: Float32Array) => state.set(name, { shape: [data.length], data });
    const own = { weights: layer.weights, gamma: layer.scale, beta: layer.beta };
    for (const [role, data] of Object.entries(own)) put(`layers.${k}.${role}`, data);
    put(names.mean(k), layer.mean);
    put(names.inverse(k), new Float32Array(layer.mean.length).fill(1));
    put(
      `layers.${k}.mask`,
      layer.weights.map((weight) => Number(weight !== 0)),
    );
    if (layer.weightStep) put(`layers.${k}.weightStep`, Float32Array.of(layer.weightStep));
    if (layer.activationStep) put(`layers.${k}.activationStep`, layer.activationStep);
  }
  const path = temporaryFolder();
  writeFileSync(new RunFolder(path).network, await encodeNetwork(network.plan, state, network.classes));
  return path;
}

describe('executors', () => {
  it.each([
    ['bwn', []],
    ['fixed-point', ['int8']],
    ['xnor-net', hasNative ? ['native'] : []],
    ['pruned', hasNative ? ['native', 'sparse'] : []],
  ] as const)('of %s are float32, and its own', async (technique, own) => {
    const path = await write(technique);
    const all = await openExecutors(path, images, 2);
    const listed = all.map(({ batch, threads }) => `${batch} images, ${threads} threads`);
    expect(listed).toEqual(
      Array(own.length > 0 ? 2 : 1)
        .fill(['1 images, 1 threads', '32 images, 1 threads', '32 images, 2 threads'])
        .flat(),
    );
    for (const [i, { executor, batch, run, close }] of all.entries()) {
      for (const word of i < 3 ? ['ONNX Runtime', 'float32'] : own) expect(executor).toContain(word);
      expect((await run()).length).toBe(5 * batch);
      await close();
    }
    // All threads are one.
    const few = await openExecutors(path, images, 1);
    expect(few.map(({ batch, threads }) => [batch, threads])).toEqual(
      all.filter(({ threads }) => threads === 1).map(({ batch }) => [batch, 1]),
    );
    for (const { close } of few) await close();
  });
});

it('answer for images that are spread over the set', () => {
  const count = 90;
  const sorted = {
    ...{ ...images, count, labels: Uint16Array.from({ length: count }, (_, n) => Math.floor(n / 30)) },
    pixels: randomPixels(count),
  };
  const { labels, pixels } = batchOf(sorted);
  expect([0, 1, 2].map((label) => labels.filter((one) => one === label).length)).toEqual([11, 11, 10]);
  const size = pixels.length / 32;
  expect(pixels.subarray(31 * size)).toEqual(sorted.pixels.subarray(87 * size, 88 * size));
  expect([...batchOf({ ...images, labels: Uint16Array.from({ length: 20 }, (_, n) => n) }).labels]).toEqual(
    Array.from({ length: 32 }, (_, n) => n % 20),
  );
});
