import type { LossName } from '../../nn/plan.js';
import type { Graph, Value } from '../graph.js';

/** A scalar; scores and targets `[N][classes]`, targets +-1 one-hot. */
export function loss(g: Graph, name: LossName, scores: Value, targets: Value): Value {
  return name === 'squared-hinge' ? squaredHinge(g, scores, targets) : crossEntropy(g, scores, targets);
}

/** Mean over images and classes of max(0, 1 - t * score)^2 (the paper's code). */
function squaredHinge(g: Graph, scores: Value, targets: Value): Value {
  const share = 1 / (scores.shape[0]! * scores.shape[1]!);
  const margin = g.node('Relu', [g.sub(g.scalar(1), g.mul(targets, scores))], scores.shape);
  const value = g.scale(g.sum(g.mul(margin, margin), [0, 1]), share);
  return g.differentiable([scores], value, (d) => [g.mul(g.scale(g.mul(targets, margin), -2 * share), d)]);
}

/** Mean over images of -log softmax(scores)[label]. */
function crossEntropy(g: Graph, scores: Value, targets: Value): Value {
  const [n] = scores.shape as [number, number];
  const logarithms = g.node('LogSoftmax', [scores], scores.shape, { axis: 1 });
  const oneHot = g.scale(g.add(targets, g.scalar(1)), 0.5);
  const value = g.scale(g.sum(g.mul(logarithms, oneHot), [0, 1]), -1 / n);
  return g.differentiable([scores], value, (d) => {
    const probabilities = g.node('Exp', [logarithms], scores.shape);
    return [g.mul(g.scale(g.sub(probabilities, oneHot), 1 / n), d)];
  });
}
