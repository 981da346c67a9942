/**
 * Compute shaders in WGSL, one per layer, with its shape as constants.
 *
 * A workgroup computes the 32 outputs of one block, an invocation each, at a tile of places: all read the same inputs, and their
 * bits meet in one word. A weight is read once for the whole tile, and neighbouring invocations read neighbouring words. Maps are
 * `[image][y][x][words]` of uint32, channel c being bit c mod 32 of word floor(c / 32); there is no border, taps outside are
 * skipped, as the specification says it.
 */
import type { InputSpec } from '../model.js';
import type { KernelShape } from '../shapes.js';

export const BLOCK = 32;

/** Places that share a weight once it is read: side by side, or of the window of a pooling, part by part where it has more. */
const PLACES = 4;

/** uint32 words of a pixel's bits. */
export const wordsOf = (channels: number): number => Math.ceil(channels / BLOCK);

export const blocksOf = ({ output }: KernelShape): number => Math.ceil(output.channels / BLOCK);

/** Pooled positions, side by side, of one invocation. */
const tileOf = ({ pool, pooled }: KernelShape): number => (pool > 1 ? 1 : Math.min(PLACES, pooled.width));

/** Weights of one output and tap: words of bits, or int32 values of the first layer. */
export const perTapOf = ({ index, input }: KernelShape): number =>
  index === 0 ? input.channels : wordsOf(input.channels);

/** Workgroups of a layer for `images` images. */
export const workgroups = (shape: KernelShape, images: number): [number, number, number] => [
  Math.ceil(shape.pooled.width / tileOf(shape)),
  shape.pooled.height,
  blocksOf(shape) * images,
];

/** What a place adds to its sum, for one tap: WGSL, with `at(p)` the index of the place's first word or byte. */
function addTap(shape: KernelShape, spec: InputSpec, places: readonly number[]): string {
  const each = (line: (p: number) => string) => places.map(line).join(' ');
  if (shape.index > 0)
    return `
      for (var w = 0u; w < ${perTapOf(shape)}u; w++) {
        let weight = weights[row + w * ${BLOCK}u];
        ${each((p) => `sum${p} += select(0, i32(countOneBits(source[at${p} + w] ^ weight)), in${p});`)}
      }`;
  const isSliced = spec.encoding === 'bit-slices';
  const sources = isSliced
    ? spec.slices.map(({ channel, bit }, i) => ({ channel, bit, shift: spec.shifts[i]! }))
    : Array.from({ length: spec.channels }, (_, channel) => ({ channel, bit: -1, shift: 0 }));
  const used = [...new Set(sources.map(({ channel }) => channel))];
  const bytes = used.map((c) => each((p) => `let v${p}_${c} = byte(at${p} + ${c}u);`));
  const products = sources.map(({ channel, bit, shift }, i) => {
    const term = (value: string) =>
      bit < 0
        ? `weight * (2 * ${value} - 255)`
        : `select(-weight, weight, ((${value} >> ${bit}u) & 1) == 1) << ${shift}u`;
    const add = each((p) => `sum${p} += select(0, ${term(`v${p}_${channel}`)}, in${p});`);
    return `{ let weight = bitcast<i32>(weights[row + ${i * BLOCK}u]); ${add} }`;
  });
  return `
      ${[...bytes, ...products].join('\n      ')}`;
}

/**
 * The shader of kernel layer `shape`. Bindings: 0 source, 1 weights `[block][tap][one of perTapOf][output of the block]` of uint32
 * (words of bits, or int32 values), 2 thresholds, or scale and bias of each output in turn, 3 out: words of bits, or int32 scores
 * `[image][output]`.
 */
export function layerShader(shape: KernelShape, spec: InputSpec, isLast: boolean): string {
  const { kind, index, input, output, kernel, stride, padStart, pool, pooled } = shape;
  const [rows, columns] = kind === 'dense' ? [input.height, input.width] : [kernel, kernel];
  const blocks = blocksOf(shape);
  const tile = tileOf(shape);
  const window = pool * pool;
  const places = Array.from({ length: pool > 1 ? PLACES : tile }, (_, p) => p);
  const each = (line: (p: number) => string) => places.map(line).join('\n      ');
  const units = index === 0 ? spec.channels : wordsOf(input.channels);
  // Of bits the sum is what is inside, less twice the differences, which are what was added up.
  const total = (p: number) => (index === 0 ? `sum${p}` : `(inside${p} * ${input.channels} - 2 * sum${p})`);
  // Of the last part of a window fewer places than PLACES may be left.
  const keep = (p: number) =>
    pool > 1
      ? `best0 = max(best0, select(best0, ${total(p)}, part * ${PLACES}u + ${p}u < ${window}u));`
      : `best${p} = ${total(p)};`;
  const tiles = Array.from({ length: tile }, (_, t) => t);
  return `
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> weights: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
var<workgroup> masks: array<atomic<u32>, ${tile}>;

fn byte(at: u32) -> i32 { return i32((source[at >> 2u] >> ((at & 3u) * 8u)) & 255u); }

@compute @workgroup_size(${BLOCK})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let image = group.z / ${blocks}u;
  let block = group.z % ${blocks}u;
  let output = block * ${BLOCK}u + lane;
  ${tiles.map((t) => `var best${t} = -2147483647;`).join(' ')}
  for (var part = 0u; part < ${pool > 1 ? Math.ceil(window / PLACES) : 1}u; part++) {
      ${each((p) => {
        const place = `part * ${PLACES}u + ${p}u`;
        const [x, y] =
          pool > 1
            ? [`group.x * ${pool}u + (${place}) % ${pool}u`, `group.y * ${pool}u + (${place}) / ${pool}u`]
            : [`group.x * ${tile}u + ${p}u`, 'group.y'];
        const origin = (at: string) => `i32(${at}) * ${stride} - ${padStart}`;
        return `let x${p} = ${origin(x)}; let y${p} = ${origin(y)}; var sum${p} = 0; var inside${p} = 0;`;
      })}
      for (var ky = 0; ky < ${rows}; ky++) {
        for (var kx = 0; kx < ${columns}; kx++) {
          let row = (block * ${rows * columns}u + u32(ky * ${columns} + kx)) * ${perTapOf(shape) * BLOCK}u + lane;
          ${each((p) => {
            // Below 0 is far above as unsigned. Not `&&`: drivers that follow every path of such branches never end at nine places.
            const inside = `(u32(y${p} + ky) < ${input.height}u) & (u32(x${p} + kx) < ${input.width}u)`;
            const at = `((image * ${input.height}u + u32(y${p} + ky)) * ${input.width}u + u32(x${p} + kx)) * ${units}u`;
            return `let in${p} = ${inside}; let at${p} = select(0u, ${at}, in${p}); inside${p} += select(0, 1, in${p});`;
          })}${addTap(shape, spec, places)}
        }
      }
      ${each(keep)}
  }
  if (output < ${output.channels}u) {${
    isLast
      ? `
    out[image * ${output.channels}u + output] =
      bitcast<u32>(best0 * limits[2u * output] + limits[2u * output + 1u]);
  }`
      : `
    ${tiles.map((t) => `if (best${t} >= limits[output]) { atomicOr(&masks[${t}], 1u << lane); }`).join('\n    ')}
  }
  workgroupBarrier();
  let x = group.x * ${tile}u + lane;
  if (lane < ${tile}u && x < ${pooled.width}u) {
    out[((image * ${pooled.height}u + group.y) * ${pooled.width}u + x) * ${wordsOf(output.channels)}u + block] = atomicLoad(&masks[lane]);
  }`
  }
}`;
}
