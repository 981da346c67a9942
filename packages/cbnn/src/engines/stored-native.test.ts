/** Stored networks on the native engine: the scores of ONNX Runtime, as near as float32 lets them be. */
import { describe, expect, it } from 'vitest';
import type { TechniqueName } from '../nn/plan.js';
import { openNetwork } from '../store/network-file.js';
import { nativePackage } from './packed-native.js';
import { openStoredNative } from './stored-native.js';
import { randomPixels, randomStored } from './testing/random-stored.js';

const native = await nativePackage();
const COUNT = 12;

const cases: readonly [TechniqueName, string, boolean][] = [
  ['xnor-net', '20C3-33C3-MP2-40C3S2-70FC-5FC', false],
  ['xnor-net', '20C3V-33C3V-MP2-30FC-5FC', true],
  ['xnor-net-without-k', '20C3-33C3-MP2-70FC-5FC', false],
  ['xnor-net-binary', '20C3-33C2-MP3-70FC-5FC', false],
  ['pruned', '20C3-33C3-MP2-40C3S2-70FC-5FC', false],
  ['pruned', '20C5V-33C3-MP2-70FC-5FC', true],
];

describe.runIf(native)('on the native engine', () => {
  it.each(cases)(
    '%s of %s, slices %s, has the scores of ONNX Runtime',
    async (technique, architecture, sliced) => {
      const network = randomStored(technique, architecture, { sliced });
      const pixels = randomPixels(COUNT);
      const size = pixels.length / COUNT;
      const other = await openNetwork(network, 1, COUNT);
      const expected = await other.scores({ count: COUNT, pixels });
      await other.close();
      const own = await openStoredNative(network);
      const found = await own!.runBatch(pixels, COUNT, 2);
      let compared = 0;
      for (let n = 0; n < COUNT; n++) {
        const image = pixels.subarray(n * size, (n + 1) * size);
        const scores = found.subarray(5 * n, 5 * n + 5);
        expect([...own!.run(image)]).toEqual([...scores]);
        // Another order of sums may turn a sign that is next to 0, and with it the scores.
        if (own!.margin(image) < 1e-5) continue;
        compared++;
        const largest = Math.max(...scores.map(Math.abs));
        for (const [c, score] of scores.entries())
          expect(Math.abs(score - expected[5 * n + c]!) / largest, `image ${n}, class ${c}`).toBeLessThan(
            2e-5,
          );
      }
      expect(compared).toBeGreaterThan(COUNT / 2);
    },
  );

  it('is not there for techniques that ONNX Runtime computes best', async () => {
    expect(await openStoredNative(randomStored('float', '4C3-5FC'))).toBeNull();
    expect(await openStoredNative(randomStored('bwn', '4C3-5FC'))).toBeNull();
  });
});
