/** A packed model with the shapes and types of a real one and nothing but zeros in it: enough to count its costs. */
import { type InputSpec, type LayerSpec, modelShapes, type PackedModel } from '@cbnn/runtime';

export function blankModel(
  input: InputSpec,
  layers: readonly LayerSpec[],
  firstLayer: 'integer' | 'binary' = 'integer',
): PackedModel {
  const shapes = modelShapes({ input, layers });
  const kernels = shapes.map(({ output: { channels }, fanIn }, i): PackedModel['kernels'][number] => {
    const weights =
      i === 0 && firstLayer === 'integer'
        ? ({ type: 'integer', values: new Int8Array(channels * fanIn) } as const)
        : ({ type: 'binary', bits: new Uint8Array(channels * Math.ceil(fanIn / 8)) } as const);
    return i < shapes.length - 1
      ? { weights, output: 'bits', thresholds: new Int32Array(channels) }
      : { weights, output: 'scores', scale: new Int32Array(channels), bias: new Int32Array(channels) };
  });
  const classes = Array.from({ length: shapes.at(-1)!.output.channels }, (_, i) => `class ${i}`);
  const provenance = { technique: 'bnn', recipe: 'modern', dataset: 'none', epochs: 1, seed: 1 };
  return { input, layers, classes, provenance, kernels };
}
