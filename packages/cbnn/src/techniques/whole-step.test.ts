/**
 * A whole training step of techniques whose weights or activations are real, loss to gradients, on the ONNX graph: that of the float64
 * oracle. (`bnn` and `float`: graph/network.test.ts; ways to train a `bnn`: variations.test.ts; scales of sums: xnor-net.test.ts.)
 */
import { expect, it } from 'vitest';
import { BATCH_NORM_EPSILON } from '../graph/operations/batch-norm.js';
import type { TechniqueName } from '../nn/plan.js';
import { type OracleLayer, oracleStep } from '../testing/oracle.js';
import { toyBatch, toyLayers, toyNetworks, toyParameters } from '../testing/toy-networks.js';
import { expectStep, openToy, TOY_BATCH } from '../testing/toy-step.js';

interface Case {
  readonly technique: TechniqueName;
  readonly first: 'binary' | 'integer' | 'real';
  /** of hidden layers, and of the last */
  readonly weights: readonly [OracleLayer['weights'], OracleLayer['weights']];
  readonly activation: OracleLayer['activation'];
}

const cases: readonly Case[] = [
  { technique: 'binaryconnect', first: 'binary', weights: ['binary', 'binary'], activation: 'relu' },
  { technique: 'binaryconnect', first: 'real', weights: ['binary', 'binary'], activation: 'relu' },
  { technique: 'bwn', first: 'real', weights: ['scaled', 'real'], activation: 'relu' },
  { technique: 'binary-activations', first: 'integer', weights: ['real', 'real'], activation: 'sign' },
];
const toys = toyNetworks.filter(({ architecture }) => architecture.includes('-'));

it.each(
  cases.flatMap((one) =>
    toys.map((toy) => [one.technique, one.first, toy.name, one, { ...toy, first: one.first }] as const),
  ),
)('%s, first layer %s: %s', async (_, __, ___, { technique, weights, activation }, toy) => {
  const { place, step, close } = await openToy('cpu', toy, { technique });
  // Where a value lies next to a kink, float32 may fall on the other side.
  for (let seed = 1; ; seed++) {
    expect(seed, 'networks that decide too narrowly').toBeLessThan(50);
    const layers = toyLayers(toy).map(
      (layer, k, { length }): OracleLayer => ({
        ...layer,
        weights: k === 0 ? toy.first : weights[k < length - 1 ? 0 : 1],
        place: k === 0 && place ? Float64Array.from(place) : null,
        activation: k < length - 1 ? activation : 'none',
      }),
    );
    const parameters = toyParameters(layers, seed);
    const { images, labels } = toyBatch(toy, TOY_BATCH, seed);
    const expected = oracleStep(layers, toy.loss, BATCH_NORM_EPSILON, images, labels, parameters);
    if (expected.margin < 1e-5) continue;
    const outputs = await step(images, labels, parameters);
    await close();
    expectStep(outputs, expected);
    return;
  }
});
