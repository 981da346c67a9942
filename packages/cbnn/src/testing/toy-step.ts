/** One training step of a toy network by its ONNX graph, with everything that the float64 oracle says of it. */
import { parseArchitecture } from '@cbnn/runtime';
import { expect } from 'vitest';
import { names } from '../graph/names.js';
import { trainingGraph } from '../graph/network.js';
import { adam } from '../graph/optimizer.js';
import { type DeviceName, openDevice } from '../graph/session.js';
import { type Plan, placeFactors } from '../nn/plan.js';
import { techniqueOf } from '../techniques/index.js';
import type { OracleParameters, OracleStep } from './oracle.js';
import type { ToyNetwork } from './toy-networks.js';

export const TOY_BATCH = 4;
export const TOY_RATE = 0.01;

interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

function planOf(toy: ToyNetwork): Plan {
  return {
    input: {
      ...toy.input,
      encoding: 'bit-slices',
      slices: Array.from({ length: toy.input.channels }, (_, channel) => ({ channel, bit: channel + 3 })),
      shifts: Array.from({ length: toy.input.channels }, () => 0),
      stretch: null,
    },
    layers: parseArchitecture(toy.architecture),
    technique: toy.first === 'real' ? 'float' : 'bnn',
    slicing: toy.place ? 'place-value' : 'equal',
    firstLayer: toy.first,
    loss: toy.loss,
  };
}

/** The training graph of `toy` on `device`, trained as `chosen` says; `step` runs it once from given parameters. */
export async function openToy(
  device: DeviceName,
  toy: ToyNetwork,
  chosen: Partial<Pick<Plan, 'technique' | 'variations'>> = {},
) {
  const plan = { ...planOf(toy), ...chosen };
  const { channelBlock, open } = await openDevice(device, 1);
  const graph = trainingGraph(plan, techniqueOf(plan), TOY_BATCH, { channelBlock, expose: true });
  const session = await open(graph.bytes);
  const tensor = (shape: readonly number[], data: ArrayLike<number>): Tensor => ({
    shape,
    data: Float32Array.from(data),
  });
  const zeros = (shape: readonly number[]): Tensor =>
    tensor(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  const { height, width, channels } = toy.input;
  const classes = graph.shapes.at(-1)!.output.channels;

  /** `progress` and `noises`: what the graph's variations ask for, numbers of a noise in its input's order. */
  async function step(
    images: Float64Array,
    labels: ArrayLike<number>,
    start: readonly OracleParameters[],
    { progress = 0, noises = [] }: { progress?: number; noises?: readonly Float64Array[] } = {},
  ) {
    const targets = zeros([TOY_BATCH, classes]);
    targets.data.fill(-1);
    for (let n = 0; n < TOY_BATCH; n++) targets.data[n * classes + labels[n]!] = 1;
    const feeds: Record<string, Tensor> = {
      [names.images]: tensor([TOY_BATCH, channels, height, width], images),
      [names.targets]: targets,
      ...(graph.usesProgress && { [names.progress]: tensor([], [progress]) }),
    };
    for (const [i, { name, shape }] of graph.noises.entries()) feeds[name] = tensor(shape, noises[i]!);
    const outputs: Record<string, Tensor> = {
      [names.loss]: zeros([]),
      [names.scores]: zeros([TOY_BATCH, classes]),
    };
    for (const parameter of graph.parameters) {
      const { name, shape, kernelLayer, group } = parameter;
      const role = parameter.role as keyof OracleParameters;
      feeds[name] = tensor(shape, start[kernelLayer]![role]!);
      if (group === 'fixed') continue;
      feeds[names.firstMoment(name)] = zeros(shape);
      feeds[names.secondMoment(name)] = zeros(shape);
      feeds[names.rate[group]] = tensor([], [adam.stepRate(TOY_RATE, 1)]);
      outputs[names.gradient(name)] = zeros(shape);
      outputs[names.next(name)] = zeros(shape);
    }
    for (const { index, output, pooled, kind } of graph.shapes) {
      outputs[names.mean(index)] = zeros([output.channels]);
      outputs[names.variance(index)] = zeros([output.channels]);
      outputs[names.sums(index)] = zeros(
        kind === 'conv'
          ? [TOY_BATCH, output.channels, pooled.height, pooled.width]
          : [TOY_BATCH, output.channels],
      );
    }
    await session.run(feeds, outputs);
    return outputs;
  }
  return { graph, place: placeFactors(plan), step, close: () => session.close() };
}

/** Largest difference relative to the largest magnitude. */
export function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let largest = 1e-9;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

/** Loss, scores and gradients of a step against the oracle's. */
export function expectStep(outputs: Readonly<Record<string, Tensor>>, expected: OracleStep): void {
  expect(outputs[names.loss]!.data[0]).toBeCloseTo(expected.loss, 4);
  expect(worst(outputs[names.scores]!.data, expected.scores)).toBeLessThan(1e-5);
  for (const [k, gradients] of expected.gradients.entries())
    for (const [role, gradient] of Object.entries(gradients)) {
      expect(gradient.some((value: number) => value !== 0)).toBe(true);
      const found = outputs[names.gradient(`layers.${k}.${role}`)]!.data;
      expect(worst(found, gradient), `gradient of layers.${k}.${role}`).toBeLessThan(1e-4);
    }
}
