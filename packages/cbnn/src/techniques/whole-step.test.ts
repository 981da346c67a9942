/**
 * A whole training step of every technique, loss to gradients, on the ONNX graph: that of the float64 oracle, XNOR-Net's K and the scales of
 * trained ternary weights included. (`bnn` and `float`: graph/network.test.ts; ways to train a `bnn`: variations.test.ts.)
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
  /** of the first layer, where they are more than `first` */
  readonly firstWeights?: OracleLayer['weights'];
  /** of the layer before the last, where that is another */
  readonly beforeLast?: OracleLayer['activation'];
  /** whether sums behind a sign are multiplied by K */
  readonly inputScales?: boolean;
}

const cases: readonly Case[] = [
  { technique: 'binaryconnect', first: 'binary', weights: ['binary', 'binary'], activation: 'relu' },
  { technique: 'binaryconnect', first: 'real', weights: ['binary', 'binary'], activation: 'relu' },
  { technique: 'bwn', first: 'real', weights: ['scaled', 'real'], activation: 'relu' },
  { technique: 'ternary', first: 'real', weights: ['ternary', 'real'], activation: 'relu' },
  { technique: 'ttq', first: 'real', weights: ['trained-ternary', 'real'], activation: 'relu' },
  {
    ...{ technique: 'pruned', first: 'real', firstWeights: 'masked' },
    ...{ weights: ['masked', 'masked'], activation: 'relu' },
  },
  {
    ...{ technique: 'xnor-net-without-k', first: 'real', weights: ['scaled', 'real'] },
    ...{ activation: 'sign', beforeLast: 'relu' },
  },
  {
    ...{ technique: 'xnor-net', first: 'real', weights: ['scaled', 'real'] },
    ...{ activation: 'sign', beforeLast: 'relu', inputScales: true },
  },
  {
    ...{
      technique: 'xnor-net-binary',
      first: 'binary',
      firstWeights: 'scaled',
      weights: ['scaled', 'scaled'],
    },
    ...{ activation: 'sign', inputScales: true },
  },
  { technique: 'binary-activations', first: 'integer', weights: ['real', 'real'], activation: 'sign' },
];
const toys = toyNetworks.filter(({ architecture }) => architecture.includes('-'));

it.each(
  cases.flatMap((one) =>
    toys.map((toy) => [one.technique, one.first, toy.name, one, { ...toy, first: one.first }] as const),
  ),
)('%s, first layer %s: %s', async (_, __, ___, one, toy) => {
  const { technique, weights, activation, beforeLast = activation, inputScales } = one;
  const { place, step, close } = await openToy('cpu', toy, { technique });
  // Where a value lies next to a kink, float32 may fall on the other side.
  for (let seed = 1; ; seed++) {
    expect(seed, 'networks that decide too narrowly').toBeLessThan(50);
    const activationOf = (k: number, length: number) =>
      k === length - 1 ? 'none' : k === length - 2 ? beforeLast : activation;
    const layers = toyLayers(toy).map(
      (layer, k, { length }): OracleLayer => ({
        ...layer,
        weights: k === 0 ? (one.firstWeights ?? toy.first) : weights[k < length - 1 ? 0 : 1],
        place: k === 0 && place ? Float64Array.from(place) : null,
        activation: activationOf(k, length),
        ...(inputScales && k > 0 && { inputScales: activationOf(k - 1, length) === 'sign' }),
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
