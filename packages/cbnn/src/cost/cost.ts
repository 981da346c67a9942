/**
 * What a network costs to store and to run: the one place of this project that counts.
 *
 * Weights       every trained weight of a kernel layer: outputs * fan-in. Thresholds and batch norm are not weights.
 * Bytes         what a model file must hold for a layer: its weights in the layer's own format, and the numbers
 *               that go with each output. A file's header (names, classes, provenance) is not counted here; the size
 *               of a written file is a measurement, not a formula.
 * MACs          multiply-accumulates per image, counted as the field does: outputs * fan-in, where outputs are the
 *               positions before pooling, and taps that fall on the zero padding count as well.
 * Bit operations  2 * MACs (one XNOR and one count per weight) where weights and inputs are both +-1. Layers that
 *               are not binary have none; their MACs are listed as integer or float MACs.
 *
 * Milliseconds and gates are measured elsewhere; no constant in here turns a count into time.
 */
import {
  configError,
  type InputSpec,
  internalError,
  type KernelShape,
  type LayerSpec,
  modelShapes,
  type PackedModel,
} from '@cbnn/runtime';

/** The cheapest unit that computes a layer exactly. */
export type Arithmetic = 'binary' | 'integer' | 'float';

/** How one kernel layer is stored. */
export interface LayerStorage {
  /** 1 = binary, 2 = ternary, 8 or 16 = fixed point, 32 = float */
  readonly weightBits: number;
  /** of all weights, where they do not follow from their bits: levels, sparse weights */
  readonly weightBytes?: number;
  readonly arithmetic: Arithmetic;
  /** the numbers that go with each output (thresholds, scales, folded batch norm) */
  readonly perOutput: readonly StoredNumber[];
}

export interface StoredNumber {
  /** e.g. `threshold` */
  readonly name: string;
  readonly bytes: number;
}

export interface LayerCost {
  /** the paper's notation, e.g. `128C3`, `1024FC` */
  readonly name: string;
  readonly kind: 'conv' | 'dense';
  readonly weights: number;
  readonly weightBits: number;
  readonly weightBytes: number;
  /** thresholds, scales, folded batch norm */
  readonly otherBytes: number;
  readonly bytes: number;
  readonly arithmetic: Arithmetic;
  /** multiply-accumulates per image */
  readonly macs: number;
  /** 2 * macs in binary layers, otherwise 0 */
  readonly bitOperations: number;
}

export interface NetworkCost {
  readonly layers: readonly LayerCost[];
  readonly weights: number;
  readonly weightBytes: number;
  readonly otherBytes: number;
  readonly bytes: number;
  readonly macs: number;
  /** the MACs again, by arithmetic; the three add up to `macs` */
  readonly binaryMacs: number;
  readonly integerMacs: number;
  readonly floatMacs: number;
  readonly bitOperations: number;
}

/**
 * Costs of a network whose kernel layers are stored as `storage` says (one entry per kernel layer, in order).
 * `storage` comes from `packedStorage` (a trained model), `techniqueStorage` (a technique) or `uniformStorage` (so many bits everywhere).
 * Throws a config error when the layers do not fit each other or the input.
 */
export function networkCost(
  input: InputSpec,
  layers: readonly LayerSpec[],
  storage: readonly LayerStorage[],
): NetworkCost {
  const shapes = modelShapes({ input, layers });
  if (shapes.length !== storage.length)
    throw internalError(`storage: expected ${shapes.length} kernel layers, got ${storage.length}`);
  const costs = shapes.map((shape, i) => layerCost(shape, storage[i]!));
  const total = (of: (cost: LayerCost) => number) => costs.reduce((sum, cost) => sum + of(cost), 0);
  const macsOf = (arithmetic: Arithmetic) =>
    total((cost) => (cost.arithmetic === arithmetic ? cost.macs : 0));
  return {
    layers: costs,
    weights: total((cost) => cost.weights),
    weightBytes: total((cost) => cost.weightBytes),
    otherBytes: total((cost) => cost.otherBytes),
    bytes: total((cost) => cost.bytes),
    macs: total((cost) => cost.macs),
    binaryMacs: macsOf('binary'),
    integerMacs: macsOf('integer'),
    floatMacs: macsOf('float'),
    bitOperations: total((cost) => cost.bitOperations),
  };
}

/** Costs of a packed model as it is stored. */
export const modelCost = (model: PackedModel): NetworkCost =>
  networkCost(model.input, model.layers, packedStorage(model));

function layerCost(shape: KernelShape, storage: LayerStorage): LayerCost {
  const outputs = shape.output.channels;
  const weights = outputs * shape.fanIn;
  const macs = shape.output.height * shape.output.width * weights;
  // rows are padded to whole bytes, as in the packed model; this adds nothing from 8 bits up
  const weightBytes = storage.weightBytes ?? outputs * Math.ceil((shape.fanIn * storage.weightBits) / 8);
  const otherBytes = outputs * storage.perOutput.reduce((bytes, number) => bytes + number.bytes, 0);
  return {
    name: shape.kind === 'conv' ? `${outputs}C${shape.kernel}` : `${outputs}FC`,
    kind: shape.kind,
    weights,
    weightBits: storage.weightBits,
    weightBytes,
    otherBytes,
    bytes: weightBytes + otherBytes,
    arithmetic: storage.arithmetic,
    macs,
    bitOperations: storage.arithmetic === 'binary' ? 2 * macs : 0,
  };
}

/** Storage of a trained packed model: thresholds take 2 bytes where all of a layer's fit int16, else 4. */
export function packedStorage(model: PackedModel): LayerStorage[] {
  return model.kernels.map((kernel, i): LayerStorage => {
    const binary = kernel.weights.type === 'binary';
    return {
      weightBits: binary ? 1 : 8,
      arithmetic: binary && (i > 0 || model.input.encoding === 'bit-slices') ? 'binary' : 'integer',
      perOutput:
        kernel.output === 'bits'
          ? [{ name: 'threshold', bytes: thresholdBytes(kernel.thresholds) }]
          : OUTPUT_NUMBERS,
    };
  });
}

/**
 * Storage of a network whose layers are all of one kind: `weightBits` 32 is float, 8 or 16 fixed point, 2 ternary.
 * Each output has a batch norm in float: it cannot be folded into the weights, because max
 * pooling stands between the products and the batch norm and does not commute with a negative scale.
 */
export function uniformStorage(
  layers: readonly LayerSpec[],
  weightBits: number,
  arithmetic: Arithmetic = 'float',
): LayerStorage[] {
  if (!Number.isInteger(weightBits) || weightBits < 1 || weightBits > 32)
    throw configError(`weight bits: expected 1..32, got ${weightBits}`);
  return layers
    .filter((layer) => layer.kind !== 'pool')
    .map(() => ({ weightBits, arithmetic, perOutput: BATCH_NORM }));
}

/** Bytes of one threshold: 2 when all of them fit int16, else 4. */
export function thresholdBytes(thresholds: Int32Array): 2 | 4 {
  return thresholds.every((t) => t >= -INT16_MAX - 1 && t <= INT16_MAX) ? 2 : 4;
}

const INT16_MAX = 32767;

/** score = sum * scale + bias, both int32 */
const OUTPUT_NUMBERS: readonly StoredNumber[] = [
  { name: 'scale', bytes: 4 },
  { name: 'bias', bytes: 4 },
];

/** As store/network-file.ts writes it: folded into two numbers, sums would round otherwise than in training. */
export const BATCH_NORM: readonly StoredNumber[] = [
  { name: 'mean', bytes: 4 },
  { name: 'scale', bytes: 4 },
  { name: 'offset', bytes: 4 },
];
