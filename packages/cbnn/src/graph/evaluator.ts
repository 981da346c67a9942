/** A network that answers: its evaluation graph, opened on a device. */
import type { KernelShape } from '@cbnn/runtime';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels, type Plan, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { argmax } from '../predictions.js';
import { names } from './names.js';
import { evaluationGraph } from './network.js';
import type { Device, Feeds, Session } from './session.js';
import { normalizationScale, type Technique } from './technique.js';

/** Pixels `[count][height][width][channels]`. */
export interface Pixels {
  readonly count: number;
  readonly pixels: Uint8Array;
}

export interface Evaluator {
  /** `[count][class]`; `weights` as `evaluationFeeds` gives them, where they are no constants. */
  scores(images: Pixels, weights?: Feeds, signal?: AbortSignal): Promise<Float32Array>;
  /** The class of each image. */
  classify(images: Pixels, weights?: Feeds, signal?: AbortSignal): Promise<Uint16Array>;
  close(): Promise<void>;
}

/** `batch` images a call; `known`: weights that never change, and may be arranged as suits the device. */
export async function openEvaluator(
  plan: Plan,
  technique: Technique,
  device: Device,
  batch = 200,
  known: Feeds = {},
): Promise<Evaluator> {
  const graph = evaluationGraph(plan, technique, batch, device, known);
  return evaluatorOf(await device.open(graph.bytes), plan, batch);
}

/** A session from `images`, as the first layer of `plan` sees `batch` of them, to `scores`. */
export function evaluatorOf(session: Session, plan: Plan, batch: number): Evaluator {
  const classes = planShapes(plan).at(-1)!.output.channels;
  const shape = [batch, inputChannels(plan.input), plan.input.height, plan.input.width];
  const planes = { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) };
  const scores = { shape: [batch, classes], data: new Float32Array(batch * classes) };
  const scoresOf: Evaluator['scores'] = async ({ count: all, pixels }, weights = {}, signal) => {
    const found = new Float32Array(all * classes);
    const size = pixels.length / all;
    for (let start = 0; start < all; start += batch) {
      signal?.throwIfAborted();
      const count = Math.min(batch, all - start);
      const part = pixels.subarray(start * size, (start + count) * size);
      writeInputPlanes(part, count, plan.input, planes.data);
      await session.run({ ...weights, [names.images]: planes }, { [names.scores]: scores });
      found.set(scores.data.subarray(0, count * classes), start * classes);
    }
    return found;
  };
  return {
    scores: scoresOf,
    async classify(images, weights, signal) {
      const found = await scoresOf(images, weights, signal);
      return Uint16Array.from({ length: images.count }, (_, n) => argmax(found, n, classes));
    },
    close: () => session.close(),
  };
}

/** What an evaluation graph needs beside the images: the trained tensors, and statistics in the form it takes them. */
export function evaluationFeeds(
  graph: {
    readonly parameters: readonly { readonly name: string }[];
    readonly shapes: readonly KernelShape[];
  },
  state: TrainingState,
  technique: Pick<Technique, 'shiftNormalization'>,
): Feeds {
  const feeds = Object.fromEntries(graph.parameters.map(({ name }) => [name, state.get(name)!]));
  for (const { index } of graph.shapes) {
    const gamma = state.get(`layers.${index}.gamma`)!;
    const inverse = state.get(names.inverse(index))!.data;
    feeds[names.mean(index)] = state.get(names.mean(index))!;
    feeds[names.scale(index)] = {
      shape: gamma.shape,
      data: gamma.data.map((value, c) => normalizationScale(technique, value, inverse[c]!)),
    };
  }
  return feeds;
}
