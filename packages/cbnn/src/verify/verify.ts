/**
 * Is the number on the target the number in training? Runs the training graph in evaluation mode and the plain
 * reference engine on the packed model over the same images, and counts every sum, bit and class that differs.
 */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { configError, decodeModel } from '@cbnn/runtime';
import type { ImageSet } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import { evaluationFeeds } from '../graph/evaluator.js';
import { names } from '../graph/names.js';
import { evaluationGraph, type NetworkGraph } from '../graph/network.js';
import { type Feeds, openDevice } from '../graph/session.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { argmax } from '../predictions.js';
import { techniqueOf } from '../techniques/index.js';
import { planOf } from '../train/config.js';
import { RunFolder, readCheckpoint } from '../train/run-folder.js';
import { addDifferences, compareWithReference, type Differences, type GraphOutputs } from './compare.js';

export interface VerifyOptions {
  /** threads that run the reference engine; 0 runs it in this one. 1 by default */
  readonly workers?: number;
  readonly signal?: AbortSignal;
  /** images done, of all */
  readonly onProgress?: (done: number, total: number) => void;
}

const BATCH = 50;

/**
 * Compares the finished bnn run in `path` with its packed model on raw `images`, layer by layer.
 * The reference engine needs about 0.1 s an image for the default network. Throws a config error when the folder
 * holds no finished bnn run.
 */
export async function verifyRun(
  path: string,
  images: ImageSet,
  { workers = 1, signal, onProgress }: VerifyOptions = {},
): Promise<Differences> {
  const folder = new RunFolder(path);
  const config = folder.readConfig();
  if (!existsSync(folder.model))
    throw configError(`verify ${path}: no packed model there; expected the folder of a finished bnn run`);
  const bytes = readFileSync(folder.model);
  const model = decodeModel(bytes);
  const graphs = await openGraph(folder, images);
  const comparers = Array.from({ length: Math.max(1, workers) }, () =>
    comparer(workers === 0 ? null : bytes),
  );
  let total: Differences | null = null;
  let next = 0;
  let done = 0;
  try {
    // Each comparer takes the next batch when it has finished one; the graph itself is the small part of the work.
    await Promise.all(
      comparers.map(async ({ compare }) => {
        while (next < images.count) {
          signal?.throwIfAborted();
          const start = next;
          next = Math.min(images.count, start + BATCH);
          const outputs = await graphs.run(start, next - start);
          const differences = await compare(outputs);
          total = total ? addDifferences(total, differences) : differences;
          done += outputs.count;
          onProgress?.(done, images.count);
        }
      }),
    );
  } finally {
    for (const { close } of comparers) await close();
    await graphs.close();
  }
  if (!total) throw configError(`verify ${path}: no images`);
  return total;

  function comparer(packed: Uint8Array | null) {
    if (!packed)
      return {
        compare: async (graph: GraphOutputs) => compareWithReference(model, graph),
        close: async () => {},
      };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: packed });
    return {
      async compare(graph: GraphOutputs): Promise<Differences> {
        worker.postMessage(graph);
        // `once` rejects when the worker fails.
        const [differences] = (await once(worker, 'message', signal ? { signal } : {})) as [Differences];
        return differences;
      },
      close: async () => {
        await worker.terminate();
      },
    };
  }

  /** The training graph with the run's best weights; batches take turns. */
  async function openGraph(from: RunFolder, raw: ImageSet) {
    const plan = planOf(config);
    const technique = techniqueOf(plan);
    const device = await openDevice(config.device === 'native' ? 'auto' : config.device, config.threads);
    const graph: NetworkGraph = evaluationGraph(plan, technique, BATCH, {
      channelBlock: device.channelBlock,
      expose: true,
    });
    const session = await device.open(graph.bytes);
    const { state } = readCheckpoint(from.best);
    const weights = evaluationFeeds(graph, state, technique);
    const prepared = preparedSet(raw, config.input);
    const size = raw.height * raw.width * raw.channels;
    let turn: Promise<unknown> = Promise.resolve();

    const run = async (start: number, count: number): Promise<GraphOutputs> => {
      const planes = graph.shapes[0]!.input;
      const shape = [BATCH, planes.channels, planes.height, planes.width];
      const input = { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
      writeInputPlanes(
        prepared.pixels.subarray(start * size, (start + count) * size),
        count,
        plan.input,
        input.data,
      );
      const outputs: Record<string, Feeds[string]> = {};
      for (const { index, kind, output, pooled } of graph.shapes) {
        const map =
          kind === 'conv' ? [BATCH, output.channels, pooled.height, pooled.width] : [BATCH, output.channels];
        for (const name of [names.sums(index), names.activations(index)])
          outputs[name] = { shape: map, data: new Float32Array(map.reduce((a, b) => a * b, 1)) };
      }
      await session.run({ [names.images]: input, ...weights }, outputs);
      const last = graph.shapes.length - 1;
      const scores = outputs[names.activations(last)]!.data;
      return {
        count,
        pixels: raw.pixels.slice(start * size, (start + count) * size),
        classes: Uint16Array.from({ length: count }, (_, n) => argmax(scores, n, model.classes.length)),
        layers: graph.shapes.map(({ index }) => ({
          sums: outputs[names.sums(index)]!.data,
          activations: index === last ? null : outputs[names.activations(index)]!.data,
          inverted: Array.from(weights[names.scale(index)]!.data, (scale) => scale < 0),
        })),
      };
    };
    return {
      run: (start: number, count: number): Promise<GraphOutputs> => {
        const mine = turn.then(() => run(start, count));
        turn = mine.catch(() => {});
        return mine;
      },
      close: () => session.close(),
    };
  }
}
