import type { Graph, Value } from '../graph/graph.js';
import type { Estimator, Slope } from '../graph/operations/estimators.js';
import { binarize, binarizeScaled } from '../graph/operations/quantizers.js';
import type { LayerContext, Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** How a binarized network is trained where it differs from the published one; what answers is the same packed form. */
export interface BinaryTraining {
  /** latent weights, before their sign is taken */
  readonly prepare?: (g: Graph, weights: Value, phase: LayerContext['phase']) => Value;
  /** of the signs of weights; straight-through by default */
  readonly weightEstimator?: Estimator;
  /** of the signs of activations */
  readonly activationSlope?: Slope;
  /** training multiplies with alpha * sign(w); what answers leaves alpha to batch norm */
  readonly scaled?: boolean;
  /** activations are drawn at random in training */
  readonly stochasticActivations?: boolean;
  readonly shiftNormalization?: boolean;
  readonly optimizers?: NonNullable<Technique['optimizers']>;
  readonly latentRate?: number;
}

/** Binary weights and activations; the first layer's weights are integers unless the plan says otherwise. */
export function binaryNetwork(training: BinaryTraining = {}): Technique {
  const { prepare, weightEstimator, activationSlope, scaled, latentRate } = training;
  const { stochasticActivations = false, shiftNormalization, optimizers } = training;
  const bits = (g: Graph, weights: Value, phase: LayerContext['phase']): Value => {
    const prepared = prepare ? prepare(g, weights, phase) : weights;
    const signs = scaled && phase === 'training' ? binarizeScaled : binarize;
    return signs(g, prepared, weightEstimator);
  };
  return {
    name: 'bnn',
    title: 'Binarized neural network',
    source: 'Courbariaux, Hubara, Soudry, El-Yaniv, Bengio 2016; bit-sliced input: Li & Ren 2018',
    latentWeights: true,
    realLast: false,
    firstLayers: ['integer', 'binary'],
    input: 'bit-slices',
    mayStartFrom: 'binary-activations',
    weightBits: 1,
    binarySums: true,
    integerSums: true,
    nativeStep: Object.keys(training).length === 0 ? 'integers' : 'bfloat16',
    ...((scaled || stochasticActivations) && { answersOtherwise: true }),
    ...(scaled && { scalesInTraining: true }),
    ...(prepare && { packsQuantized: true }),
    ...(shiftNormalization && { shiftNormalization }),
    ...(optimizers && { optimizers }),
    ...(latentRate !== undefined && { latentRate }),
    quantizeWeights: (g, weights, { plan, shape, phase }) =>
      shape.index > 0
        ? bits(g, weights, phase)
        : firstLayerWeights(g, weights, plan, (_, latent) => bits(g, latent, phase)),
    activation({ phase }) {
      const sign = activationSlope ? (`${activationSlope}-sign` as const) : 'sign';
      return stochasticActivations && phase === 'training' ? `random-${sign}` : sign;
    },
  };
}

export const bnn = binaryNetwork();

const { mayStartFrom: _, ...unstarted } = bnn;

/**
 * Real weights under binary activations: the first of two steps of training a `bnn` (Martinez et al. 2020, section 4.2; ReActNet, which has a
 * weight decay of 1e-5 there, left out here).
 */
export const binaryActivations: Technique = {
  ...unstarted,
  name: 'binary-activations',
  title: 'Binary activations, real weights',
  source: 'Martinez, Yang, Bulat, Tzimiropoulos 2020; Liu et al. 2020',
  latentWeights: false,
  weightBits: 32,
  binarySums: false,
  binaryActivations: true,
  integerSums: false,
  nativeStep: 'bfloat16',
  firstLayers: ['integer', 'real'],
  quantizeWeights: (g, weights, { plan, shape }) =>
    shape.index > 0 ? weights : firstLayerWeights(g, weights, plan),
};
