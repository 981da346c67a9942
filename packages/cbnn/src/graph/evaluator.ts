/** A network that answers: its evaluation graph, opened on a device. */
import type { KernelShape } from '@cbnn/runtime';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels, type Plan } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { argmax } from '../predictions.js';
import { names } from './names.js';
import { evaluationGraph } from './network.js';
import type { Device, Feeds } from './session.js';
import type { Technique } from './technique.js';

export interface Evaluator {
  /** The class of each image; `weights` as `evaluationFeeds` gives them, where they are no constants. Pixels `[count][height][width][channels]`. */
  classify(
    images: { readonly count: number; readonly pixels: Uint8Array },
    weights?: Feeds,
  ): Promise<Uint16Array>;
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
  const session = await device.open(graph.bytes);
  const classes = graph.shapes.at(-1)!.output.channels;
  const shape = [batch, inputChannels(plan.input), plan.input.height, plan.input.width];
  const planes = { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) };
  const scores = { shape: [batch, classes], data: new Float32Array(batch * classes) };
  return {
    async classify({ count: all, pixels }, weights = {}) {
      const found = new Uint16Array(all);
      const size = pixels.length / all;
      for (let start = 0; start < all; start += batch) {
        const count = Math.min(batch, all - start);
        const part = pixels.subarray(start * size, (start + count) * size);
        writeInputPlanes(part, count, plan.input, planes.data);
        await session.run({ ...weights, [names.images]: planes }, { [names.scores]: scores });
        for (let n = 0; n < count; n++) found[start + n] = argmax(scores.data, n, classes);
      }
      return found;
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
): Feeds {
  const feeds = Object.fromEntries(graph.parameters.map(({ name }) => [name, state.get(name)!]));
  for (const { index } of graph.shapes) {
    const gamma = state.get(`layers.${index}.gamma`)!;
    const inverse = state.get(names.inverse(index))!.data;
    feeds[names.mean(index)] = state.get(names.mean(index))!;
    feeds[names.scale(index)] = {
      shape: gamma.shape,
      data: gamma.data.map((value, c) => value * inverse[c]!),
    };
  }
  return feeds;
}
