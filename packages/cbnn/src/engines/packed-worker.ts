/** A thread that runs the WebAssembly engine: model in, then images in and scores out. */
import { parentPort, workerData } from 'node:worker_threads';
import { decodeModel } from '@cbnn/runtime';
import { imageRunner } from './packed-wasm.js';

const runner = imageRunner(decodeModel(workerData as Uint8Array));
parentPort!.on('message', async ({ pixels, count }: { pixels: Uint8Array; count: number }) => {
  const run = await runner;
  parentPort!.postMessage(run(pixels, count));
});
