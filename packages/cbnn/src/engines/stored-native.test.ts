/** Stored networks on the native engine: the scores of ONNX Runtime, as near as float32 lets them be. */
import { parseArchitecture, parseSlices } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { weightBitsOf } from '../graph/technique.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels, type Plan, planShapes, type TechniqueName } from '../nn/plan.js';
import { Random } from '../random.js';
import { openNetwork, type StoredNetwork } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';
import { nativePackage } from './packed-native.js';
import { openStoredNative, realNetworkOf } from './stored-native.js';

const native = await nativePackage();
const COUNT = 12;

/** Like one that was trained: sums are normalized, so that signs and classes differ. */
function randomNetwork(technique: TechniqueName, architecture: string, sliced = false): StoredNetwork {
  const random = new Random(9);
  const plan: Plan = {
    input: {
      ...{ height: 12, width: 11, channels: 3, stretch: null },
      ...(sliced
        ? { encoding: 'bit-slices', slices: [...parseSlices('top3', 3)], shifts: Array(9).fill(0) }
        : { encoding: '8-bit', slices: [], shifts: [] }),
    },
    layers: parseArchitecture(architecture),
    technique,
    slicing: 'equal',
    firstLayer: techniques[technique].firstLayers[0],
    loss: 'cross-entropy',
  };
  const shapes = planShapes(plan);
  const layers = shapes.map((shape) => {
    const { index, fanIn, output } = shape;
    const isLast = index === shapes.length - 1;
    const isBinary = weightBitsOf(techniques[technique], { plan, shape, isLast }) === 1;
    const floats = (length: number, value: (i: number) => number) =>
      Float32Array.from({ length }, (_, i) => value(i));
    const size = Math.sqrt(1 / fanIn) / (index === 0 && !sliced ? 150 : 1);
    const alphas = floats(output.channels, () => size * (0.5 + random.uniform()));
    return {
      weights: floats(output.channels * fanIn, (i) => {
        if (isBinary) return (random.below(2) ? 1 : -1) * alphas[Math.floor(i / fanIn)]!;
        return techniques[technique].prunes && random.below(4) ? 0 : size * random.normal();
      }),
      mean: floats(output.channels, () => 0.3 * random.normal()),
      scale: floats(output.channels, () => random.normal()),
      beta: floats(output.channels, () => 0.3 * random.normal()),
      weightBytes: 0,
    };
  });
  return { plan, classes: shapes.at(-1)!.output.channels === 5 ? ['a', 'b', 'c', 'd', 'e'] : [], layers };
}

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
      const network = randomNetwork(technique, architecture, sliced);
      const { input } = network.plan;
      const random = new Random(4);
      const size = input.height * input.width * input.channels;
      const pixels = Uint8Array.from({ length: COUNT * size }, () => random.below(256));
      const other = await openNetwork(network, 1, COUNT);
      const expected = await other.scores({ count: COUNT, pixels });
      await other.close();
      const own = await openStoredNative(network);
      const found = await own!.runBatch(pixels, COUNT, 2);
      const real = realNetworkOf(network)!;
      const planes = new Float32Array(inputChannels(input) * input.height * input.width);
      let compared = 0;
      for (let n = 0; n < COUNT; n++) {
        const image = pixels.subarray(n * size, (n + 1) * size);
        const scores = found.subarray(5 * n, 5 * n + 5);
        expect([...own!.run(image)]).toEqual([...scores]);
        // Another order of sums may turn a sign that is next to 0, and with it the scores.
        writeInputPlanes(image, 1, input, planes);
        if (native!.runRealReference(real, planes).margin < 1e-5) continue;
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
    expect(await openStoredNative(randomNetwork('float', '4C3-5FC'))).toBeNull();
    expect(await openStoredNative(randomNetwork('bwn', '4C3-5FC'))).toBeNull();
  });
});
