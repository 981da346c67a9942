/** From a trained BNN to a packed model: binary weights as bits, batch norm as integer thresholds. */
import {
  configError,
  internalError,
  type KernelLayer,
  type KernelShape,
  layerBound,
  type PackedModel,
  type Provenance,
  packRows,
  unpackRows,
  type Weights,
} from '@cbnn/runtime';
import { names } from '../graph/names.js';
import { INTEGER_WEIGHT_LIMIT } from '../graph/operations/quantizers.js';
import { normalizationScale } from '../graph/technique.js';
import { type Plan, placeFactors, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { techniqueOf } from '../techniques/index.js';
import { foldScores, foldThreshold } from './threshold.js';

/**
 * Packs `state` (weights and batch-norm statistics of `plan`; the signs of weights are what answers: store/network-file.ts's
 * `answeringState` where the technique's are others).
 * Where batch norm's scale is negative, bit = NOT(sum >= T): the inversion moves into the next layer's weights.
 * Throws a config error for techniques whose network is not binary.
 */
export function packModel(
  plan: Plan,
  state: TrainingState,
  classes: readonly string[],
  provenance: Provenance,
): PackedModel {
  const technique = techniqueOf(plan);
  if (!technique.integerSums || plan.firstLayer === 'real')
    throw configError(
      `pack: technique ${plan.technique} with a ${plan.firstLayer} first layer has no packed form; expected bnn with an integer or binary one`,
    );
  const tensor = (name: string): Float32Array => {
    const found = state.get(name);
    if (!found) throw internalError(`pack: the state has no tensor ${name}`);
    return found.data;
  };
  const shapes = planShapes(plan);
  const kernels: KernelLayer[] = [];
  let inverted: readonly boolean[] = [];
  for (const shape of shapes) {
    const { index, output } = shape;
    const weights = packWeights(plan, shape, tensor(`layers.${index}.weights`), inverted);
    const bound = layerBound(plan.input, shape, weights);
    const mean = tensor(names.mean(index));
    const beta = tensor(`layers.${index}.beta`);
    const inverse = tensor(names.inverse(index));
    const scale = tensor(`layers.${index}.gamma`).map((gamma, c) =>
      normalizationScale(technique, gamma, inverse[c]!),
    );
    if (index === shapes.length - 1) {
      kernels.push({ weights, output: 'scores', ...foldScores(mean, scale, beta, bound) });
    } else {
      const folded = Array.from({ length: output.channels }, (_, c) =>
        foldThreshold(mean[c]!, scale[c]!, beta[c]!, bound),
      );
      kernels.push({
        weights,
        output: 'bits',
        thresholds: Int32Array.from(folded, ({ threshold }) => threshold),
      });
      inverted = folded.map((fold) => fold.inverted);
    }
  }
  return { input: plan.input, layers: plan.layers, kernels, classes, provenance };
}

function packWeights(
  plan: Plan,
  shape: KernelShape,
  latent: Float32Array,
  inverted: readonly boolean[],
): Weights {
  const { index, output, fanIn } = shape;
  if (index === 0 && plan.firstLayer === 'integer')
    return { type: 'integer', values: integerWeights(latent, output.channels, placeFactors(plan)) };
  const bits = packRows(latent, output.channels, fanIn);
  if (index === 0 || !inverted.includes(true)) return { type: 'binary', bits };
  const values = unpackRows(bits, output.channels, fanIn);
  const channels = inverted.length;
  // Channels are the fastest axis of a row, after a flattened map too.
  for (let i = 0; i < values.length; i++) if (inverted[(i % fanIn) % channels]) values[i] = -values[i]!;
  return { type: 'binary', bits: packRows(values, output.channels, fanIn) };
}

/** The rounding of graph/operations/quantizers.ts, in the same float32 steps. */
function integerWeights(latent: Float32Array, outputs: number, place: Float32Array | null): Int8Array {
  const f32 = Math.fround;
  const placed = place ? latent.map((w, i) => w * place[i % place.length]!) : latent;
  const fanIn = latent.length / outputs;
  const values = new Int8Array(latent.length);
  for (let o = 0; o < outputs; o++) {
    const row = placed.subarray(o * fanIn, (o + 1) * fanIn);
    const largest = row.reduce((most, w) => Math.max(most, Math.abs(w)), f32(1e-20));
    const scale = f32(largest * f32(1 / INTEGER_WEIGHT_LIMIT));
    for (let i = 0; i < fanIn; i++) values[o * fanIn + i] = roundHalfEven(f32(row[i]! / scale));
  }
  return values;
}

function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}
