/** What counting bits costs on this processor, beside looking sums up: a short measurement, for choose.ts, of about 10 ms. */
import { countFunction } from './counting-kernels.js';
import { wasmModule } from './emitter.js';
import { LOOKUPS, lookupFunction, TILE } from './kernels.js';
import type { Kernels } from './memory.js';

/** Slices of time, of which the fastest counts: the first ones run before a browser has compiled the loops well. */
const SLICES = 4;
/** A slice lasts so long, and so many steps of the clock: in some browsers one is a millisecond. */
const SLICE_MILLISECONDS = 1;
const SLICE_STEPS = 5;
/** Calls between two looks at the clock: a hundredth of a millisecond or so. */
const CALLS = 32;
/** Looks at the clock for its next step, some milliseconds: it may be a coarse one, or stand still. */
const MOST_LOOKS = 100_000;

/** What a count costs in lookups, both in a first-level cache; null where the clock cannot tell. */
export async function measureCountCost(): Promise<number | null> {
  // The first one has begun before.
  nextStep();
  const clockStep = nextStep();
  if (!clockStep) return null;
  const [outputs, bytes, positions] = [16, 144, 8];
  // One page, all zeros: tables, and behind them what is read and written.
  const [tables, index, sums, input, weights, counts] = [0, 24_576, 32_768, 40_960, 45_056, 53_248];
  const memory = new WebAssembly.Memory({ initial: 1 });
  const lookups = lookupFunction(tables, 16, false);
  const { instance } = await WebAssembly.instantiate(wasmModule([lookups, countFunction()]), {
    env: { memory },
  });
  const kernels = instance.exports as unknown as Kernels;
  const duration = Math.max(SLICE_MILLISECONDS, SLICE_STEPS * clockStep);
  const lookup = () => kernels[lookups.name]!(index, LOOKUPS, sums, sums + 2 * TILE * outputs);
  const count = () =>
    kernels['count']!(input, bytes, positions, weights, counts, 4 * outputs, counts + 4 * outputs);
  // In turns: a processor that changes its pace changes it for both.
  const slices = Array.from(
    { length: SLICES },
    () => [timed(lookup, duration), timed(count, duration)] as const,
  );
  const ofLookup = Math.min(...slices.map(([time]) => time)) / (outputs * LOOKUPS);
  const ofCount = Math.min(...slices.map(([, time]) => time)) / (outputs * positions * (bytes / 16));
  const cost = ofCount / ofLookup;
  return cost > 0 && Number.isFinite(cost) ? cost : null;
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
