/**
 * The oracle of the oracle: docs/model-format.md once more, by other means than reference.ts, so that a mistake
 * would have to be made twice. Float64 throughout; pixels are taken apart by division instead of shifts; every
 * input value is scattered to the outputs it reaches instead of gathered; stretch percentiles come from sorting;
 * hidden maps are pooled as bits (OR) instead of as integers. It shares nothing with the runtime but the types.
 */
import type { InputCode } from '../codes.js';
import type { LayerSpec, PackedModel, Stretch, Weights } from '../model.js';

/** A feature map of float64 values, `[y][x][channel]`. */
type FloatMap = number[][][];

export interface OracleResult {
  readonly scores: number[];
  /** 0 or 1 of each hidden kernel layer after pooling, flattened `[y][x][channel]` */
  readonly bits: number[][];
}

export function runOracle(model: PackedModel, pixels: Uint8Array): OracleResult {
  const { input } = model;
  const image = oracleStretch([...pixels], input.stretch);
  let map: FloatMap = grid(input.height, input.width, (y, x) => {
    const pixel = (channel: number) => image[(y * input.width + x) * input.channels + channel]!;
    if (input.encoding === '8-bit')
      return Array.from({ length: input.channels }, (_, channel) => 2 * pixel(channel) - 255);
    return input.slices.map(
      ({ channel, bit }, i) => (oracleBit(pixel(channel), bit, input.code) ? 1 : -1) * 2 ** input.shifts[i]!,
    );
  });

  const bits: number[][] = [];
  let k = 0;
  for (const [position, layer] of model.layers.entries()) {
    if (layer.kind === 'pool') continue;
    const kernel = model.kernels[k++]!;
    const sums =
      layer.kind === 'conv'
        ? scatter(map, layer, kernel.weights)
        : [[product(map, layer.units, kernel.weights)]];
    if (kernel.output === 'scores')
      return { scores: sums[0]![0]!.map((sum, c) => sum * kernel.scale[c]! + kernel.bias[c]!), bits };
    const next = model.layers[position + 1];
    const size = next?.kind === 'pool' ? next.size : 1;
    const on = grid(Math.floor(sums.length / size), Math.floor(sums[0]!.length / size), (y, x) =>
      Array.from(kernel.thresholds, (threshold, c) => {
        for (let dy = 0; dy < size; dy++)
          for (let dx = 0; dx < size; dx++)
            if (sums[y * size + dy]![x * size + dx]![c]! >= threshold) return 1;
        return 0;
      }),
    );
    bits.push(on.flat(2));
    map = on.map((row) => row.map((cell) => cell.map((bit) => 2 * bit - 1)));
  }
  throw new Error('the last layer gives no scores');
}

/** The stretch by order statistics: count(v) > k is the value of rank k, count(v) >= k that of rank k - 1. */
export function oracleStretch(values: readonly number[], stretch: Stretch | null): number[] {
  if (!stretch) return [...values];
  const sorted = [...values].sort((a, b) => a - b);
  const lo = sorted[Math.floor((values.length * stretch.low) / 100)]!;
  const hi = sorted[Math.ceil((values.length * stretch.high) / 100) - 1]!;
  if (hi <= lo) return [...values];
  return values.map((v) => {
    const clamped = Math.min(Math.max(v, lo), hi);
    return Math.round(((clamped - lo) * 255) / (hi - lo));
  });
}

/** A bit of Gray's code says whether two neighbouring digits differ; one of a thermometer, whether a threshold is reached. */
export function oracleBit(value: number, bit: number, code: InputCode | undefined): boolean {
  const digit = (place: number) => Math.floor(value / 2 ** place) % 2;
  if (code === 'gray') return digit(bit) !== digit(bit + 1);
  if (code === 'thermometer') return value >= [16, 144, 208, 80, 240, 48, 176, 112][bit]!;
  return digit(bit) === 1;
}

const grid = (height: number, width: number, cell: (y: number, x: number) => number[]): FloatMap =>
  Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => cell(y, x)));

/** Weight `i` of output `o`, whatever its type. */
function weightAt(weights: Weights, fanIn: number, o: number, i: number): number {
  if (weights.type === 'integer') return weights.values[o * fanIn + i]!;
  const byte = weights.bits[o * Math.ceil(fanIn / 8) + Math.floor(i / 8)]!;
  return Math.floor(byte / 2 ** (i % 8)) % 2 === 1 ? 1 : -1;
}

function scatter(map: FloatMap, layer: Extract<LayerSpec, { kind: 'conv' }>, weights: Weights): FloatMap {
  const { channels: outputs, kernel, stride, padding } = layer;
  const inputs = map[0]![0]!.length;
  const before = padding === 'same' ? Math.floor((kernel - 1) / 2) : 0;
  const total = padding === 'same' ? kernel - 1 : 0;
  const side = (size: number) => Math.ceil((size + total - kernel + 1) / stride);
  const sums = grid(side(map.length), side(map[0]!.length), () => Array.from({ length: outputs }, () => 0));
  for (const [y, row] of map.entries())
    for (const [x, cell] of row.entries())
      for (let ky = 0; ky < kernel; ky++)
        for (let kx = 0; kx < kernel; kx++) {
          const target = sums[(y + before - ky) / stride]?.[(x + before - kx) / stride];
          if (!target) continue;
          for (let o = 0; o < outputs; o++)
            for (const [c, value] of cell.entries())
              target[o]! +=
                value * weightAt(weights, kernel * kernel * inputs, o, (ky * kernel + kx) * inputs + c);
        }
  return sums;
}

function product(map: FloatMap, units: number, weights: Weights): number[] {
  const values = map.flat(2);
  return Array.from({ length: units }, (_, o) =>
    values.reduce((sum, value, i) => sum + value * weightAt(weights, values.length, o, i), 0),
  );
}
