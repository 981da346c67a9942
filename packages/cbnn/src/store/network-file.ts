/**
 * A trained network of any technique in one file: its weights in the technique's own bits (weight-codes.ts), its batch norms in
 * float32. What a technique is said to take is the length of this file. Networks of bits alone have a better one, the packed model.
 *
 * Safetensors: metadata `cbnn-network` is JSON that says what it is; for each kernel layer k
 *     layers.k.codes      U8, the weights that the layer multiplies with
 *     layers.k.levels     F32, the values that they take, or their step, or the ones left of sparse weights; absent of 32 bits
 *     layers.k.activation_step   F32 [1], of fixed-point networks: what 1 of what the layer hands on stands for
 *     layers.k.mean, .scale, .beta   F32 [outputs]: y = (sum - mean) * scale + beta
 */
import { createHash } from 'node:crypto';
import {
  checkStructure,
  codeNames,
  decodeSafetensors,
  encodeSafetensors,
  formatArchitecture,
  internalError,
  modelError,
  parseArchitecture,
  type Tensor,
} from '@cbnn/runtime';
import { z } from 'zod';
import { type Evaluator, evaluationFeeds, openEvaluator } from '../graph/evaluator.js';
import { names } from '../graph/names.js';
import { type Device, openDevice } from '../graph/session.js';
import { parametersOf, type Technique, weightBitsOf } from '../graph/technique.js';
import { quantizerGraph } from '../graph/weights.js';
import { type Plan, placeFactors, planShapes, techniqueNames } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { techniqueOf, techniques } from '../techniques/index.js';
import { type CodeForm, decodeWeights, encodeWeights } from './weight-codes.js';

export interface StoredNetwork {
  readonly plan: Plan;
  readonly classes: readonly string[];
  /** per kernel layer: what it multiplies with, and batch norm in evaluation mode */
  readonly layers: readonly StoredLayer[];
}

export interface StoredLayer {
  /** `[output][ky][kx][channel]` */
  readonly weights: Float32Array;
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  readonly beta: Float32Array;
  /** that its weights take in the file */
  readonly weightBytes: number;
  /** of fixed point: what its weights are multiples of */
  readonly weightStep?: number;
  /** of fixed point: what 1 of what it hands on stands for */
  readonly activationStep?: Float32Array;
}

const METADATA = 'cbnn-network';

const header = z.strictObject({
  formatVersion: z.literal(1),
  technique: z.enum(techniqueNames),
  architecture: z.string(),
  input: z.strictObject({
    height: z.int().min(1).max(4096),
    width: z.int().min(1).max(4096),
    channels: z.int().min(1).max(64),
    encoding: z.enum(['bit-slices', '8-bit']),
    code: z.enum(codeNames).exactOptional(),
    slices: z.array(z.strictObject({ channel: z.int().min(0), bit: z.int().min(0).max(7) })).max(512),
    shifts: z.array(z.int().min(0).max(7)).max(512),
    stretch: z.strictObject({ low: z.int(), high: z.int() }).nullable(),
  }),
  slicing: z.enum(['equal', 'place-value']),
  firstLayer: z.enum(['integer', 'binary', 'real']),
  precision: z
    .strictObject({ weights: z.int().min(2).max(16), activations: z.int().min(2).max(16) })
    .exactOptional(),
  loss: z.enum(['squared-hinge', 'cross-entropy']),
  classes: z.array(z.string()).min(2).max(65536),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** How a layer's weights are written. */
function formOf(plan: Plan, k: number): CodeForm {
  const technique = techniques[plan.technique];
  const shapes = planShapes(plan);
  const bits = weightBitsOf(technique, { plan, shape: shapes[k]!, isLast: k === shapes.length - 1 });
  if (technique.prunes) return { bits, kind: 'sparse' };
  return { bits, kind: bits === 32 ? 'real' : technique.afterTraining ? 'integers' : 'levels' };
}

/** Place values of a binary first layer are not in its bits; those of others are in its weights. */
function placeOf(plan: Plan, k: number): Float32Array | null {
  return k === 0 && formOf(plan, k).kind === 'levels' ? placeFactors(plan) : null;
}

/** Writes `state`, weights and batch-norm statistics of `plan`. */
export async function encodeNetwork(
  plan: Plan,
  state: TrainingState,
  classes: readonly string[],
): Promise<Uint8Array<ArrayBuffer>> {
  const weights = await answeringWeights(plan, state);
  const tensors = new Map<string, Tensor>();
  for (const { index, output } of planShapes(plan)) {
    const outputs = output.channels;
    const place = placeOf(plan, index);
    const own = weights[index]!.map((value, i) => (place ? value / place[i % place.length]! : value));
    const step = state.get(`layers.${index}.weightStep`)?.data[0];
    const { codes, levels } = encodeWeights(own, outputs, formOf(plan, index), step);
    tensors.set(`layers.${index}.codes`, { dtype: 'U8', shape: [codes.length], data: codes });
    if (levels.length > 0)
      tensors.set(`layers.${index}.levels`, { dtype: 'F32', shape: [levels.length], data: levels });
    const inverse = tensorOf(state, names.inverse(index));
    const normalization = {
      mean: tensorOf(state, names.mean(index)),
      scale: tensorOf(state, `layers.${index}.gamma`).map((gamma, c) => gamma * inverse[c]!),
      beta: tensorOf(state, `layers.${index}.beta`),
    };
    const activationStep = state.get(`layers.${index}.activationStep`)?.data;
    if (activationStep)
      tensors.set(`layers.${index}.activation_step`, { dtype: 'F32', shape: [1], data: activationStep });
    for (const [name, data] of Object.entries(normalization))
      tensors.set(`layers.${index}.${name}`, { dtype: 'F32', shape: [outputs], data });
  }
  const { technique, slicing, firstLayer, loss, precision } = plan;
  const about = {
    formatVersion: 1,
    technique,
    architecture: formatArchitecture(plan.layers),
    input: plan.input,
    slicing,
    firstLayer,
    loss,
    ...(precision && { precision }),
    classes,
  };
  const json = JSON.stringify({ ...about, sha256: checksum(about, tensors) });
  return encodeSafetensors(tensors, { [METADATA]: json });
}

/** Throws a model error for anything that is not such a file, whole and unchanged. */
export function decodeNetwork(bytes: Uint8Array): StoredNetwork {
  const { tensors, metadata } = decodeSafetensors(bytes);
  const text = metadata[METADATA];
  if (text === undefined) throw modelError(`network: expected metadata \`${METADATA}\`, got none`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw modelError(`network: expected JSON in metadata \`${METADATA}\``);
  }
  const parsed = header.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw modelError(`network: ${issue!.path.join('.') || 'metadata'}: ${issue!.message}`);
  }
  const { sha256, ...about } = parsed.data;
  const { classes, architecture, technique, input, slicing, firstLayer, loss, precision } = about;
  if ((precision === undefined) === (techniques[technique].afterTraining === true))
    throw modelError(`network: precision: expected one of a fixed-point network, and of no other`);
  if (checksum(about, tensors) !== sha256)
    throw modelError('network: it is not what was written (wrong checksum)');
  const plan: Plan = {
    input,
    layers: parseArchitecture(architecture),
    technique,
    slicing,
    firstLayer,
    loss,
    ...(precision && { precision }),
  };
  const floats = (name: string): Float32Array => {
    const found = tensors.get(name);
    if (found?.dtype !== 'F32') throw modelError(`network: expected a tensor ${name} of F32`);
    if (!found.data.every(Number.isFinite)) throw modelError(`network: ${name}: expected finite numbers`);
    return found.data;
  };
  // The limits of packed models: nothing large is laid out for what a header claims.
  checkStructure({ input, layers: plan.layers, classes });
  const shapes = planShapes(plan);
  const layers = shapes.map(({ index, output, fanIn }): StoredLayer => {
    const form = formOf(plan, index);
    const codes = tensors.get(`layers.${index}.codes`);
    if (codes?.dtype !== 'U8') throw modelError(`network: expected a tensor layers.${index}.codes of U8`);
    const levels = form.kind === 'real' ? new Float32Array(0) : floats(`layers.${index}.levels`);
    const own = decodeWeights({ ...form, codes: codes.data, levels }, output.channels, fanIn);
    const place = placeOf(plan, index);
    const [mean, scale, beta] = ['mean', 'scale', 'beta'].map((role) => {
      const values = floats(`layers.${index}.${role}`);
      if (values.length !== output.channels)
        throw modelError(
          `network: layers.${index}.${role}: expected ${output.channels} values, got ${values.length}`,
        );
      return values;
    });
    if (!own.every(Number.isFinite))
      throw modelError(`network: layers.${index}.codes: expected finite numbers`);
    const weights = place ? own.map((value, i) => value * place[i % place.length]!) : own;
    const hasStep = techniques[technique].afterTraining && index < shapes.length - 1;
    const step = hasStep ? floats(`layers.${index}.activation_step`) : null;
    if (step && !(step.length === 1 && step[0]! > 0))
      throw modelError(`network: layers.${index}.activation_step: expected one number above 0`);
    const weightBytes = codes.data.length + 4 * levels.length;
    return {
      weights,
      weightBytes,
      mean: mean!,
      scale: scale!,
      beta: beta!,
      ...(form.kind === 'integers' && { weightStep: levels[0]! }),
      ...(step && { activationStep: step }),
    };
  });
  return { plan, classes, layers };
}

/** A stored network, ready to answer `batch` images a call; its weights are those of the trained one, to the last bit (a
 * runtime may add products up in another order, though, where weights are constants). */
export async function openNetwork(
  network: StoredNetwork,
  threads: number,
  batch = 200,
): Promise<
  Evaluator & { /** what runs it, in one line */ readonly description: string; readonly threads: number }
> {
  const { plan, layers } = network;
  const stored: Technique = {
    ...techniques[plan.technique],
    scales: (isLast) =>
      (techniques[plan.technique].scales?.(isLast) ?? []).filter((role) => role === 'activationStep'),
    quantizeWeights: (_, weights) => weights,
  };
  const device: Device = await openDevice('auto', threads);
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const shapes = planShapes(plan);
  const parameters = shapes.flatMap((shape) => parametersOf(stored, plan, shape));
  for (const { name, shape, role, kernelLayer } of parameters) {
    const { weights, beta, scale, activationStep } = layers[kernelLayer]!;
    // Scale is gamma / deviation: gamma takes it, and the inverse deviation is 1.
    const data = { weights, beta, gamma: scale, activationStep }[role as 'weights' | 'activationStep']!;
    state.set(name, { shape, data });
  }
  for (const { index, output } of shapes) {
    state.set(names.mean(index), { shape: [output.channels], data: layers[index]!.mean });
    state.set(names.inverse(index), {
      shape: [output.channels],
      data: new Float32Array(output.channels).fill(1),
    });
  }
  const feeds = evaluationFeeds({ parameters, shapes }, state, stored);
  const evaluator = await openEvaluator(plan, stored, device, batch, feeds);
  return { ...evaluator, description: device.description, threads: device.threads };
}

/** The weights that every layer multiplies with when it answers, by the technique's own graph. */
export async function answeringWeights(plan: Plan, state: TrainingState): Promise<Float32Array[]> {
  const graph = quantizerGraph(plan, techniqueOf(plan), 'evaluation');
  const tensor = (name: string, shape: readonly number[]) => ({ shape, data: tensorOf(state, name) });
  const feeds = Object.fromEntries(graph.inputs.map(({ name, shape }) => [name, tensor(name, shape)]));
  const outputs = Object.fromEntries(
    graph.outputs.map(({ name, shape }) => [
      name,
      { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) },
    ]),
  );
  if (graph.bytes) {
    const session = await (await openDevice('auto', 1)).open(graph.bytes);
    await session.run(feeds, outputs);
    await session.close();
  }
  return planShapes(plan).map(({ index }) => {
    const source = graph.sources.get(names.quantized(index))!;
    return outputs[source]?.data ?? tensorOf(state, source);
  });
}

/** `state` with binary weights as they answer, for packing. */
export async function answeringState(plan: Plan, state: TrainingState): Promise<TrainingState> {
  if (!techniqueOf(plan).packsQuantized) return state;
  const all = new Map(state);
  for (const [k, data] of (await answeringWeights(plan, state)).entries()) {
    const name = `layers.${k}.weights`;
    // Integers are rounded where they are packed.
    if (k > 0 || plan.firstLayer === 'binary') all.set(name, { ...state.get(name)!, data });
  }
  return all;
}

function tensorOf(state: TrainingState, name: string): Float32Array {
  const found = state.get(name);
  if (!found) throw internalError(`network: the state has no tensor ${name}`);
  return found.data;
}

/** SHA-256 of what the file says of itself, and of all data in the order of their names. */
export function checksum(about: object, tensors: ReadonlyMap<string, Tensor>): string {
  // Read back, members come in the schema's order.
  const { sha256: _, ...ordered } = header.parse({ ...about, sha256: '0'.repeat(64) });
  const hash = createHash('sha256').update(JSON.stringify(ordered));
  for (const [name, { data }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest('hex');
}
