/**
 * Whether a convolution of bits looks sums up or counts them. How much work either is, follows from the layer's shape; what it costs, from
 * a short measurement on this processor, the same for all models: it takes about 10 ms, once, where some layer depends on it.
 */
import type { KernelShape } from '../shapes.js';
import { CountedConv } from './counted-conv.js';
import { countFunction } from './counting-kernels.js';
import { wasmModule } from './emitter.js';
import { LOOKUPS, lookupFunction, TILE } from './kernels.js';
import { LookupConv } from './lookup-conv.js';
import type { Kernels } from './memory.js';

/** How convolutions of bits are computed; every one of them exactly. */
export type Convolutions = 'looked-up' | 'counted';

/** Outside of this no processor is expected, and nothing is measured to decide. */
const LIKELY_COSTS = [0.5, 8] as const;
/** Where nothing is measured, or cannot be: between V8 on x64 (1.7 on a Zen 5) and what instructions of ARM promise (0.6 to 0.8). */
const USUAL_COST = 1.5;
/** Counts have to be cheaper by so much: a measurement is a short one. */
const MARGIN = 0.8;

/** Slices of time, of which the fastest counts: the first ones run before a browser has compiled the loops well. */
const SLICES = 4;
/** A slice lasts so long, and so many steps of the clock: in some browsers one is a millisecond. */
const SLICE_MILLISECONDS = 1;
const SLICE_STEPS = 5;
/** Calls between two looks at the clock: a hundredth of a millisecond or so. */
const CALLS = 32;
/** Looks at the clock for its next step, some milliseconds: it may be a coarse one, or stand still. */
const MOST_LOOKS = 100_000;

/** Lookups above which counts cost less: what a layer's work makes a count worth. */
const breakEven = (shape: KernelShape): number =>
  (MARGIN * LookupConv.lookups(shape)) / CountedConv.vectors(shape);

/** Looked up where that fits. */
export const possible = (shape: KernelShape): Convolutions =>
  LookupConv.fits(shape) ? 'looked-up' : 'counted';

/** The faster way that is possible, where a count costs as much as `cost` lookups. */
export const faster = (shape: KernelShape, cost: number): Convolutions =>
  LookupConv.fits(shape) && !(cost < breakEven(shape)) ? 'looked-up' : 'counted';

let measured: Promise<number> | null = null;

/** What a count costs here, in lookups; measured if any of `shapes` depends on it. */
export async function countCost(shapes: readonly KernelShape[]): Promise<number> {
  const [least, most] = LIKELY_COSTS;
  const depends = shapes.some((shape) => {
    const even = LookupConv.fits(shape) ? breakEven(shape) : 0;
    return even > least && even < most;
  });
  if (!depends) return USUAL_COST;
  measured ??= measureCountCost();
  // Whoever tries again measures again.
  return measured.catch((error) => {
    measured = null;
    throw error;
  });
}

/** Counts and lookups in a first-level cache. */
async function measureCountCost(): Promise<number> {
  const clockStep = nextStep() === null ? null : nextStep();
  if (clockStep === null) return USUAL_COST;
  const [outputs, bytes, positions] = [16, 144, 8];
  const kilobyte = 1024;
  const [tables, index, sums] = [0, 24 * kilobyte, 32 * kilobyte];
  const [input, weights, counts] = [40 * kilobyte, 44 * kilobyte, 52 * kilobyte];
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { instance } = await WebAssembly.instantiate(wasmModule([lookupFunction(tables), countFunction()]), {
    env: { memory },
  });
  const kernels = instance.exports as unknown as Kernels;
  const duration = Math.max(SLICE_MILLISECONDS, SLICE_STEPS * clockStep);
  const lookup = () => kernels['lookup']!(index, LOOKUPS, sums, sums + 2 * TILE * outputs);
  const count = () =>
    kernels['count']!(input, bytes, positions, weights, counts, 4 * outputs, counts + 4 * outputs);
  // In turns: a processor that changes its pace changes it for both.
  let [ofLookups, ofCounts] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let slice = 0; slice < SLICES; slice++) {
    ofLookups = Math.min(ofLookups, timed(lookup, duration));
    ofCounts = Math.min(ofCounts, timed(count, duration));
  }
  const cost = ofCounts / (outputs * positions * (bytes / 16)) / (ofLookups / (outputs * LOOKUPS));
  return cost > 0 && cost < Number.POSITIVE_INFINITY ? cost : USUAL_COST;
}

/** Milliseconds of the clock's step that comes next, once it is there; null where it does not come soon. */
function nextStep(): number | null {
  const begun = performance.now();
  for (let look = 0; look < MOST_LOOKS; look++) {
    const step = performance.now() - begun;
    if (step > 0) return step;
  }
  return null;
}

/** Milliseconds of a call of `run`, of as many as take `duration`. */
function timed(run: () => void, duration: number): number {
  nextStep();
  const begun = performance.now();
  for (let calls = CALLS; ; calls += CALLS) {
    for (let i = 0; i < CALLS; i++) run();
    const passed = performance.now() - begun;
    // A clock that has stopped meanwhile would never let it end.
    if (passed >= duration || calls >= MOST_LOOKS) return passed / calls;
  }
}
