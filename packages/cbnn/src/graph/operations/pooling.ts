/**
 * Max pooling with its gradient, without index tensors (WebGPU has none, and MaxUnpool is twice as slow on the CPU).
 *
 * Integer sums tie often, and the gradient must then go to the first maximum of a window only. Subtracting i/16 from
 * the i-th place of every window makes all values of a window differ without changing their order; Ceil restores the
 * integer afterwards; comparing with the up-sampled maximum yields a mask with exactly one winner. Exact while
 * |z| < 2^19. Real-valued maps tie almost never: there, winners share the gradient.
 */
import type { Graph, Value } from '../graph.js';

/** Windows of size x size, stride `size`; rows and columns that fill no window are dropped. x `[N][C][H][W]`. */
export function maxPool(g: Graph, x: Value, size: number, integers: boolean): Value {
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
  const ranked = integers ? g.add(cropped, windowRank(g, height * size, width * size, size)) : cropped;
  const top = g.node('MaxPool', [ranked], [n, c, height, width], {
    kernel_shape: [size, size],
    strides: [size, size],
  });
  const pooled = integers ? g.node('Ceil', [top], top.shape) : top;

  return g.differentiable([x], pooled, (d) => {
    const winners = g.toFloat(g.node('Equal', [ranked, upsample(g, top, size)], croppedShape, {}, 'bool'));
    const share = integers ? d : g.div(d, sumOverWindows(g, winners, size));
    const spread = g.mul(winners, upsample(g, share, size));
    if (cropped === x) return [spread];
    const pads = g.integers(0, 0, 0, 0, 0, 0, h - height * size, w - width * size);
    return [g.node('Pad', [spread, pads], x.shape)];
  });
}

function windowRank(g: Graph, height: number, width: number, size: number): Value {
  const rank = Float32Array.from({ length: height * width }, (_, i) => {
    const y = Math.floor(i / width) % size;
    const x = (i % width) % size;
    return -(y * size + x) / 16;
  });
  return g.constant(rank, [1, 1, height, width]);
}

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
