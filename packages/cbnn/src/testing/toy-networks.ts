/**
 * Toy networks: small enough for float64 loops and finite differences, odd enough to catch a wrong index. Together
 * they hold kernels 1..5, even kernels, strides, 'valid' padding, both pooling sizes with leftover rows, maps that
 * are not square, dense-only networks, every kind of first layer and both losses.
 *
 * All values drawn here are exact in float32, so that a float32 step starts from the very same numbers.
 */
import { kernelShapes, type MapShape, parseArchitecture } from '@cbnn/runtime';
import { Random } from '../random.js';
import { type OracleLayer, type OracleLoss, type OracleParameters, oracleWeightCount } from './oracle.js';

export interface ToyNetwork {
  readonly name: string;
  /** the first layer's input map; `channels` counts slices where the network takes slices */
  readonly input: MapShape;
  /** the paper's notation */
  readonly architecture: string;
  /** weights of the first layer; where it is `real`, the whole network is */
  readonly first: 'integer' | 'binary' | 'real';
  readonly loss: OracleLoss;
  /** whether the first layer's weights are multiplied by place values */
  readonly place: boolean;
}

export const toyNetworks: readonly ToyNetwork[] = [
  {
    name: 'two convolutions and pooling',
    input: { height: 7, width: 9, channels: 3 },
    architecture: '5C3-6C3-MP2-7FC-4FC',
    first: 'integer',
    loss: 'squared-hinge',
    place: true,
  },
  {
    name: 'a strided valid convolution before a 1x1 one',
    input: { height: 11, width: 11, channels: 2 },
    architecture: '4C5S2V-3C1-6FC-3FC',
    first: 'binary',
    loss: 'cross-entropy',
    place: true,
  },
  {
    name: 'an even kernel and pooling by 3',
    input: { height: 7, width: 9, channels: 4 },
    architecture: '8C2-MP3-5FC',
    first: 'binary',
    loss: 'squared-hinge',
    place: false,
  },
  {
    name: 'dense layers only',
    input: { height: 3, width: 5, channels: 2 },
    architecture: '6FC-4FC',
    first: 'integer',
    loss: 'cross-entropy',
    place: true,
  },
  {
    name: 'one dense layer',
    input: { height: 2, width: 3, channels: 3 },
    architecture: '5FC',
    first: 'integer',
    loss: 'squared-hinge',
    place: false,
  },
  {
    name: 'real weights, kernels 4 and 3, pooling twice',
    input: { height: 11, width: 11, channels: 2 },
    architecture: '4C4-MP2-5C3-MP2-6FC-3FC',
    first: 'real',
    loss: 'cross-entropy',
    place: false,
  },
  {
    name: 'real weights, strides 3 and 2, place values',
    input: { height: 11, width: 9, channels: 3 },
    architecture: '4C3S3-5C2S2V-4FC',
    first: 'real',
    loss: 'squared-hinge',
    place: true,
  },
  {
    name: 'a wide kernel on a narrow map, then a strided one',
    input: { height: 3, width: 7, channels: 9 },
    architecture: '4C5-6C3S2-4FC',
    first: 'integer',
    loss: 'cross-entropy',
    place: true,
  },
  {
    name: 'a stride whose last taps pad, pooled with leftovers',
    input: { height: 9, width: 7, channels: 3 },
    architecture: '5C4S2-MP2-3C1-5FC-4FC',
    first: 'binary',
    loss: 'squared-hinge',
    place: true,
  },
];

/**
 * For blocked convolutions only (graph/operations/convolve.ts): too many weights for finite differences, and its
 * rules are those of the networks above.
 */
export const wideToyNetwork: ToyNetwork = {
  name: 'channels that fill blocks of 16 and of 8, strided, with an even kernel',
  input: { height: 6, width: 5, channels: 16 },
  architecture: '32C3-16C4S2-32C3V-4FC',
  first: 'integer',
  loss: 'cross-entropy',
  place: true,
};

/**
 * Place values of `channels` slices: 1/128 .. 1, repeating every 8. Powers of two, so that the sums of +-1 images are
 * exact and a tie in a pooling window is a tie in every precision.
 */
export function toyPlaceValues(channels: number): Float64Array {
  return Float64Array.from({ length: channels }, (_, c) => 2 ** ((c % 8) - 7));
}

/** The oracle's layers; `smooth` is the activation of networks with real weights, the others use the sign. */
export function toyLayers(toy: ToyNetwork, smooth: 'hardtanh' | 'relu' = 'hardtanh'): OracleLayer[] {
  const shapes = kernelShapes(toy.input, parseArchitecture(toy.architecture));
  return shapes.map((shape, l) => ({
    kind: shape.kind,
    input: shape.input,
    outputs: shape.output.channels,
    kernel: shape.kernel,
    stride: shape.stride,
    padStart: shape.padStart,
    padEnd: shape.padEnd,
    pool: shape.pool,
    weights: l === 0 || toy.first === 'real' ? toy.first : 'binary',
    place: l === 0 && toy.place ? toyPlaceValues(toy.input.channels) : null,
    activation: l === shapes.length - 1 ? 'none' : toy.first === 'real' ? smooth : 'sign',
  }));
}

/**
 * Weights in (-1, 1), gamma of either sign and of size 0.5..1.5, beta in (-0.5, 0.5); scales of trained ternary weights in (0.5, 1), three of
 * four masked ones kept; one entry per layer.
 */
export function toyParameters(layers: readonly OracleLayer[], seed: number): OracleParameters[] {
  return layers.map((layer, l) => {
    const random = new Random(seed, 1, l);
    const draw = (length: number, value: () => number) =>
      Float64Array.from({ length }, () => Math.fround(value()));
    return {
      weights: draw(oracleWeightCount(layer), () => 2 * random.uniform() - 1),
      gamma: draw(layer.outputs, () => (random.below(4) === 0 ? -1 : 1) * (0.5 + random.uniform())),
      beta: draw(layer.outputs, () => random.uniform() - 0.5),
      ...(layer.weights === 'trained-ternary' && {
        positive: draw(1, () => 0.5 + random.uniform() / 2),
        negative: draw(1, () => 0.5 + random.uniform() / 2),
      }),
      ...(layer.weights === 'masked' && {
        mask: draw(oracleWeightCount(layer), () => (random.below(4) === 0 ? 0 : 1)),
      }),
    };
  });
}

/** Images `[count][C][H][W]` of +-1 (of values in (-1, 1) for networks with real weights), and their labels. */
export function toyBatch(
  toy: ToyNetwork,
  count: number,
  seed: number,
): { images: Float64Array; labels: Int32Array } {
  const random = new Random(seed, 2);
  const { height, width, channels } = toy.input;
  const classes = toyLayers(toy).at(-1)!.outputs;
  const pixel =
    toy.first === 'real'
      ? () => Math.fround(2 * random.uniform() - 1)
      : () => (random.below(2) === 0 ? -1 : 1);
  return {
    images: Float64Array.from({ length: count * channels * height * width }, pixel),
    labels: Int32Array.from({ length: count }, () => random.below(classes)),
  };
}
