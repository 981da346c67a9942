/** Networks as the addon reads them: `read_shapes` in csrc/addon.c takes these numbers in the same order. */
import type { InputSpec, KernelShape } from '@cbnn/runtime';

/** What of a kernel layer does not follow from its shape. */
export interface LayerNumbers {
  readonly hasIntegers: boolean;
  /** largest |sum| */
  readonly bound: number;
}

export function describeShapes(
  input: InputSpec,
  shapes: readonly KernelShape[],
  layers: readonly LayerNumbers[],
): Int32Array {
  const numbers = [
    ...[input.height, input.width, input.channels],
    ...[input.encoding === 'bit-slices' ? 1 : 0, input.code ? 1 : 0, input.slices.length],
    ...[input.stretch?.low ?? -1, input.stretch?.high ?? -1],
    ...[shapes.at(-1)!.output.channels, shapes.length],
    ...input.slices.flatMap(({ channel, bit }, i) => [channel, bit, input.shifts[i]!]),
  ];
  for (const [k, shape] of shapes.entries())
    numbers.push(
      ...[shape.kind === 'dense' ? 1 : 0, shape.input.height, shape.input.width, shape.input.channels],
      ...[shape.output.height, shape.output.width, shape.output.channels],
      ...[shape.pool, shape.pooled.height, shape.pooled.width],
      ...[shape.kernel, shape.stride, shape.padStart, shape.padEnd, shape.fanIn],
      ...[layers[k]!.hasIntegers ? 1 : 0, layers[k]!.bound],
    );
  return Int32Array.from(numbers);
}
