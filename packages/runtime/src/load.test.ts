import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseArchitecture } from './architecture.js';
import { classify } from './classify.js';
import { load } from './load.js';
import { encodeModel } from './model-file.js';
import { load as loadInNode } from './node/index.js';
import { runReference } from './reference.js';
import { randomCase, randomModel } from './testing/random-model.js';

const layers = parseArchitecture('5C3-MP2-7C3-6FC-4FC');
const colour = randomCase(7, { layers, input: { height: 8, width: 6, channels: 3 } }, 3);
const file = encodeModel(colour.model);
const expected = colour.images.map((image) => [...runReference(colour.model, image).scores]);

/** RGBA of an image of 1 or 3 channels. */
function rgba(pixels: Uint8Array, width: number, height: number, channels: number) {
  const data = new Uint8ClampedArray(4 * width * height).fill(77);
  for (let p = 0; p < width * height; p++)
    for (let c = 0; c < 3; c++) data[4 * p + c] = pixels[p * channels + (channels === 3 ? c : 0)]!;
  return { data, width, height };
}

let server: Server;
let address: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    response.statusCode = request.url === '/model' ? 200 : 404;
    response.end(request.url === '/model' ? file : 'nothing');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

describe('load', () => {
  it.each(['auto', 'wasm', 'reference'] as const)('classifies on engine %s', async (engine) => {
    const classifier = await load(file, { engine });
    expect(classifier.engine).toMatch(engine === 'reference' ? /^reference: / : /^wasm: /);
    for (const [n, image] of colour.images.entries()) {
      const { index, label, scores } = await classifier.classify(image);
      expect([...scores]).toEqual(expected[n]);
      expect(index).toBe(classify(expected[n]!));
      expect(label).toBe(colour.model.classes[index]);
    }
  });

  it('takes batches, as a list and in one array, and image data', async () => {
    const classifier = await load(file.buffer.slice(0) as ArrayBuffer);
    const all = Uint8Array.from(colour.images.flatMap((image) => [...image]));
    const images = colour.images.map((image) => rgba(image, 6, 8, 3));
    const clamped = colour.images.map((one) => new Uint8ClampedArray(one));
    for (const batch of [all, new Uint8ClampedArray(all), colour.images, images, clamped])
      expect((await classifier.classifyBatch(batch)).map(({ scores }) => [...scores])).toEqual(expected);
    expect((await classifier.classify(images)).map(({ scores }) => [...scores])).toEqual(expected);
  });

  it('reads bytes that are something else right after, and refuses damaged ones', async () => {
    for (const bytes of [file.slice(), Buffer.concat([file]), file.slice().buffer]) {
      const loading = load(bytes);
      new Uint8Array(bytes).fill(0);
      if (bytes instanceof Uint8Array) bytes.fill(0);
      expect([...(await (await loading).classify(colour.images[0]!)).scores]).toEqual(expected[0]);
    }
    const damaged = file.slice();
    damaged[damaged.length - 1]! ^= 1;
    await expect(load(damaged)).rejects.toThrow(/expected SHA-256 [0-9a-f]{64}, got .*; the file is damaged/);
  });

  it('refuses small files of networks that would take more memory or time than any should', async () => {
    // Nine maps of 4096 x 4096 x 16.
    const wide = parseArchitecture(`${'16C1-'.repeat(9)}1C4S4V-1C4S4V-1C4S4V-2FC`);
    const huge = encodeModel(
      randomModel(1, { layers: wide, input: { height: 4096, width: 4096, channels: 3 } }),
    );
    expect(huge.length).toBeLessThan(100_000);
    for (const engine of ['auto', 'reference'] as const)
      await expect(load(huge, { engine })).rejects.toThrow(/^engine \w+: .*bytes of memory/);
    // Minutes of plain loops, where there is nothing else.
    const long = parseArchitecture('8C7-8C7-8C7-8C7-1C4S4V-1C4S4V-2FC');
    const slow = encodeModel(
      randomModel(1, { layers: long, input: { height: 400, width: 4096, channels: 3 } }),
    );
    vi.stubGlobal('WebAssembly', undefined);
    const found = await load(slow).catch((error: Error) => error.message);
    vi.unstubAllGlobals();
    expect(found).toMatch(/^engine auto: plain loops, because .* and plain loops would take minutes/);
  });

  it('takes grey image data for a model of one channel, and no other', async () => {
    const grey = randomCase(8, {
      layers,
      input: {
        height: 8,
        width: 6,
        channels: 1,
        slices: [{ channel: 0, bit: 7 }],
        shifts: [0],
        encoding: 'bit-slices',
      },
    });
    const classifier = await load(encodeModel(grey.model));
    const [image] = grey.images;
    const { scores } = await classifier.classify(rgba(image!, 6, 8, 1));
    expect([...scores]).toEqual([...runReference(grey.model, image!).scores]);
    await expect(classifier.classify(rgba(colour.images[0]!, 6, 8, 3))).rejects.toThrow('takes grey images');
  });

  it('fetches from an address, and says what went wrong', async () => {
    const classifier = await load(`${address}/model`);
    expect([...(await classifier.classify(colour.images[0]!)).scores]).toEqual(expected[0]);
    await expect(load(new URL(`${address}/other`))).rejects.toThrow('expected an answer of 200, got 404');
    await expect(load('model.safetensors')).rejects.toThrow('a file on disk is given as its bytes');
  });

  it('refuses what is no image of the model', async () => {
    const classifier = await load(file);
    await expect(classifier.classify(new Uint8Array(5))).rejects.toThrow('pixels: expected 144 bytes');
    await expect(classifier.classifyBatch(new Uint8Array(145))).rejects.toThrow('a multiple of 144 bytes');
    await expect(classifier.classify({ data: new Uint8Array(4), width: 1, height: 1 })).rejects.toThrow(
      'expected 6 x 8 pixels, got 1 x 1',
    );
    await expect(load(new Uint8Array(3))).rejects.toThrow();
    await expect(load(file, { engine: 'wsm' as 'wasm' })).rejects.toThrow(
      'expected one of auto, native, wasm, webgpu, reference',
    );
  });

  it('falls back to the reference where the model does not fit or WebAssembly is missing, and says why', async () => {
    const large = randomModel(2, {
      layers: parseArchitecture('1C4S4V-MP4-1C4S4V-MP4-2FC'),
      input: { height: 4096, width: 4096, channels: 16, encoding: '8-bit', slices: [], shifts: [] },
    });
    const bytes = encodeModel(large);
    expect((await load(bytes)).engine).toMatch(/^reference: .*bytes of memory/);
    await expect(load(bytes, { engine: 'wasm' })).rejects.toThrow('bytes of memory');
    await expect(load(file, { engine: 'native' })).rejects.toThrow('the native engine runs in Node');
    vi.stubGlobal('WebAssembly', undefined);
    try {
      const classifier = await load(file);
      expect(classifier.engine).toMatch(/^reference: .*WebAssembly cannot run here/);
      expect([...(await classifier.classify(colour.images[0]!)).scores]).toEqual(expected[0]);
      await expect(load(file, { engine: 'wasm' })).rejects.toThrow('cannot run here');
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('takes the native engine in Node where it is there, and says so, or why not', async () => {
    const classifier = await loadInNode(file, { threads: 2 });
    const native = await loadInNode(file, { engine: 'native', threads: 2 }).catch((error: Error) => error);
    if (native instanceof Error) {
      expect(native.message).toMatch(/^engine native: @cbnn\/native /);
      expect(classifier.engine).toMatch(/^wasm: .*; @cbnn\/native /);
      return;
    }
    expect(classifier.engine).toMatch(
      /^native: \w+, the fastest that this processor has; batches on 2 threads$/,
    );
    const all = Uint8Array.from(colour.images.flatMap((image) => [...image]));
    for (const batch of [all, colour.images, colour.images.map((image) => rgba(image, 6, 8, 3)), []])
      expect((await native.classifyBatch(batch)).map(({ scores }) => [...scores])).toEqual(
        batch.length === 0 ? [] : expected,
      );
    await expect(native.classifyBatch([colour.images[0]!, new Uint8Array(5)])).rejects.toThrow('144 bytes');
    expect([...(await native.classify(colour.images[1]!)).scores]).toEqual(expected[1]);
    await expect(loadInNode(file, { threads: 0 })).rejects.toThrow('threads: expected an integer from 1');
    expect((await loadInNode(file, { engine: 'wasm' })).engine).toBe('wasm: WebAssembly with SIMD');
  });
});
