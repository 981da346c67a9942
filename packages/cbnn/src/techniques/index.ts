import type { Technique } from '../graph/technique.js';
import type { Plan, TechniqueName } from '../nn/plan.js';
import { binaryConnect, binaryConnectStochastic } from './binaryconnect.js';
import { binaryActivations, bnn } from './bnn.js';
import { fixedPoint } from './fixed-point.js';
import { float } from './float.js';
import { pruned } from './pruned.js';
import { ternary, ttq } from './ternary.js';
import { bnnWith } from './variations.js';
import { bwn, xnorNet, xnorNetBinary, xnorNetWithoutK } from './xnor-net.js';

/** Every technique, by the name it is selected with. */
export const techniques: Readonly<Record<TechniqueName, Technique>> = {
  bnn,
  'binary-activations': binaryActivations,
  float,
  'fixed-point': fixedPoint,
  binaryconnect: binaryConnect,
  'binaryconnect-stochastic': binaryConnectStochastic,
  bwn,
  'xnor-net': xnorNet,
  'xnor-net-without-k': xnorNetWithoutK,
  'xnor-net-binary': xnorNetBinary,
  ternary,
  ttq,
  pruned,
};

/** A plan's technique, trained as its variations say. */
export const techniqueOf = ({ technique, variations }: Pick<Plan, 'technique' | 'variations'>): Technique =>
  technique === 'bnn' && variations ? bnnWith(variations) : techniques[technique];
