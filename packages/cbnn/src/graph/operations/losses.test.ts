/** The losses and their gradients on scores alone, against float64 and finite differences: also of a teacher's probabilities. */
import { expect, it } from 'vitest';
import { Random } from '../../random.js';
import { lossOf } from '../../testing/oracle-losses.js';
import { Graph } from '../graph.js';
import { openDevice } from '../session.js';
import { loss } from './losses.js';

const [IMAGES, CLASSES] = [5, 4];
const random = new Random(3);
const scores = Float32Array.from({ length: IMAGES * CLASSES }, () => Math.fround(6 * random.uniform() - 3));
const labels = Array.from({ length: IMAGES }, () => random.below(CLASSES));
const oneHot = Float64Array.from(scores, (_, i) => (labels[Math.floor(i / CLASSES)] === i % CLASSES ? 1 : 0));
const shares = Float64Array.from(scores, () => 0.01 + random.uniform());
const probabilities = shares.map((share, i) => {
  const row = shares.subarray(i - (i % CLASSES), i - (i % CLASSES) + CLASSES);
  return Math.fround(share / row.reduce((a, b) => a + b));
});

/** Mean over images of -sum of p log softmax(s). */
const crossEntropy = (s: Float64Array, p: Float64Array): number =>
  s.reduce((sum, score, i) => {
    const row = s.subarray(i - (i % CLASSES), i - (i % CLASSES) + CLASSES);
    const total = row.reduce((powers, other) => powers + Math.exp(other), 0);
    return sum - (p[i]! * (score - Math.log(total))) / IMAGES;
  }, 0);

/** Labels alone: the oracle's. */
const squaredHinge = (s: Float64Array): number => lossOf('squared-hinge', s, labels, CLASSES).value;

it.each([
  ['cross-entropy of labels', 'cross-entropy', oneHot, crossEntropy],
  ["cross-entropy of a teacher's probabilities", 'cross-entropy', probabilities, crossEntropy],
  ['squared hinge', 'squared-hinge', oneHot, squaredHinge],
] as const)('%s has its value, and its slopes as gradient', async (_, name, wanted, oracle) => {
  const g = new Graph();
  const shape = [IMAGES, CLASSES];
  const given = g.input('scores', shape);
  const value = loss(g, name, given, g.input('targets', shape));
  const [gradient] = g.gradients(value, [given]);
  g.output('loss', value);
  g.output('gradient', gradient!);
  const session = await (await openDevice('cpu', 1)).open(g.encode());
  const outputs = {
    loss: { shape: [], data: new Float32Array(1) },
    gradient: { shape, data: new Float32Array(scores.length) },
  };
  const targets = Float32Array.from(wanted, (p) => 2 * p - 1);
  await session.run({ scores: { shape, data: scores }, targets: { shape, data: targets } }, outputs);
  await session.close();
  const exact = Float64Array.from(scores);
  expect(outputs.loss.data[0]).toBeCloseTo(oracle(exact, wanted), 5);
  for (const [i, found] of outputs.gradient.data.entries()) {
    const at = (distance: number) => oracle(exact.with(i, exact[i]! + distance), wanted);
    expect(found).toBeCloseTo((at(1e-4) - at(-1e-4)) / 2e-4, 5);
  }
});
