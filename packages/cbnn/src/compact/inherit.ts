/**
 * Where a candidate's training starts: from the baseline's own weights, as far as the candidate still has them.
 * A narrower layer keeps its first channels; a first layer keeps the weights of the kept slices. In short runs this
 * differs less from run to run than starting from scratch.
 */
import { internalError } from '@cbnn/runtime';
import { names } from '../graph/names.js';
import { type Plan, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';

/** The state of `to` cut out of the state of `from`; `to` has the same layers, none wider, and a subset of the slices. */
export function inheritState(from: Plan, state: TrainingState, to: Plan): TrainingState {
  const inherited = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const toShapes = planShapes(to);
  for (const [k, wide] of planShapes(from).entries()) {
    const narrow = toShapes[k];
    if (!narrow) throw internalError(`inherit: the candidate has no layer ${k + 1}`);
    const outputs = narrow.output.channels;
    const tensor = (name: string) => {
      const found = state.get(name);
      if (!found) throw internalError(`inherit: the state has no tensor ${name}`);
      return found;
    };
    for (const name of [`layers.${k}.gamma`, `layers.${k}.beta`, names.mean(k), names.inverse(k)])
      inherited.set(name, { shape: [outputs], data: tensor(name).data.slice(0, outputs) });

    // Rows are `[places][channels]`, places = taps of a convolution or positions of a flattened map.
    const channels =
      k === 0 ? keptChannels(from, to) : Array.from({ length: narrow.input.channels }, (_, c) => c);
    const places = wide.fanIn / wide.input.channels;
    const source = tensor(`layers.${k}.weights`);
    const data = new Float32Array(outputs * places * channels.length);
    let at = 0;
    for (let o = 0; o < outputs; o++)
      for (let place = 0; place < places; place++)
        for (const c of channels) data[at++] = source.data[(o * places + place) * wide.input.channels + c]!;
    const shape = [
      outputs,
      ...source.shape.slice(1, -1),
      (narrow.fanIn / places) * (source.shape.length === 2 ? places : 1),
    ];
    inherited.set(`layers.${k}.weights`, { shape, data });
  }
  return inherited;
}

/** For each input channel of `to`, its index in `from`. */
function keptChannels(from: Plan, to: Plan): number[] {
  if (from.input.encoding === '8-bit') return Array.from({ length: from.input.channels }, (_, c) => c);
  return to.input.slices.map((slice) => {
    const index = from.input.slices.findIndex((s) => s.channel === slice.channel && s.bit === slice.bit);
    if (index < 0) throw internalError(`inherit: slice ${slice.channel}:${slice.bit} is not in the baseline`);
    return index;
  });
}
