/** A thread that runs the reference engine: model in, then graph outputs in and differences out. */
import { parentPort, workerData } from 'node:worker_threads';
import { decodeModel } from '@cbnn/runtime';
import { compareWithReference, type GraphOutputs } from './compare.js';

const model = decodeModel(workerData as Uint8Array);
parentPort!.on('message', (graph: GraphOutputs) => {
  parentPort!.postMessage(compareWithReference(model, graph));
});
