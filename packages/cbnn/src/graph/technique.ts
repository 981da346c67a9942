/**
 * A technique names the quantizers of a layer; everything else about training is shared. To add one, write a file in
 * techniques/ and list it in its index.ts.
 */
import type { KernelShape } from '@cbnn/runtime';
import type { FirstLayer, Parameter, Plan, ScaleRole, TechniqueName } from '../nn/plan.js';
import { layerParameters, planShapes } from '../nn/plan.js';
import type { Graph, Value } from './graph.js';
import type { Normalization, Normalized } from './operations/batch-norm.js';
import type { Slope } from './operations/estimators.js';
import type { WithMagnitude } from './operations/input-scales.js';
import { powerOfTwo } from './operations/powers-of-two.js';
import { adam, type Optimizer } from './optimizer.js';

/** A kernel layer, as a technique's quantizers see it. */
export interface LayerContext {
  readonly plan: Plan;
  readonly shape: KernelShape;
  readonly isLast: boolean;
  /** whether the weights are about to learn, or answer: some techniques round them at random only in training */
  readonly phase: 'training' | 'evaluation';
  /** the next layer's weights are real */
  readonly beforeReal: boolean;
  /** the layer's scalars, where the technique has them */
  readonly scales: Readonly<Partial<Record<ScaleRole, Value>>>;
}

/** With the magnitude that scales the next layer's sums, where it has one. */
export type Activated = Normalized & Partial<WithMagnitude>;

/** Batch norm and what follows it, as nodes. */
export type Activate = (
  g: Graph,
  p: Value,
  gamma: Value,
  beta: Value,
  normalization: Normalization,
) => Activated;

/** Those that every trainer knows; signs may have a slope of their own, and be drawn at random. */
export type ActivationName = 'relu' | 'scaled-sign' | `${'' | 'random-'}${'' | `${Slope}-`}sign`;

export interface Technique {
  readonly name: TechniqueName;
  readonly title: string;
  readonly source: string;
  /** hidden weights are latent: initialized in [-1, 1], clipped there, with per-layer rates */
  readonly latentWeights: boolean;
  /** the output layer's weights are real, whatever the hidden ones are */
  readonly realLast: boolean;
  /** what the first layer's weights may be; the first is the default */
  readonly firstLayers: readonly [FirstLayer, ...FirstLayer[]];
  /** how images enter where nobody says */
  readonly input: 'bit-slices' | '8-bit';
  /** training begins with the weights of a finished run of this technique */
  readonly startsFrom?: TechniqueName;
  /** training may begin with those of a finished run of this one */
  readonly mayStartFrom?: TechniqueName;
  /** scalars of a quantized layer beside its weights, trained or not */
  readonly scales?: (isLast: boolean) => readonly ScaleRole[];
  /** follows training instead of being trained: its scalars come from images */
  readonly afterTraining?: boolean;
  /** the network learns with other weights or activations than it answers with: batch norm has to see those before it answers */
  readonly answersOtherwise?: boolean;
  /** training multiplies with a scale that answering leaves to batch norm: its sums are no integers */
  readonly scalesInTraining?: boolean;
  /** the weights that answer are not those of the state, nor their signs: packing asks the quantizer */
  readonly packsQuantized?: boolean;
  /** batch norm's factors are powers of two */
  readonly shiftNormalization?: boolean;
  /** of latent weights, and of all others; Adam by default */
  readonly optimizers?: Readonly<Record<'binary' | 'float', Optimizer>>;
  /** peak rate of latent weights, where the optimizer wants another than the recipe's */
  readonly latentRate?: number;
  /** the share of weights that are 0 can be chosen */
  readonly hasSparsity?: boolean;
  /** weights are taken away in rounds: train/pruning.ts */
  readonly prunes?: boolean;
  /** bits that a quantized layer's weight is stored in when it answers; the plan's precision goes before */
  readonly weightBits: 1 | 2 | 32;
  /** quantized layers multiply bits with bits, then scale */
  readonly binarySums: boolean;
  /** activations are bits, whatever they are multiplied with */
  readonly binaryActivations?: boolean;
  /** layer sums are integers: pooling can break ties exactly, and the network can be packed */
  readonly integerSums: boolean;
  /**
   * the native step that trains it: in integers, where hidden weights and activations are bits and gradients pass as straight-through;
   * in bfloat16, where its activations have names; null: it trains nothing
   */
  readonly nativeStep: 'integers' | 'bfloat16' | null;
  /** the weights that the layer multiplies with, from its trained ones */
  quantizeWeights(g: Graph, weights: Value, layer: LayerContext): Value;
  /** what follows batch norm in a hidden layer: one that every trainer knows, or batch norm and nodes of its own */
  activation(layer: LayerContext): ActivationName | Activate;
}

/** Whether the layer's weights answer as they were trained: the first and the output layer of many techniques. */
export const hasRealWeights = (
  technique: Pick<Technique, 'realLast' | 'afterTraining' | 'prunes'>,
  { plan, shape, isLast }: Pick<LayerContext, 'plan' | 'shape' | 'isLast'>,
): boolean =>
  !technique.afterTraining &&
  !technique.prunes &&
  ((shape.index === 0 && plan.firstLayer === 'real') || (isLast && technique.realLast));

/** What updates a parameter of `group`. */
export const optimizerOf = ({ optimizers }: Technique, group: 'binary' | 'float'): Optimizer =>
  optimizers?.[group] ?? adam;

/** Factor of a channel's batch norm when it answers; `inverse`: 1 / sqrt(variance + epsilon). */
export const normalizationScale = (
  { shiftNormalization }: Pick<Technique, 'shiftNormalization'>,
  gamma: number,
  inverse: number,
): number => (shiftNormalization ? powerOfTwo(gamma) * powerOfTwo(inverse) : gamma * inverse);

/** Bits that a layer's weight is stored in. */
export const weightBitsOf = (
  technique: Technique,
  layer: Pick<LayerContext, 'plan' | 'shape' | 'isLast'>,
): number =>
  hasRealWeights(technique, layer) ? 32 : (layer.plan.precision?.weights ?? technique.weightBits);

/** What a technique trains in a layer, weights first. */
export function parametersOf(technique: Technique, plan: Plan, shape: KernelShape): Parameter[] {
  const isLast = shape.index === planShapes(plan).length - 1;
  const isReal = hasRealWeights(technique, { plan, shape, isLast });
  return layerParameters(
    plan,
    shape,
    technique.latentWeights && !isReal,
    isReal ? [] : technique.scales?.(isLast),
  );
}
