/**
 * Whether a convolution of bits looks sums up or counts them. How much work either is, follows from the layer's shape; what it costs, from
 * a short measurement on this processor, the same for all models: it takes about 10 ms, once. (Where popcount is an instruction, as on
 * ARM, one count costs half a lookup or so; where it is emulated, as by V8 on x64, two or three.)
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
const LIKELY_COSTS = [0.4, 8] as const;

/** Slices of a millisecond, of which the fastest counts: the first ones run before a browser has compiled the loops well. */
const SLICES = 2;
const SLICE_MILLISECONDS = 1;

/** Lookups above which counts cost less: what a layer's work makes a count worth. */
const breakEven = (shape: KernelShape): number =>
  LookupConv.fits(shape) ? LookupConv.lookups(shape) / CountedConv.vectors(shape) : Number.POSITIVE_INFINITY;

/** The faster way, where a count costs as much as `cost` lookups. */
export const faster = (shape: KernelShape, cost: number): Convolutions =>
  cost < breakEven(shape) ? 'counted' : 'looked-up';

/** Looked up where that fits. */
export const possible = (shape: KernelShape): Convolutions =>
  LookupConv.fits(shape) ? 'looked-up' : 'counted';

let measured: Promise<number> | null = null;

/** What a count costs here, in lookups; measured if any of `shapes` depends on it. */
export async function countCost(shapes: readonly KernelShape[]): Promise<number> {
  const [least, most] = LIKELY_COSTS;
  const depends = shapes.some((shape) => {
    const even = breakEven(shape);
    return even > least && even < most;
  });
  if (!depends) return Math.sqrt(least * most);
  measured ??= measureCountCost();
  return measured;
}

/** Counts and lookups in a first-level cache. */
async function measureCountCost(): Promise<number> {
  const [outputs, bytes, positions] = [16, 144, 8];
  const [tables, index, sums, input, weights, counts] = [0, 24, 32, 40, 44, 52].map(
    (kilobytes) => kilobytes * 1024,
  ) as [number, number, number, number, number, number];
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { instance } = await WebAssembly.instantiate(wasmModule([lookupFunction(tables), countFunction()]), {
    env: { memory },
  });
  const kernels = instance.exports as unknown as Kernels;
  const lookup = timed(() => kernels['lookup']!(index, LOOKUPS, sums, sums + 2 * TILE * outputs));
  const count = timed(() =>
    kernels['count']!(input, bytes, positions, weights, counts, 4 * outputs, counts + 4 * outputs),
  );
  // In turns: a processor that changes its pace changes it for both.
  let [fastestLookup, fastestCount] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let slice = 0; slice < SLICES; slice++) {
    fastestLookup = Math.min(fastestLookup, lookup());
    fastestCount = Math.min(fastestCount, count());
  }
  return fastestCount / (outputs * positions * (bytes / 16)) / (fastestLookup / (outputs * LOOKUPS));
}

/** Milliseconds of a call of `run`, from as many as a slice takes. */
function timed(run: () => void): () => number {
  let calls = 64;
  return () => {
    for (;;) {
      const begun = performance.now();
      for (let i = 0; i < calls; i++) run();
      const passed = performance.now() - begun;
      // A clock that stands still would never let it end.
      if (passed >= SLICE_MILLISECONDS || calls >= 2 ** 16) return passed / calls;
      calls *= 2;
    }
  };
}
