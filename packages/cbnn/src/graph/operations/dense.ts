import type { Graph, Value } from '../graph.js';

/** z = x w^T; x `[N][inputs]`, w `[outputs][inputs]`. */
export function dense(g: Graph, x: Value, w: Value): Value {
  const z = g.node('Gemm', [x, w], [x.shape[0]!, w.shape[0]!], { transB: 1 });
  return g.differentiable([x, w], z, (dz, wanted) => [
    wanted(x) ? g.node('MatMul', [dz, w], x.shape) : null,
    wanted(w) ? g.node('Gemm', [dz, x], w.shape, { transA: 1 }) : null,
  ]);
}

/** `[N][C][H][W]` -> `[N][H * W * C]`: the order in which a packed model flattens a map. */
export function flatten(g: Graph, x: Value): Value {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const flat = g.reshape(g.transpose(x, [0, 2, 3, 1]), [n, h * w * c]);
  return g.differentiable([x], flat, (d) => [g.transpose(g.reshape(d, [n, h, w, c]), [0, 3, 1, 2])]);
}
