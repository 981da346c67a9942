/** TensorFlow.js in Node, where its packages are installed. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PackedModel } from '@cbnn/runtime';
import type { Yardstick } from './float-network.js';
import { tfjsNetwork } from './tfjs-network.js';

/** Null where @tensorflow/tfjs-core and @tensorflow/tfjs-backend-wasm are not installed, or run no such network. */
export async function openTfjsNetwork(
  model: Pick<PackedModel, 'input' | 'layers'>,
  batch: number,
): Promise<Yardstick | null> {
  const tf = await import('@tensorflow/tfjs-core').catch(() => null);
  const backend = await import('@tensorflow/tfjs-backend-wasm').catch(() => null);
  if (!tf || !backend) return null;
  backend.setThreadsCount(1);
  backend.setWasmPaths(`${dirname(fileURLToPath(import.meta.resolve('@tensorflow/tfjs-backend-wasm')))}/`);
  return (await tf.setBackend('wasm')) ? tfjsNetwork(tf, model, batch) : null;
}
