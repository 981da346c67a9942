/** Times of things that take turns: what a neighbour or a clock does to one of them, it does to all. */

/** Times of calls, sorted. */
export class Times {
  private readonly sorted: number[];

  constructor(calls: readonly number[]) {
    this.sorted = calls.toSorted((a, b) => a - b);
  }

  get count(): number {
    return this.sorted.length;
  }

  /** The time that this share of all calls did not exceed. */
  at(share: number): number {
    return this.sorted[Math.floor(share * (this.sorted.length - 1))]!;
  }
}

export interface TurnOptions {
  readonly rounds: number;
  /** of each one's turn */
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
  readonly onTurn?: ((done: number, total: number, index: number) => void) | undefined;
}

/** Times each of `runs`, which take turns; another one begins each round. */
export async function takeTurns(
  runs: readonly (() => unknown)[],
  { rounds, seconds, signal, onTurn }: TurnOptions,
): Promise<Times[]> {
  const calls = runs.map((): number[] => []);
  for (let round = 0; round < rounds; round++)
    for (const i of runs.keys()) {
      signal?.throwIfAborted();
      const index = (i + round) % runs.length;
      calls[index]!.push(...(await turn(runs[index]!, seconds)));
      onTurn?.(round * runs.length + i + 1, rounds * runs.length, index);
    }
  return calls.map((all) => new Times(all));
}

/**
 * Calls for `seconds`, at least three times; milliseconds of each. A third of that goes before and does not count: caches
 * fill, clocks rise, and the threads of the one before stop spinning.
 */
async function turn(run: () => unknown, seconds: number): Promise<number[]> {
  const calls = async (duration: number, least: number): Promise<number[]> => {
    const times: number[] = [];
    const end = performance.now() + 1000 * duration;
    while (times.length < least || performance.now() < end) {
      const begun = performance.now();
      await run();
      times.push(performance.now() - begun);
    }
    return times;
  };
  await calls(seconds / 3, 1);
  return calls(seconds, 3);
}
