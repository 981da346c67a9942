/** The plan of a network: everything that decides its graph, its parameters and its packed form. */
import { type InputSpec, type KernelShape, kernelShapes, type LayerSpec } from '@cbnn/runtime';

/** What the output layer is trained with. */
export type LossName = 'squared-hinge' | 'cross-entropy';
/** Techniques: techniques/ has a file for each, or for each family. */
export const techniqueNames = [
  'bnn',
  'float',
  'binary-activations',
  'fixed-point',
  'binaryconnect',
  'binaryconnect-stochastic',
  'bwn',
  'xnor-net',
  'xnor-net-without-k',
  'xnor-net-binary',
  'ternary',
  'ttq',
  'pruned',
] as const;
export type TechniqueName = (typeof techniqueNames)[number];
/** Ways to train a `bnn` beside the published one: techniques/variations.ts. */
export const variationNames = [
  'stochastic-activations',
  'shift-batch-norm',
  'shift-adamax',
  'centred-weights',
  'recu',
  'ede',
  'approx-sign',
  'channel-scales',
  'bop',
] as const;
export type VariationName = (typeof variationNames)[number];
/**
 * What a layer has beside its weights, mostly scalars. Of trained ternary weights: what those above the threshold become, and those below its
 * negative. Of fixed point: what 1 of a weight and of an activation stands for, powers of two. And of pruned weights a mask, as
 * large as they: 1 where one is kept, else 0.
 */
export type ScaleRole = 'positive' | 'negative' | 'weightStep' | 'activationStep' | 'mask';
/** How bit slices enter the first layer: all +-1, or with their place values (of plain binary slice k is +-2^k / 255). */
export type Slicing = 'equal' | 'place-value';
/** Weights of the first layer: rounded to -127..127 with the rounding in the loop, one bit each, or real. */
export type FirstLayer = 'integer' | 'binary' | 'real';

export interface Plan {
  readonly input: InputSpec;
  readonly layers: readonly LayerSpec[];
  readonly technique: TechniqueName;
  /** of `bnn`; absent where it is trained as published */
  readonly variations?: readonly VariationName[];
  readonly slicing: Slicing;
  readonly firstLayer: FirstLayer;
  readonly loss: LossName;
  /** share of a layer's weights that trained ternary ones leave 0; a threshold of their own where absent */
  readonly ternarySparsity?: number;
  /** bits of weights and activations, of fixed-point networks */
  readonly precision?: Precision;
}

export interface Precision {
  readonly weights: number;
  readonly activations: number;
}

/** Channels that the first layer sees. */
export const inputChannels = ({ encoding, slices, channels }: InputSpec): number =>
  encoding === 'bit-slices' ? slices.length : channels;

export const planShapes = (plan: Plan): KernelShape[] =>
  kernelShapes(
    { height: plan.input.height, width: plan.input.width, channels: inputChannels(plan.input) },
    plan.layers,
  );

const ALL_BITS = [0, 1, 2, 3, 4, 5, 6, 7];

/**
 * Left shift that is the place value of slice `bit`. Those of plain binary then add up to the image, and so do a thermometer's,
 * which are alike. Those of Gray code do not, whatever they count; 2^k is better than all alike: 49.3 and 51.6 % validation error,
 * means of 3 seeds (CIFAR-10, 9,000 training and 1,000 validation images, 8 epochs, width 0.5).
 */
export const placeShift = ({ code }: Pick<InputSpec, 'code'>, bit: number): number =>
  code === 'thermometer' ? 0 : bit;

/**
 * Factor that each input channel's first-layer weights are multiplied with (they fold into integer weights and are
 * shifts of binary ones), or null when all are 1. Inputs are +-1 per slice, or 2x - 255 for the 8-bit image.
 */
export function placeFactors(plan: Plan): Float32Array | null {
  const { input, slicing, firstLayer } = plan;
  if (input.encoding === '8-bit')
    return firstLayer === 'binary' ? null : new Float32Array(input.channels).fill(1 / 255);
  if (slicing === 'equal') return null;
  const placeValue = (bit: number) => 2 ** placeShift(input, bit);
  const unit = firstLayer === 'binary' ? 1 : ALL_BITS.reduce((sum, bit) => sum + placeValue(bit), 0);
  return Float32Array.from(input.slices, ({ bit }) => placeValue(bit) / unit);
}

/** One trained tensor. */
export interface Parameter {
  readonly name: string;
  readonly kernelLayer: number;
  readonly role: 'weights' | 'gamma' | 'beta' | ScaleRole;
  readonly shape: readonly number[];
  /** `binary`: a latent weight, clipped to [-1, 1], its rate scaled by `rateScale`; `float`: plain Adam; `fixed`: not trained */
  readonly group: 'binary' | 'float' | 'fixed';
  /** Glorot's 1 / sqrt(1.5 / (fan_in + fan_out)) for latent weights (paper's code), else 1 */
  readonly rateScale: number;
}

/** The parameters of kernel layer `shape.index`, weights first; `latent`: whether its weights are, where the plan allows. */
export function layerParameters(
  plan: Plan,
  shape: KernelShape,
  latent: boolean,
  scales: readonly ScaleRole[] = [],
): Parameter[] {
  const { index, kind, kernel, input, output, fanIn } = shape;
  const weightShape =
    kind === 'conv' ? [output.channels, kernel, kernel, input.channels] : [output.channels, fanIn];
  const fanOut = kernel * kernel * output.channels;
  const group = latent && !(index === 0 && plan.firstLayer !== 'binary') ? 'binary' : 'float';
  const make = (role: Parameter['role'], shapeOf: readonly number[], of: Parameter['group']): Parameter => ({
    name: `layers.${index}.${role}`,
    kernelLayer: index,
    role,
    shape: shapeOf,
    group: of,
    rateScale: of === 'binary' ? 1 / Math.sqrt(1.5 / (fanIn + fanOut)) : 1,
  });
  return [
    make('weights', weightShape, group),
    make('gamma', [output.channels], 'float'),
    make('beta', [output.channels], 'float'),
    ...scales.map((role) =>
      make(
        role,
        role === 'mask' ? weightShape : [1],
        role === 'positive' || role === 'negative' ? 'float' : 'fixed',
      ),
    ),
  ];
}
