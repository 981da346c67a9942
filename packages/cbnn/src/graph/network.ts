/** From a plan to graphs: the forward pass, the complete training step, and the evaluation pass. */
import type { KernelShape } from '@cbnn/runtime';
import { inputChannels, type Parameter, type Plan, planShapes, type ScaleRole } from '../nn/plan.js';
import { Graph, type Value } from './graph.js';
import { names } from './names.js';
import {
  batchNorm,
  type Normalization,
  normalizeAndRelu,
  normalizeAndSign,
} from './operations/batch-norm.js';
import { convolution } from './operations/convolution.js';
import { dense, flatten } from './operations/dense.js';
import { approximateSign, errorDecay } from './operations/estimators.js';
import { normalizeToScaledSign, scaleSums } from './operations/input-scales.js';
import { loss as lossOf } from './operations/losses.js';
import { maxPool, type Unit } from './operations/pooling.js';
import { smallestPerOutput } from './operations/quantizers.js';
import type { Feeds } from './session.js';
import {
  type Activate,
  type Activated,
  type ActivationName,
  type LayerContext,
  optimizerOf,
  parametersOf,
  type Technique,
  weightBitsOf,
} from './technique.js';

export interface NetworkGraph {
  readonly bytes: Uint8Array;
  readonly batch: number;
  readonly parameters: readonly Parameter[];
  readonly shapes: readonly KernelShape[];
  /** inputs that take random numbers, uniform in [0, 1) */
  readonly noises: readonly Value[];
  /** it has an input for how far training has come */
  readonly usesProgress: boolean;
}

const activations: Readonly<Record<ActivationName, Activate>> = {
  relu: normalizeAndRelu,
  sign: normalizeAndSign,
  'scaled-sign': normalizeToScaledSign,
  'approximate-sign': (...inputs) => normalizeAndSign(...inputs, { estimator: approximateSign }),
  'decaying-sign': (...inputs) => normalizeAndSign(...inputs, { estimator: errorDecay }),
  'random-sign': (...inputs) => normalizeAndSign(...inputs, { atRandom: true }),
  'random-approximate-sign': (...inputs) =>
    normalizeAndSign(...inputs, { estimator: approximateSign, atRandom: true }),
  'random-decaying-sign': (...inputs) =>
    normalizeAndSign(...inputs, { estimator: errorDecay, atRandom: true }),
};

interface Forward {
  readonly g: Graph;
  readonly parameters: readonly Parameter[];
  readonly values: readonly Value[];
  readonly shapes: readonly KernelShape[];
  readonly scores: Value;
  readonly sums: readonly Value[];
  /** what every layer hands to the next; the scores of the last */
  readonly activations: readonly Value[];
}

/** A layer's parameters as inputs, and the weights that it multiplies with. */
export function layerInputs(
  g: Graph,
  plan: Plan,
  technique: Technique,
  shape: KernelShape,
  phase: LayerContext['phase'],
) {
  const last = planShapes(plan).length - 1;
  const parameters = parametersOf(technique, plan, shape);
  const values = parameters.map((parameter) => g.input(parameter.name, parameter.shape));
  const [weights, gamma, beta] = values as [Value, Value, Value];
  const scales: Partial<Record<ScaleRole, Value>> = {};
  for (const [i, { role }] of parameters.entries())
    if (role !== 'weights' && role !== 'gamma' && role !== 'beta') scales[role] = values[i]!;
  const beforeReal = technique.realLast && shape.index === last - 1;
  const context: LayerContext = { plan, shape, isLast: shape.index === last, beforeReal, phase, scales };
  const quantized = technique.quantizeWeights(g, weights, context);
  return { parameters, values, gamma, beta, context, quantized };
}

/** What a layer's sums are multiples of, so that pooling can break ties exactly; null where they are real, or nothing is to learn. */
function unitOfSums(
  g: Graph,
  technique: Technique,
  context: LayerContext,
  weights: Value,
  magnitude: Value | undefined,
): Unit | null {
  const { plan, shape, phase } = context;
  const isFirst = shape.index === 0;
  const isScaled = technique.scalesInTraining && phase === 'training';
  // Integers times an image's whole numbers, whatever the technique makes of the other layers.
  if ((isFirst && plan.firstLayer === 'integer') || (technique.integerSums && !isScaled)) return 1;
  if (phase === 'evaluation' || magnitude) return null;
  // Bits, or the image's whole numbers, times +-alpha; or times its multiples, where slices have place values.
  const isBits = weightBitsOf(technique, context) === 1 && (isFirst || technique.binarySums);
  return isBits ? smallestPerOutput(g, weights) : null;
}

/**
 * images `[batch][channels][H][W]` (+-1 per slice, or 2x - 255) -> scores `[batch][classes]`.
 * `batch` mode normalizes by the batch and outputs its mean and variance; `given` mode takes mean and scale as inputs.
 */
function forward(
  plan: Plan,
  technique: Technique,
  batch: number,
  mode: 'batch' | 'given',
  phase: 'training' | 'evaluation',
  channelBlock: number,
  known: Feeds = {},
): Forward {
  const g = new Graph(channelBlock, known);
  const shapes = planShapes(plan);
  const parameters: Parameter[] = [];
  const values: Value[] = [];
  const sums: Value[] = [];
  const outputs: Value[] = [];
  let magnitude: Value | undefined;
  let x = g.input(names.images, [batch, inputChannels(plan.input), plan.input.height, plan.input.width]);
  for (const shape of shapes) {
    const { index } = shape;
    const layer = layerInputs(g, plan, technique, shape, phase);
    const { gamma, beta, quantized, context } = layer;
    parameters.push(...layer.parameters);
    values.push(...layer.values);
    const given = magnitude;
    const scaled = (z: Value): Value => (given ? scaleSums(g, z, given, shape) : z);
    let p: Value;
    if (shape.kind === 'conv') {
      p = scaled(convolution(g, x, quantized, shape));
      if (shape.pool > 1) p = maxPool(g, p, shape.pool, unitOfSums(g, technique, context, quantized, given));
    } else {
      p = scaled(dense(g, x.shape.length === 4 ? flatten(g, x) : x, quantized));
    }
    sums.push(p);
    const channels = [shape.output.channels];
    const normalization: Normalization =
      mode === 'batch'
        ? { mode, ...(technique.shiftNormalization && { shifts: true }) }
        : { mode, mean: g.input(names.mean(index), channels), scale: g.input(names.scale(index), channels) };
    const activation = technique.activation(context);
    const activate = typeof activation === 'string' ? activations[activation] : activation;
    const normalized: Activated = context.isLast
      ? batchNorm(g, p, gamma, beta, normalization)
      : activate(g, p, gamma, beta, normalization);
    if (normalized.variance) {
      g.output(names.mean(index), normalized.mean);
      g.output(names.variance(index), normalized.variance);
    }
    x = normalized.output;
    magnitude = normalized.magnitude;
    outputs.push(x);
  }
  return { g, parameters, values, shapes, scores: x, sums, activations: outputs };
}

export interface GraphOptions {
  /** the device's, see graph.ts; 0 by default */
  readonly channelBlock?: number;
  /** adds outputs: every layer's sums after pooling, and its gradients (training) or activations (evaluation) */
  readonly expose?: boolean;
}

/** One complete training step: forward, loss, gradients, Adam, clipping. */
export function trainingGraph(
  plan: Plan,
  technique: Technique,
  batch: number,
  { channelBlock = 0, expose = false }: GraphOptions = {},
): NetworkGraph {
  const { g, parameters, values, shapes, scores, sums } = forward(
    plan,
    technique,
    batch,
    'batch',
    'training',
    channelBlock,
  );
  const targets = g.input(names.targets, scores.shape);
  const loss = lossOf(g, plan.loss, scores, targets);
  g.output(names.loss, loss);
  g.output(names.scores, scores);
  const trained = parameters.flatMap((parameter, i) =>
    parameter.group === 'fixed' ? [] : [{ parameter, group: parameter.group, value: values[i]! }],
  );
  const gradients = g.gradients(
    loss,
    trained.map(({ value }) => value),
  );
  // Only the rates that some parameter uses: a runtime refuses graphs with inputs that lead nowhere.
  const rates = new Map(
    [...new Set(trained.map(({ group }) => group))].map((group) => [group, g.input(names.rate[group], [])]),
  );
  for (const [i, { parameter, group, value }] of trained.entries()) {
    if (expose) g.output(names.gradient(parameter.name), gradients[i]!);
    optimizerOf(technique, group).update(g, parameter, value, gradients[i]!, rates.get(group)!);
  }
  if (expose) for (const [i, value] of sums.entries()) g.output(names.sums(i), value);
  return { bytes: g.encode(), batch, parameters, shapes, noises: g.noises, usesProgress: g.usesProgress };
}

/** The forward pass by the batch's own statistics, with the weights that answer: only their mean and variance per layer, and the scores. */
export function statisticsGraph(
  plan: Plan,
  technique: Technique,
  batch: number,
  { channelBlock = 0 }: GraphOptions = {},
): NetworkGraph {
  const { g, parameters, shapes, scores } = forward(
    plan,
    technique,
    batch,
    'batch',
    'evaluation',
    channelBlock,
  );
  g.output(names.scores, scores);
  return { bytes: g.encode(), batch, parameters, shapes, noises: g.noises, usesProgress: g.usesProgress };
}

/** The network in evaluation mode; `known`: trained tensors and statistics that are constants of the graph. */
export function evaluationGraph(
  plan: Plan,
  technique: Technique,
  batch: number,
  { channelBlock = 0, expose = false }: GraphOptions = {},
  known: Feeds = {},
): NetworkGraph {
  const { g, parameters, shapes, scores, sums, activations } = forward(
    plan,
    technique,
    batch,
    'given',
    'evaluation',
    channelBlock,
    known,
  );
  g.output(names.scores, scores);
  if (expose)
    for (const { index } of shapes) {
      g.output(names.sums(index), sums[index]!);
      g.output(names.activations(index), activations[index]!);
    }
  return { bytes: g.encode(), batch, parameters, shapes, noises: g.noises, usesProgress: g.usesProgress };
}
