/**
 * A technique names the quantizers of a layer; everything else about training is shared. To add one, write a file in
 * techniques/ and list it in its index.ts.
 */
import type { KernelShape } from '@cbnn/runtime';
import type { Plan, TechniqueName } from '../nn/plan.js';
import type { Graph, Value } from './graph.js';
import type { Normalization, Normalized } from './operations/batch-norm.js';

export interface Technique {
  readonly name: TechniqueName;
  readonly title: string;
  readonly source: string;
  /** hidden weights are latent: initialized in [-1, 1], clipped there, with per-layer rates */
  readonly latentWeights: boolean;
  /** layer sums are integers: pooling can break ties exactly, and the network can be packed */
  readonly integerSums: boolean;
  /** the native step trains it: hidden weights and activations are bits, and gradients pass as straight-through */
  readonly nativeStep: boolean;
  /** the weights that the layer multiplies with, from its trained ones */
  quantizeWeights(g: Graph, weights: Value, shape: KernelShape, plan: Plan): Value;
  /** batch norm and what follows it in a hidden layer */
  activate(g: Graph, p: Value, gamma: Value, beta: Value, normalization: Normalization): Normalized;
}
