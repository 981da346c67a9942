/**
 * Compute shaders in WGSL, one per layer, with its shape as constants.
 *
 * A workgroup computes the 32 outputs of one block at one position of one image, an invocation each: all read the same inputs,
 * and their bits meet in one word. Maps are `[image][y][x][words]` of uint32, channel c being bit c mod 32 of word floor(c / 32);
 * there is no border, taps outside are skipped, as the specification says it.
 */
import type { InputSpec } from '../model.js';
import type { KernelShape } from '../shapes.js';

export const BLOCK = 32;

/** uint32 words of a pixel's bits. */
export const wordsOf = (channels: number): number => Math.ceil(channels / BLOCK);

export const blocksOf = ({ output }: KernelShape): number => Math.ceil(output.channels / BLOCK);

/** int32 sums of `x` and `y` of one layer, by what its inputs are. */
type Terms = 'bits' | 'image';

/** WGSL that adds the products at input position (x, y) to `sum`; `tap`: its number in the kernel. */
function addTap(terms: Terms, { input }: KernelShape, spec: InputSpec): string {
  if (terms === 'bits') {
    const words = wordsOf(input.channels);
    return `
      let start = ((image * ${input.height}u + u32(y)) * ${input.width}u + u32(x)) * ${words}u;
      let row = (output * TAPS + tap) * ${words}u;
      var different = 0u;
      for (var w = 0u; w < ${words}u; w++) { different += countOneBits(source[start + w] ^ weights[row + w]); }
      sum += ${input.channels} - 2 * i32(different);`;
  }
  const isSliced = spec.encoding === 'bit-slices';
  const inputs = isSliced ? spec.slices.length : spec.channels;
  const sources = isSliced
    ? spec.slices.map(({ channel, bit }, i) => ({ channel, bit, shift: spec.shifts[i]! }))
    : Array.from({ length: spec.channels }, (_, channel) => ({ channel, bit: -1, shift: 0 }));
  const lines = sources.map(({ channel, bit, shift }, i) => {
    const weight = `bitcast<i32>(weights[row + ${i}u])`;
    if (bit < 0) return `sum += ${weight} * (2 * i32(byte(start + ${channel}u)) - 255);`;
    return `sum += (${weight} * (2 * i32((byte(start + ${channel}u) >> ${bit}u) & 1u) - 1)) << ${shift}u;`;
  });
  return `
      let start = ((image * ${input.height}u + u32(y)) * ${input.width}u + u32(x)) * ${spec.channels}u;
      let row = (output * TAPS + tap) * ${inputs}u;
      ${lines.join('\n      ')}`;
}

/**
 * The shader of kernel layer `shape`. Bindings: 0 source, 1 weights (uint32: words of bits, or int32 values), 2 thresholds, or
 * scale and bias of each output in turn, 3 out: words of bits, or int32 scores `[image][output]`.
 */
export function layerShader(shape: KernelShape, spec: InputSpec, isLast: boolean): string {
  const { kind, index, input, output, kernel, stride, padStart, pool, pooled } = shape;
  const terms: Terms = index === 0 ? 'image' : 'bits';
  const [rows, columns] = kind === 'dense' ? [input.height, input.width] : [kernel, kernel];
  const blocks = blocksOf(shape);
  return `
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> weights: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
const TAPS = ${rows * columns}u;
var<workgroup> mask: atomic<u32>;

fn byte(at: u32) -> u32 { return (source[at >> 2u] >> ((at & 3u) * 8u)) & 255u; }

fn sumAt(image: u32, output: u32, oy: u32, ox: u32) -> i32 {
  var sum = 0;
  for (var ky = 0; ky < ${rows}; ky++) {
    let y = i32(oy) * ${stride} + ky - ${padStart};
    if (y < 0 || y >= ${input.height}) { continue; }
    for (var kx = 0; kx < ${columns}; kx++) {
      let x = i32(ox) * ${stride} + kx - ${padStart};
      if (x < 0 || x >= ${input.width}) { continue; }
      let tap = u32(ky * ${columns} + kx);${addTap(terms, shape, spec)}
    }
  }
  return sum;
}

@compute @workgroup_size(${BLOCK})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let image = group.z / ${blocks}u;
  let block = group.z % ${blocks}u;
  let output = block * ${BLOCK}u + lane;
  if (output < ${output.channels}u) {${
    isLast
      ? `
    out[image * ${output.channels}u + output] =
      bitcast<u32>(sumAt(image, output, 0u, 0u) * limits[2u * output] + limits[2u * output + 1u]);
  }`
      : `
    var best = sumAt(image, output, group.y * ${pool}u, group.x * ${pool}u);
    for (var i = 1u; i < ${pool * pool}u; i++) {
      best = max(best, sumAt(image, output, group.y * ${pool}u + i / ${pool}u, group.x * ${pool}u + i % ${pool}u));
    }
    if (best >= limits[output]) { atomicOr(&mask, 1u << lane); }
  }
  workgroupBarrier();
  if (lane == 0u) {
    out[((image * ${pooled.height}u + group.y) * ${pooled.width}u + group.x) * ${wordsOf(output.channels)}u + block] = atomicLoad(&mask);
  }`
  }
}`;
}
