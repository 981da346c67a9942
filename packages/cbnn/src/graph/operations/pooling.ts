/**
 * Max pooling with its gradient, without index tensors (WebGPU has none, and MaxUnpool is twice as slow on the CPU).
 *
 * Integer sums tie often, and the gradient must then go to the first maximum of a window only. Subtracting i/16 from
 * the i-th place of every window makes all values of a window differ without changing their order; Ceil restores the
 * integer afterwards; comparing with the up-sampled maximum yields a mask with exactly one winner. Exact while
 * |z| < 2^19.
 *
 * Integers times a scale of their channel (alpha of a binary network) tie as often, but for what the runtime rounded when it
 * added them up: they are ranked in units of that scale, and leave as exact multiples of it.
 *
 * Real maps tie where their inputs are alike: in even areas of an image, behind zeros of a ReLU, and where K scales
 * sums of 0. There the winners share the gradient, which the native step gives to the first (docs/training-step.md 8.6).
 */
import type { Graph, Value } from '../graph.js';

/** What values are integer multiples of: 1, or a positive scale of each channel, `[C]`. */
export type Unit = 1 | Value;

/** A place and half of one, in units: what was rounded on the way here is less than that. */
const RANK = 1 / 16;
const SLACK = 1 / 32;

/**
 * Windows of size x size, stride `size`; rows and columns that fill no window are dropped. x `[N][C][H][W]`; `unit`: null where its
 * values are real.
 */
export function maxPool(g: Graph, x: Value, size: number, unit: Unit | null): Value {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const height = Math.floor(h / size);
  const width = Math.floor(w / size);
  const croppedShape = [n, c, height * size, width * size];
  const cropped =
    h % size || w % size
      ? g.node(
          'Slice',
          [x, g.integers(0, 0), g.integers(height * size, width * size), g.integers(2, 3)],
          croppedShape,
        )
      : x;
  const ranked = unit ? g.add(cropped, windowRank(g, height * size, width * size, size, unit)) : cropped;
  const top = g.node('MaxPool', [ranked], [n, c, height, width], {
    kernel_shape: [size, size],
    strides: [size, size],
  });
  const pooled = unit ? withoutRank(g, top, unit) : top;

  return g.differentiable([x], pooled, (d) => {
    const winners = g.toFloat(g.node('Equal', [ranked, upsample(g, top, size)], croppedShape, {}, 'bool'));
    const share = unit ? d : g.div(d, sumOverWindows(g, winners, size));
    const spread = g.mul(winners, upsample(g, share, size));
    if (cropped === x) return [spread];
    const pads = g.integers(0, 0, 0, 0, 0, 0, h - height * size, w - width * size);
    return [g.node('Pad', [spread, pads], x.shape)];
  });
}

function windowRank(g: Graph, height: number, width: number, size: number, unit: Unit): Value {
  const start = unit === 1 ? 0 : SLACK;
  const rank = Float32Array.from({ length: height * width }, (_, i) => {
    const y = Math.floor(i / width) % size;
    const x = (i % width) % size;
    return -(y * size + x) * RANK - start;
  });
  const ranks = g.constant(rank, [1, 1, height, width]);
  return unit === 1 ? ranks : g.mul(ranks, perChannel(g, unit));
}

function withoutRank(g: Graph, top: Value, unit: Unit): Value {
  if (unit === 1) return g.node('Ceil', [top], top.shape);
  const scale = perChannel(g, unit);
  return g.mul(g.node('Ceil', [g.div(top, scale)], top.shape), scale);
}

const perChannel = (g: Graph, vector: Value): Value => g.reshape(vector, [1, vector.shape[0]!, 1, 1]);

function upsample(g: Graph, x: Value, size: number): Value {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const scales = g.constant(Float32Array.of(1, 1, size, size), [4]);
  return g.node('Resize', [x, null, scales], [n, c, h * size, w * size], {
    mode: 'nearest',
    nearest_mode: 'floor',
    coordinate_transformation_mode: 'asymmetric',
  });
}

function sumOverWindows(g: Graph, x: Value, size: number): Value {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const mean = g.node('AveragePool', [x], [n, c, h / size, w / size], {
    kernel_shape: [size, size],
    strides: [size, size],
  });
  return g.scale(mean, size * size);
}
