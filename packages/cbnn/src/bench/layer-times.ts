/** What each layer of a packed model takes on the native engine, beside what counting reaches on the same instruction set. */
import { modelShapes, type PackedModel } from '@cbnn/runtime';
import { nativePackage, openNative } from '../engines/packed-native.js';

export interface LayerTime {
  /** e.g. `128C3 on 32x32x128` */
  readonly layer: string;
  readonly microseconds: number;
  /** multiply-accumulates a second, in 10^9 */
  readonly gmacs: number;
}

export interface LayerTimes {
  /** instruction set */
  readonly kernels: string;
  /** 10^9 products a second of xor, popcount and addition in registers, measured in the same run */
  readonly limit: number;
  readonly layers: readonly LayerTime[];
}

/** Of every instruction set that is here: medians of `rounds`, each layer by itself on what the one before left. */
export async function layerTimes(model: PackedModel, image: Uint8Array, rounds = 25): Promise<LayerTimes[]> {
  const native = await nativePackage();
  const all: LayerTimes[] = [];
  for (const kernels of native?.nativeKernels() ?? []) {
    const engine = await openNative(model, kernels);
    if (!engine) continue;
    engine.run(image, new Int32Array(model.classes.length));
    const { seconds, limit } = engine.measure(rounds);
    all.push({
      kernels,
      limit: limit / 1e9,
      layers: modelShapes(model).map(({ kind, kernel, input, output, pool, fanIn }, k) => {
        const macs = output.height * output.width * output.channels * fanIn;
        const own = kind === 'conv' ? `${output.channels}C${kernel}` : `${output.channels}FC`;
        const pooled = pool > 1 ? ` and MP${pool}` : '';
        return {
          layer: `${own}${pooled} on ${input.height}x${input.width}x${input.channels}`,
          microseconds: 1e6 * seconds[k]!,
          gmacs: macs / seconds[k]! / 1e9,
        };
      }),
    });
  }
  return all;
}
