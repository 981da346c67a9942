/** Compares what the training graph computed for some images with the reference engine, layer by layer. */
import { classify, modelShapes, type PackedModel, runReference } from '@cbnn/runtime';

/** Outputs of the training graph in evaluation mode, for `count` images. Plain data: it crosses threads. */
export interface GraphOutputs {
  readonly count: number;
  /** raw, `[count][height][width][channels]` */
  readonly pixels: Uint8Array;
  readonly classes: Uint16Array;
  readonly layers: readonly {
    /** after pooling, `[count][channels][height][width]`; all are integers */
    readonly sums: Float32Array;
    /** +-1, the same order; null for the output layer, which has scores instead */
    readonly activations: Float32Array | null;
    /** output channels whose bit the packed model stores inverted (negative batch-norm scale) */
    readonly inverted: readonly boolean[];
  }[];
}

export interface LayerDifferences {
  readonly sums: number;
  readonly differentSums: number;
  readonly bits: number;
  readonly differentBits: number;
}

export interface Differences {
  readonly images: number;
  readonly differentClasses: number;
  readonly layers: readonly LayerDifferences[];
}

export function compareWithReference(model: PackedModel, graph: GraphOutputs): Differences {
  const shapes = modelShapes(model);
  const size = graph.pixels.length / graph.count;
  const layers = shapes.map(() => ({ sums: 0, differentSums: 0, bits: 0, differentBits: 0 }));
  let differentClasses = 0;
  for (let n = 0; n < graph.count; n++) {
    const { scores, trace } = runReference(model, graph.pixels.subarray(n * size, (n + 1) * size));
    if (classify(scores) !== graph.classes[n]) differentClasses++;
    for (const [k, { sums, bits }] of trace.entries()) {
      const given = graph.layers[k]!;
      const count = layers[k]!;
      const channels = shapes[k]!.output.channels;
      const area = sums.length / channels;
      const start = n * sums.length;
      for (let i = 0; i < sums.length; i++) {
        const channel = i % channels;
        const at = start + channel * area + Math.floor(i / channels);
        if (sums[i] !== given.sums[at]! + 0) count.differentSums++; // + 0: the graph's rounding can leave -0
        if (given.activations) {
          const bit = given.activations[at]! > 0 !== given.inverted[channel]!;
          if ((bits[i] === 1) !== bit) count.differentBits++;
        }
      }
      count.sums += sums.length;
      count.bits += bits.length;
    }
  }
  return { images: graph.count, differentClasses, layers };
}

export function addDifferences(a: Differences, b: Differences): Differences {
  return {
    images: a.images + b.images,
    differentClasses: a.differentClasses + b.differentClasses,
    layers: a.layers.map((layer, k) => ({
      sums: layer.sums + b.layers[k]!.sums,
      differentSums: layer.differentSums + b.layers[k]!.differentSums,
      bits: layer.bits + b.layers[k]!.bits,
      differentBits: layer.differentBits + b.layers[k]!.differentBits,
    })),
  };
}
