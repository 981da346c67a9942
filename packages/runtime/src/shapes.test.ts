import { expect, it } from 'vitest';
import { parseArchitecture } from './architecture.js';
import { kernelShapes } from './shapes.js';

const input = { height: 7, width: 5, channels: 3 };
const walk = (notation: string) => kernelShapes(input, parseArchitecture(notation));

it.each([
  ['8C3-2FC', [7, 5], [1, 1], [7, 5]],
  ['8C2-2FC', [7, 5], [0, 1], [7, 5]],
  ['8C4-2FC', [7, 5], [1, 2], [7, 5]],
  ['8C3V-2FC', [5, 3], [0, 0], [5, 3]],
  ['8C3S2-2FC', [4, 3], [1, 1], [4, 3]],
  ['8C2S2V-2FC', [3, 2], [0, 0], [3, 2]],
  ['8C3-MP2-2FC', [7, 5], [1, 1], [3, 2]],
])(
  'the first layer of %s gives a map of %j with padding %j, pooled to %j',
  (notation, output, padding, pooled) => {
    const [conv, dense] = walk(notation);
    expect([conv!.output.height, conv!.output.width]).toEqual(output);
    expect([conv!.padStart, conv!.padEnd]).toEqual(padding);
    expect([conv!.pooled.height, conv!.pooled.width]).toEqual(pooled);
    expect(conv!.fanIn).toBe(conv!.kernel ** 2 * 3);
    expect(dense!.fanIn).toBe(pooled[0]! * pooled[1]! * 8);
  },
);

it.each([
  ['MP2-2FC', /layer 1: MP2 must directly follow a convolution/],
  ['8C3-MP2-MP2-2FC', /layer 3: MP2 must directly follow a convolution/],
  ['8FC-MP2-2FC', /layer 2: MP2 must directly follow a convolution/],
  ['8FC-8C3-2FC', /layer 2: a convolution cannot follow a dense layer/],
  ['8C7V-2FC', /layer 1: a 7x7 kernel does not fit a 7x5 map/],
  ['8C3V-MP4-2FC', /layer 2: MP4 leaves nothing of a 5x3 map/],
  ['8C3-MP2', /the last layer must be dense/],
])('refuses %s', (notation, message) => {
  expect(() => walk(notation)).toThrow(
    expect.objectContaining({ kind: 'config', message: expect.stringMatching(message) }),
  );
});
