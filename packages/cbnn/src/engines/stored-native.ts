/** Runs stored networks of real sums on the native engine: XNOR-Net and its variants, and pruned networks. */
import type { RealEngine, RealNetwork } from '@cbnn/native';
import type { LayerContext } from '../graph/technique.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels, planShapes } from '../nn/plan.js';
import type { StoredNetwork } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';
import { nativePackage } from './packed-native.js';

/** The network as the engine takes it; null where it has nothing for the technique that ONNX Runtime would not do better. */
export function realNetworkOf({ plan, layers }: StoredNetwork): RealNetwork | null {
  const technique = techniques[plan.technique];
  const isScaled = technique.binarySums && !technique.integerSums;
  if (!isScaled && !technique.prunes) return null;
  const shapes = planShapes(plan);
  const hidden: LayerContext = {
    ...{ plan, shape: shapes[0]!, phase: 'evaluation', scales: {} },
    ...{ isLast: false, beforeReal: false },
  };
  return {
    input: plan.input,
    shapes,
    hasK: technique.activation(hidden) === 'scaled-sign',
    layers: layers.map((layer, k) => {
      const isReal = k === 0 || (technique.realLast && k === shapes.length - 1);
      return { ...layer, form: technique.prunes ? 'sparse' : isReal ? 'real' : 'binary' };
    }),
  };
}

/** What `stored-native` gives of a network: scores of images that are prepared already. */
export interface StoredNative {
  /** e.g. `avx512` */
  readonly kernels: string;
  /** that batches can have */
  readonly threads: number;
  /** float32 scores `[class]` of one image, `[height][width][channels]` */
  run(pixels: Uint8Array): Float32Array;
  /** The same by plain loops, slowly: to compare with. */
  reference(pixels: Uint8Array): Float32Array;
  /** By plain loops, slowly: the value nearest to 0 whose sign the network takes, beside the root mean square of its layer. */
  margin(pixels: Uint8Array): number;
  /** `[count][class]` */
  runBatch(pixels: Uint8Array, count: number, threads: number): Promise<Float32Array>;
}

/** Null where the native engine is not here, or not for this network. */
export async function openStoredNative(network: StoredNetwork): Promise<StoredNative | null> {
  const native = await nativePackage();
  const real = realNetworkOf(network);
  if (!native || !real) return null;
  let engine: RealEngine;
  try {
    engine = native.RealEngine.create(real);
  } catch (error) {
    if (error instanceof Error && /memory/.test(error.message)) return null;
    throw error;
  }
  const { input } = network.plan;
  const size = inputChannels(input) * input.height * input.width;
  const classes = network.classes.length;
  const planes = new Float32Array(size);
  const referenceOf = (pixels: Uint8Array) => {
    writeInputPlanes(pixels, 1, input, planes);
    return native.runRealReference(real, planes);
  };
  return {
    kernels: engine.kernels,
    threads: native.nativeThreads(),
    run(pixels) {
      const scores = new Float32Array(classes);
      writeInputPlanes(pixels, 1, input, planes);
      engine.run(planes, scores);
      return scores;
    },
    reference: (pixels) => Float32Array.from(referenceOf(pixels).scores),
    margin: (pixels) => referenceOf(pixels).margin,
    async runBatch(pixels, count, threads) {
      const all = new Float32Array(count * size);
      writeInputPlanes(pixels, count, input, all);
      return engine.runBatch(all, count, { threads });
    },
  };
}
