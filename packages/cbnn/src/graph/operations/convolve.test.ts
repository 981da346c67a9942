import { describe, expect, it } from 'vitest';
import { Graph } from '../graph.js';
import { openDevice } from '../session.js';
import { blockProbe, convolve } from './convolve.js';

const operators = (channelBlock: number, inputs: number, outputs: number): string[] => {
  const g = new Graph(channelBlock);
  const x = g.input('x', [2, inputs, 4, 4]);
  const w = g.input('w', [outputs, inputs, 3, 3]);
  convolve(g, x, w, [2, 2], {});
  return g.nodes.map(({ op, domain }) => (domain ? `blocked ${op}` : op));
};

describe('convolve', () => {
  it('reorders where channels fill whole blocks, and only there', () => {
    expect(operators(16, 16, 32)).toContain('blocked Conv');
    expect(operators(8, 24, 8)).toContain('blocked Conv');
    for (const [block, inputs, outputs] of [
      [0, 16, 16],
      [16, 24, 16],
      [16, 16, 8],
    ] as const)
      expect(operators(block, inputs, outputs)).toEqual(['Conv']);
  });

  it('is probed: a device that states a block size computes right sums with it', async () => {
    const { channelBlock, open } = await openDevice('cpu', 1);
    expect([0, 8, 16]).toContain(channelBlock);
    if (channelBlock === 0) return;
    // The probe must tell right from wrong: the other block size has to fail on the same device.
    for (const block of [8, 16]) {
      const session = await open(blockProbe(block));
      const difference = { shape: [], data: Float32Array.of(-1) };
      await session.run(
        { x: { shape: [1, 2 * block, 3, 3], data: new Float32Array(18 * block) } },
        { difference },
      );
      await session.close();
      if (block === channelBlock) expect(difference.data[0]).toBe(0);
      else expect(difference.data[0]).toBeGreaterThan(0);
    }
  });
});
