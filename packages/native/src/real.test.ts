/** The engine of real sums against plain loops: every bit of its scores, on every instruction set; and those against float64. */
import { kernelShapes, parseArchitecture } from '@cbnn/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { awkwardShapes } from '../../runtime/src/testing/awkward-shapes.js';
import { nativeKernels, RealEngine, runRealReference } from './index.js';
import { type RealCase, realCase } from './testing/real-case.js';

const FUZZES = process.env['CBNN_FUZZ'] === '1';

/** `[image][class]` */
function scoresOf({ network, images }: RealCase, kernels: string): Float32Array[] {
  const engine = RealEngine.create(network, { kernels });
  return images.map((planes) => {
    const scores = new Float32Array(network.shapes.at(-1)!.output.channels);
    engine.run(planes, scores);
    return scores;
  });
}

function compare(one: RealCase): void {
  const expected = one.images.map((planes) =>
    Float32Array.from(runRealReference(one.network, planes).scores),
  );
  for (const kernels of nativeKernels()) expect(scoresOf(one, kernels), kernels).toEqual(expected);
}

describe.runIf(nativeKernels().length > 0)('the engine of real sums', () => {
  it(
    'equals the reference on random networks',
    () => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 0x7fffffff }), (seed) => compare(realCase(seed))),
        { numRuns: FUZZES ? 20_000 : 200 },
      );
    },
    FUZZES ? 3_600_000 : 20_000,
  );

  it.each(
    awkwardShapes
      .filter(([, height, width]) => height * width < 300)
      .flatMap((shape) => (['xnor-net', 'pruned'] as const).map((kind) => [kind, ...shape] as const)),
  )('equals the reference on %s, %s of %d x %d', (kind, architecture, height, width) =>
    compare(realCase(height, { kind, architecture, size: { height, width, channels: 3 } })),
  );

  it.each(['xnor-net', 'pruned'] as const)(
    'gives batches of %s on threads the scores of single images',
    async (kind) => {
      const architecture = '33C3-MP2-40C3-70FC-65FC-6FC';
      const one = realCase(7, { kind, architecture, size: { height: 9, width: 8, channels: 3 } }, 71);
      const planes = Float32Array.from(one.images.flatMap((image) => [...image]));
      for (const kernels of nativeKernels()) {
        const single = Float32Array.from(scoresOf(one, kernels).flatMap((scores) => [...scores]));
        const engine = RealEngine.create(one.network, { kernels });
        for (const threads of [1, 3]) expect(await engine.runBatch(planes, 71, { threads })).toEqual(single);
        const together = await Promise.all([1, 2].map(() => engine.runBatch(planes, 71)));
        expect(together).toEqual([single, single]);
        expect(await engine.runBatch(new Float32Array(0), 0)).toEqual(new Float32Array(0));
      }
    },
  );

  it('refuses what does not fit', async () => {
    const { network, images } = realCase(3, { kind: 'xnor-net', architecture: '5C3-6C3-4FC' });
    const { layers } = network;
    const create = (change: Partial<typeof network>) => RealEngine.create({ ...network, ...change });
    expect(() => create({ layers: layers.slice(1) })).toThrow();
    expect(() => create({ layers: layers.map((one) => ({ ...one, beta: new Float32Array(1) })) })).toThrow(
      'do not fit together',
    );
    const forms = (...all: ('real' | 'binary' | 'sparse')[]) => ({
      layers: layers.map((layer, k) => ({ ...layer, form: all[k]! })),
    });
    expect(() => create(forms('sparse', 'real', 'real'))).toThrow('sparse layers');
    expect(() => create(forms('binary', 'binary', 'real'))).toThrow('first layer of floats');
    expect(() => RealEngine.create(network, { kernels: 'abacus' })).toThrow('has not the instructions');
    const engine = RealEngine.create(network);
    expect(() => engine.run(images[0]!.subarray(1), new Float32Array(4))).toThrow('another length');
    expect(() => engine.run(images[0]!, new Float32Array(5))).toThrow('another length');
    await expect(engine.runBatch(images[0]!, 2)).rejects.toThrow('expected 2 images');
    await expect(engine.runBatch(images[0]!, 1, { threads: 0 })).rejects.toThrow('threads');
    const shapes = kernelShapes({ height: 4096, width: 4096, channels: 64 }, parseArchitecture('1C1-2FC'));
    const floats = ({ output }: (typeof shapes)[0]) => new Float32Array(output.channels);
    const large = shapes.map((shape, k) => ({
      form: k === 0 ? ('real' as const) : ('binary' as const),
      weights: new Float32Array(shape.output.channels * shape.fanIn),
      ...{ mean: floats(shape), scale: floats(shape), beta: floats(shape) },
    }));
    expect(() => create({ shapes, layers: large })).toThrow('too much memory');
  });
});

it('float32 gives the scores of float64 within 2e-5 of the largest, where no sign is near to turn', () => {
  let compared = 0;
  for (let seed = 0; seed < 120; seed++) {
    const { network, images } = realCase(seed);
    for (const planes of images) {
      const exact = runRealReference(network, planes, (value) => value);
      if (exact.margin < 1e-5) continue;
      const largest = Math.max(...exact.scores.map(Math.abs));
      for (const [c, score] of runRealReference(network, planes).scores.entries())
        expect(Math.abs(score - exact.scores[c]!), `seed ${seed}, class ${c}`).toBeLessThan(2e-5 * largest);
      compared++;
    }
  }
  expect(compared).toBeGreaterThan(150);
});
