/** The configuration of a run: everything that decides its result, written to config.json, validated when read. */
import { codeNames, configError, type InputSpec, parseArchitecture } from '@cbnn/runtime';
import { z } from 'zod';
import { type Plan, placeShift, techniqueNames, variationNames } from '../nn/plan.js';

const slice = z.object({ channel: z.int().min(0), bit: z.int().min(0).max(7) });

export const runConfigSchema = z
  .strictObject({
    formatVersion: z.literal(1),
    dataset: z.strictObject({
      /** as given on the command line: a name, or a folder of class folders */
      source: z.string(),
      /** first training images used; null = all */
      limit: z.int().min(1).nullable(),
      /** how the images were read, where that was chosen; defaults are absent */
      choices: z.strictObject({
        size: z.int().min(1).exactOptional(),
        roi: z.enum(['crop', 'whole']).exactOptional(),
        quality: z.enum(['good', 'both']).exactOptional(),
        testShare: z.number().gt(0).lt(1).exactOptional(),
      }),
      /** validation images asked for; null = the data set's share */
      validation: z.int().min(1).nullable(),
      /** SHA-256 of the training and validation images and labels: the same run never continues on others */
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
    technique: z.enum(techniqueNames),
    /** of bnn, in the order of their names */
    variations: z.array(z.enum(variationNames)).min(1).exactOptional(),
    /** the finished run whose weights training begins with, and the hash of their file */
    from: z.strictObject({ run: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }).exactOptional(),
    /** the finished run whose answers are learned instead of the labels */
    teacher: z.strictObject({ run: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }).exactOptional(),
    /** bits of weights and activations, of fixed point */
    precision: z
      .strictObject({ weights: z.int().min(2).max(16), activations: z.int().min(2).max(16) })
      .exactOptional(),
    /** share of weights that ttq leaves 0 */
    ternarySparsity: z.number().gt(0).lt(1).exactOptional(),
    /** share of weights to be taken away, in how many rounds, and what that makes of each kernel layer */
    pruning: z
      .strictObject({
        target: z.number().gt(0).lt(1),
        rounds: z.int().min(1),
        layers: z.array(z.number().min(0).lt(1)),
      })
      .exactOptional(),
    recipe: z.enum(['modern', 'paper']),
    /** after scaling, in the paper's notation */
    architecture: z.string(),
    firstLayer: z.enum(['integer', 'binary', 'real']),
    input: z.strictObject({
      height: z.int().min(1),
      width: z.int().min(1),
      channels: z.int().min(1),
      encoding: z.enum(['bit-slices', '8-bit']),
      /** absent: plain binary */
      code: z.enum(codeNames).exactOptional(),
      slices: z.array(slice),
      stretch: z.strictObject({ low: z.int(), high: z.int() }).nullable(),
    }),
    slicing: z.enum(['equal', 'place-value']),
    loss: z.enum(['squared-hinge', 'cross-entropy']),
    epochs: z.int().min(1),
    batch: z.int().min(4),
    schedule: z.strictObject({
      kind: z.enum(['cosine', 'exponential']),
      rates: z.strictObject({ binary: z.number().positive(), float: z.number().positive() }),
      warmup: z.int().min(0),
      decay: z.number().min(0).max(1),
    }),
    augmentation: z.strictObject({ mirror: z.boolean(), shift: z.int().min(0) }),
    calibrationBatches: z.int().min(0),
    seed: z.int().min(0),
    device: z.enum(['native', 'cpu', 'wasm', 'webgpu']),
    /** part of the configuration because the ONNX graph's sums of floats depend on it */
    threads: z.int().min(1),
  })
  .refine(({ technique, variations }) => technique === 'bnn' || !variations, {
    path: ['variations'],
    error: 'expected none of a technique other than bnn',
  });

export type RunConfig = z.infer<typeof runConfigSchema>;

/** Checks `value`, which comes from `where`; members in one order, so that equal configurations have equal JSON. */
export function parseConfig(value: unknown, where: string): RunConfig {
  const parsed = runConfigSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw configError(`${where}: ${issue!.path.join('.') || 'configuration'}: ${issue!.message}`);
}

/** The first member in which two configurations differ, e.g. `epochs: 20 and 30`; null when they are equal. */
export function configDifference(a: RunConfig, b: RunConfig): string | null {
  const flat = (value: unknown, name: string): [string, string][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([key, member]) => flat(member, name ? `${name}.${key}` : key))
      : [[name, JSON.stringify(value)]];
  const other = new Map(flat(b, ''));
  for (const [name, value] of flat(a, ''))
    if (other.get(name) !== value) return `${name}: ${value} and ${other.get(name) ?? 'none'}`;
  return null;
}

/** What of a configuration decides the network's layers. */
type PlanConfig = Pick<
  RunConfig,
  | 'architecture'
  | 'technique'
  | 'variations'
  | 'ternarySparsity'
  | 'precision'
  | 'input'
  | 'slicing'
  | 'firstLayer'
  | 'loss'
>;

/** The input specification of the packed model that this configuration leads to. */
export function inputSpec(config: Pick<RunConfig, 'input' | 'slicing' | 'firstLayer'>): InputSpec {
  const { input, slicing, firstLayer } = config;
  const shifted = input.encoding === 'bit-slices' && slicing === 'place-value' && firstLayer === 'binary';
  return {
    ...input,
    shifts:
      input.encoding === 'bit-slices'
        ? input.slices.map(({ bit }) => (shifted ? placeShift(input, bit) : 0))
        : [],
  };
}

export function planOf(config: PlanConfig): Plan {
  const { technique, variations, ternarySparsity, slicing, firstLayer, loss, precision } = config;
  return {
    input: inputSpec(config),
    layers: parseArchitecture(config.architecture),
    technique,
    ...(variations && { variations }),
    ...(ternarySparsity !== undefined && { ternarySparsity }),
    slicing,
    firstLayer,
    loss,
    ...(precision && { precision }),
  };
}
