/** The random numbers of a step: the same whatever trains, and again when a run is resumed. */
import type { Value } from '../graph/graph.js';
import type { Feeds } from '../graph/session.js';
import { Random } from '../random.js';

/** Stream number of a step's random numbers (random.ts). */
const NOISE = 6;

export class StepNoise {
  private readonly tensors: Feeds;

  /** For the noises of a graph, in their order. */
  constructor(
    noises: readonly Pick<Value, 'name' | 'shape'>[],
    private readonly seed: number,
  ) {
    this.tensors = Object.fromEntries(
      noises.map(({ name, shape }) => [
        name,
        { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) },
      ]),
    );
  }

  /** Numbers of step `step`; the arrays are the same in every step. */
  draw(step: number): Feeds {
    for (const [i, { data }] of Object.values(this.tensors).entries()) {
      const random = new Random(this.seed, NOISE, step, i);
      for (let j = 0; j < data.length; j++) data[j] = random.uniform24();
    }
    return this.tensors;
  }
}
