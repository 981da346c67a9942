/**
 * Whether a convolution of bits looks sums up or counts them. How much work either is, follows from the layer's shape; what it costs, from
 * a short measurement on this processor (measure.ts), the same for all models, once and where some layer depends on it.
 */
import type { KernelShape } from '../shapes.js';
import { CountedConv } from './counted-conv.js';
import { LookupConv } from './lookup-conv.js';
import { measureCountCost } from './measure.js';

/** How convolutions of bits are computed; every one of them exactly. */
export type Convolutions = 'looked-up' | 'counted';

/** Outside of this no processor is expected, and nothing is measured to decide. */
const LEAST_COST = 0.5;
const MOST_COST = 8;
/** Where nothing is measured, or cannot be: between V8 on x64 (1.7 on a Zen 5) and what instructions of ARM promise (0.6 to 0.8). */
const USUAL_COST = 1.5;
/** Counts have to be cheaper by so much: a measurement is a short one. */
const MARGIN = 0.8;

/** Lookups above which counts cost less: what a layer's work makes a count worth; undefined where nothing can be looked up. */
const breakEven = (shape: KernelShape): number | undefined => {
  const lookups = LookupConv.lookups(shape);
  return lookups && (MARGIN * lookups) / CountedConv.vectors(shape);
};

/** The faster way that is possible, where a count costs as much as `cost` lookups: at 0 always counted, at infinity looked up where that fits. */
export const faster = (shape: KernelShape, cost: number): Convolutions => {
  const even = breakEven(shape);
  return even === undefined || cost < even ? 'counted' : 'looked-up';
};

let measured: Promise<number | null> | null = null;

/** What a count costs here, in lookups; measured if any of `shapes` depends on it. */
export async function countCost(shapes: readonly KernelShape[]): Promise<number> {
  const depends = shapes.some((shape) => {
    const even = breakEven(shape) ?? 0;
    return even > LEAST_COST && even < MOST_COST;
  });
  if (!depends) return USUAL_COST;
  measured ??= measureCountCost();
  // Whoever tries again measures again.
  const cost = await measured.catch((error) => {
    measured = null;
    throw error;
  });
  return cost ?? USUAL_COST;
}
