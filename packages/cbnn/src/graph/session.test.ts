import { expect, it } from 'vitest';
import { Graph } from './graph.js';
import { openDevice } from './session.js';

it.each(['cpu', 'wasm'] as const)('%s runs a graph with any number of threads asked for', async (name) => {
  const device = await openDevice(name, 2);
  const g = new Graph();
  const x = g.input('x', [2, 3]);
  g.output('y', g.add(x, g.scalar(1)));
  const session = await device.open(g.encode());
  const y = { shape: [2, 3], data: new Float32Array(6) };
  await session.run({ x: { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) } }, { y });
  await session.close();
  expect([...y.data]).toEqual([2, 3, 4, 5, 6, 7]);
  expect(device.description).toMatch(name === 'wasm' ? /1 thread$/ : /2 threads$/);
});
