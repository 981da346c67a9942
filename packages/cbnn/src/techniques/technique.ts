/**
 * A technique names the quantizers of a layer; everything else about training is shared. To add one, write a file
 * beside bnn.ts and list it in index.ts.
 */
import type { KernelShape } from '@cbnn/runtime';
import type { Graph, Value } from '../graph/graph.js';
import type { Normalization, Normalized } from '../graph/operations/batch-norm.js';
import type { Plan } from '../nn/plan.js';

export type TechniqueName = 'bnn' | 'float';

export interface Technique {
  readonly name: TechniqueName;
  readonly title: string;
  readonly source: string;
  /** hidden weights are latent: initialized in [-1, 1], clipped there, with per-layer rates */
  readonly latentWeights: boolean;
  /** layer sums are integers: pooling can break ties exactly, and the network can be packed */
  readonly integerSums: boolean;
  /** the weights that the layer multiplies with, from its trained ones */
  quantizeWeights(g: Graph, weights: Value, shape: KernelShape, plan: Plan): Value;
  /** batch norm and what follows it in a hidden layer */
  activate(g: Graph, p: Value, gamma: Value, beta: Value, normalization: Normalization): Normalized;
}
