import { describe, expect, it } from 'vitest';
import { nativePackage } from '../engines/packed-native.js';
import { trainingBenchFigure } from '../report/training-bench-figure.js';
import { benchTraining } from './training.js';
import { takeTurns } from './turns.js';

const native = await nativePackage();

describe('cbnn bench train', () => {
  it('times every engine that is here, and draws it', async () => {
    const seen: string[] = [];
    const found = await benchTraining({
      ...{ widths: [3, 5], batches: [6, 9], threads: [1], rounds: 1, seconds: 0.01 },
      ...(native && { kernels: native.trainingKernels() }),
      onProgress: (done, total, engine) => seen.push(`${done}/${total} ${engine}`),
    });
    const engines = [...(native?.trainingKernels() ?? []).map((name) => `native, ${name}`)];
    expect(
      found.times.filter(({ width, batch }) => width === 3 && batch === 6).map(({ engine }) => engine),
    ).toEqual([...engines, expect.stringMatching(/^ONNX graph, (cpu|wasm)$/)]);
    expect(seen.at(-1)).toMatch(new RegExp(`^${found.times.length}/${found.times.length} W=5, batch 9, `));
    for (const one of found.times) {
      expect(one.fast).toBeLessThanOrEqual(one.median);
      expect(one.median).toBeLessThanOrEqual(one.slow);
      expect(one.imagesPerSecond).toBeCloseTo((1000 * one.batch) / one.median);
      expect(one.native === null).toBe(one.kind === 'onnx');
      if (!one.native) continue;
      expect(one.native.gmacs).toBeLessThan(one.native.limit);
      // Activations alone: two gradients and sums of the first layer.
      expect(one.native.bytes).toBeGreaterThan(4 * one.batch * 32 * 32 * one.width);
    }
    const figure = trainingBenchFigure(found);
    for (const { engine } of found.times) expect(figure).toContain(engine);
  });

  it.runIf(native)('times a step in bfloat16', async () => {
    const found = await benchTraining({
      ...{ technique: 'float', widths: [8], batches: [12], threads: [1], rounds: 1, seconds: 0.01 },
      kernels: native!.realTrainingKernels(),
    });
    expect(found.times.map(({ kind }) => kind)).toEqual([
      ...native!.realTrainingKernels().map(() => 'native'),
      'onnx',
    ]);
    expect(trainingBenchFigure(found)).toContain('bfloat16');
  });

  it.runIf(native)('times networks of signs, whose losses bfloat16 moves', async () => {
    for (const technique of ['xnor-net', 'binary-activations'] as const) {
      const found = await benchTraining({
        ...{ technique, widths: [16], batches: [20], threads: [1], rounds: 1, seconds: 0.01 },
      });
      expect(found.times.length).toBeGreaterThan(1);
    }
  });

  it.runIf(native)('refuses instruction sets that are not here', async () => {
    await expect(benchTraining({ kernels: ['abacus'] })).rejects.toThrow('kernels: expected one of ');
  });

  it('lets everyone begin a round once, and stops when told to', async () => {
    const order: number[] = [];
    const runs = [0, 1, 2].map((i) => () => order.at(-1) === i || order.push(i));
    await takeTurns(runs, { rounds: 2, seconds: 0 });
    expect(order).toEqual([0, 1, 2, 1, 2, 0]);
    await expect(takeTurns(runs, { rounds: 1, seconds: 0, signal: AbortSignal.abort() })).rejects.toThrow(
      'abort',
    );
  });
});
