/** Fixed-point networks on integer kernels: the scores of float32, to the bit. */
import { describe, expect, it } from 'vitest';
import { openDevice } from '../graph/session.js';
import { openNetwork } from '../store/network-file.js';
import { fitsInt8, isExact, openStoredInt8 } from './stored-int8.js';
import { randomPixels, randomStored } from './testing/random-stored.js';

const COUNT = 7;

describe.each([
  ['16C3-33C3-MP2-40C3S2-70FC-5FC', 8, 8, false],
  ['20C5V-17C2V-MP3-9C1-5FC', 8, 4, false],
  ['8C3-MP2-8C4-MP2-30FC-20FC-5FC', 3, 8, true],
  ['30FC-20FC-5FC', 8, 8, false],
  ['5FC', 8, 8, true],
] as const)(
  '%s, %d-bit weights, %d-bit activations, slices %s',
  (architecture, weights, activations, sliced) => {
    const network = randomStored('fixed-point', architecture, {
      precision: { weights, activations },
      sliced,
    });

    it('has the scores of float32', async () => {
      expect([fitsInt8(network), isExact(network)]).toEqual([true, true]);
      const pixels = randomPixels(COUNT);
      const float = await openNetwork(network, 1, COUNT);
      const expected = await float.scores({ count: COUNT, pixels });
      await float.close();
      for (const batch of [1, 3]) {
        const own = await openStoredInt8(network, await openDevice('cpu', 1), batch);
        expect([...(await own.scores({ count: COUNT, pixels }))]).toEqual([...expected]);
        await own.close();
      }
      const classes = 5;
      const answers = Array.from({ length: COUNT }, (_, n) =>
        expected.slice(n * classes, (n + 1) * classes).join(),
      );
      expect(new Set(answers).size).toBe(COUNT);
    });
  },
);

it('is not for wider numbers, other techniques and steps that round', () => {
  const precision = { weights: 8, activations: 8 };
  const network = randomStored('fixed-point', '8C3-5FC', { precision });
  expect(fitsInt8(randomStored('float', '8C3-5FC'))).toBe(false);
  expect(
    fitsInt8(randomStored('fixed-point', '8C3-5FC', { precision: { weights: 9, activations: 8 } })),
  ).toBe(false);
  const layers = network.layers.map((layer) => ({ ...layer, weightStep: 0.3 }));
  expect(fitsInt8({ ...network, layers })).toBe(false);
  const wide = { weights: 16, activations: 16 };
  expect(isExact(randomStored('fixed-point', '8C3-5FC', { precision: wide }))).toBe(false);
});
