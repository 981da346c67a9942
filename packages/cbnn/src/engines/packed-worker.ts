/** A thread that runs the WebAssembly engine: the model at its start, then parts of images in and scores out. */
import { decodeModel } from '@cbnn/runtime';
import { workerData } from 'piscina';
import { type ImagePart, partRunner, type RunPart } from './packed-wasm.js';

let runner: Promise<RunPart> | null = null;

export default async function runPart(part: ImagePart): Promise<Int32Array> {
  runner ??= partRunner(decodeModel(workerData as Uint8Array));
  return (await runner)(part);
}
