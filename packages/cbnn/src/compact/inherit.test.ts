import { allSlices, parseArchitecture } from '@cbnn/runtime';
import { expect, it } from 'vitest';
import { names } from '../graph/names.js';
import { layerParameters, type Plan, planShapes } from '../nn/plan.js';
import { inheritState } from './inherit.js';

function plan(architecture: string, bits: readonly number[]): Plan {
  const slices = allSlices(2).filter(({ bit }) => bits.includes(bit));
  return {
    input: {
      height: 4,
      width: 4,
      channels: 2,
      encoding: 'bit-slices',
      slices,
      shifts: slices.map(() => 0),
      stretch: null,
    },
    layers: parseArchitecture(architecture),
    technique: 'bnn',
    slicing: 'place-value',
    firstLayer: 'integer',
    loss: 'cross-entropy',
  };
}

/** A state whose weights spell their own indices: output * 10000 + place * 100 + channel. */
function spelled(of: Plan) {
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const shape of planShapes(of)) {
    const [weights] = layerParameters(of, shape, true);
    const channels = shape.input.channels;
    const places = shape.fanIn / channels;
    const data = Float32Array.from({ length: shape.output.channels * shape.fanIn }, (_, i) => {
      const place = Math.floor(i / channels) % places;
      return Math.floor(i / shape.fanIn) * 10000 + place * 100 + (i % channels);
    });
    state.set(weights!.name, { shape: weights!.shape, data });
    const perOutput = {
      shape: [shape.output.channels],
      data: Float32Array.from({ length: shape.output.channels }, (_, c) => c),
    };
    for (const name of ['gamma', 'beta']) state.set(`layers.${shape.index}.${name}`, perOutput);
    state.set(names.mean(shape.index), perOutput);
    state.set(names.inverse(shape.index), perOutput);
  }
  return state;
}

it('a candidate inherits the first channels of every layer and the weights of its slices', () => {
  const from = plan('4C3-6C3-MP2-5FC-3FC', [0, 1, 2, 3, 4, 5, 6, 7]);
  const to = plan('2C3-3C3-MP2-4FC-3FC', [6, 7]);
  const state = inheritState(from, spelled(from), to);
  for (const shape of planShapes(to)) {
    for (const parameter of layerParameters(to, shape, true)) {
      const tensor = state.get(parameter.name)!;
      expect(tensor.shape).toEqual(parameter.shape);
      expect(tensor.data).toHaveLength(parameter.shape.reduce((a, b) => a * b, 1));
    }
  }
  // Slices 6 and 7 of two channels are channels 6, 7, 14, 15 of the baseline's first layer.
  expect(Array.from(state.get('layers.0.weights')!.data.subarray(0, 8))).toEqual([
    6, 7, 14, 15, 106, 107, 114, 115,
  ]);
  // A dense layer after a 2x2 map of 6 channels keeps channels 0..2 of each of its four positions.
  expect(Array.from(state.get('layers.2.weights')!.data.subarray(0, 6))).toEqual([0, 1, 2, 100, 101, 102]);
  expect(Array.from(state.get('layers.3.gamma')!.data)).toEqual([0, 1, 2]);
});
