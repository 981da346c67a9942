/**
 * The first layer, whose inputs are slices of a pixel (8-bit values are eight slices with their place values) and whose
 * weights may be integers. A convolution looks sums up: four slices of a tap have 16 values, and a table holds for each of
 * them the sums of 32 outputs (16 where they need 32 bits). A dense layer multiplies.
 */
import { readBits, rowBytes } from '../bits.js';
import { layerBound } from '../bounds.js';
import type { InputSpec, KernelLayer, Weights } from '../model.js';
import type { KernelShape } from '../shapes.js';
import { type Arena, aligned, type Kernels, notValidated, type Views } from './memory.js';
import { type Computed, computedPlanes } from './planes.js';

/** Outputs whose bits lie together. */
const WORD = 16;
/** Slices per table. */
const NIBBLE = 4;
/** Bytes of a table's entry: four vectors. */
const ENTRY = 64;
/** The entry of pixels outside the image. */
const NOTHING = 16;
const TABLE = (NOTHING + 1) * ENTRY;
const INT16_MAX = 2 ** 15 - 1;
const INT32_MAX = 2 ** 31 - 1;

/** One input of the first layer: bit `bit` of channel `channel` counts +-2^shift, times a weight of input `weight`. */
interface Source {
  readonly channel: number;
  readonly bit: number;
  readonly shift: number;
  readonly weight: number;
}

/** 2x - 255 is the sum over the bits of x of +-2^bit. */
function sourcesOf({ encoding, slices, shifts, channels }: InputSpec): Source[] {
  if (encoding === 'bit-slices')
    return slices.map(({ channel, bit }, i) => ({ channel, bit, shift: shifts[i]!, weight: i }));
  return Array.from({ length: 8 * channels }, (_, i) => ({
    channel: i >> 3,
    bit: i & 7,
    shift: i & 7,
    weight: i >> 3,
  }));
}

/** Weight `i` of output `o`. */
function weightReader(weights: Weights, fanIn: number): (o: number, i: number) => number {
  if (weights.type === 'integer') return (o, i) => weights.values[o * fanIn + i]!;
  const bytes = rowBytes(fanIn);
  return (o, i) => 2 * readBits(weights.bits, o * bytes, i, 1) - 1;
}

/** Of a part: a 16-bit offset for each value of a channel. */
const LOOKUP_BYTES = 512;

/** What four slices of a pixel are, from the values of the channels that they come from. */
interface Nibble {
  readonly channel: number;
  /** byte offset of the entry, by the channel's value; those of several channels are added */
  readonly offsets: Uint16Array;
  /** whether it continues the nibble before it, in another channel */
  readonly continues: boolean;
}

export class FirstConvolution {
  readonly output: Computed;
  private readonly lanes: 4 | 8;
  private readonly block: number;
  private readonly blocks: number;
  private readonly nibbles: number;
  private readonly parts: readonly Nibble[];
  private readonly lookups: number;
  private readonly pitch: number;
  private readonly index: number;
  private readonly tables: number;
  private readonly thresholds: number;
  /** bits of `WORD` outputs, a word per pixel, `wordBytes` bytes of them; then those of the next */
  private readonly masks: number;
  private readonly wordBytes: number;
  private readonly sources: readonly Source[];

  constructor(
    arena: Arena,
    private readonly shape: KernelShape,
    private readonly spec: InputSpec,
    private readonly outputGroup: number,
    kernel: KernelLayer,
  ) {
    const { input, output, padStart, padEnd } = shape;
    this.sources = sourcesOf(spec);
    this.nibbles = Math.ceil(this.sources.length / NIBBLE);
    this.parts = nibbleParts(this.sources);
    this.lookups = arena.take(LOOKUP_BYTES * this.parts.length);
    // The threshold of a unit that is always off is one above the bound.
    this.lanes = layerBound(spec, shape, kernel.weights) + 1 <= INT16_MAX ? 8 : 4;
    this.block = 4 * this.lanes;
    this.blocks = Math.ceil(output.channels / this.block);
    this.pitch = input.width + padStart + padEnd;
    this.index = arena.take(2 * (input.height + padStart + padEnd) * this.pitch * this.nibbles);
    this.tables = arena.take(this.blocks * shape.kernel ** 2 * this.nibbles * TABLE);
    this.thresholds = arena.take(this.blocks * ENTRY);
    this.wordBytes = 2 * output.height * output.width;
    this.masks = arena.take(((this.blocks * this.block) / WORD + 1) * this.wordBytes);
    this.output = computedPlanes(arena, shape, outputGroup);
  }

  get kernelName(): string {
    return `first-${this.lanes}`;
  }

  prepare({ u16, i16, i32 }: Views, kernel: KernelLayer): void {
    if (kernel.output !== 'bits') throw notValidated();
    const { shape, block, sources, nibbles } = this;
    const { fanIn, input, output, padStart, padEnd } = shape;
    const weightOf = weightReader(kernel.weights, fanIn);
    const numbers = this.lanes === 8 ? i16 : i32;
    const bytes = this.lanes === 8 ? 2 : 4;
    const channels = input.channels;
    // Of a nibble; those behind the last slice stay 0.
    const values = new Int32Array(NIBBLE);
    let at = this.tables / bytes;
    for (let b = 0; b < this.blocks; b++)
      for (let tap = 0; tap < shape.kernel ** 2; tap++)
        for (let n = 0; n < nibbles; n++) {
          const first = NIBBLE * n;
          const count = Math.min(NIBBLE, sources.length - first);
          for (let lane = 0; lane < block; lane++) {
            const o = b * block + lane;
            if (o >= output.channels) break;
            let none = 0;
            values.fill(0);
            for (let j = 0; j < count; j++) {
              const { shift, weight } = sources[first + j]!;
              values[j] = weightOf(o, tap * channels + weight) * 2 ** shift;
              none -= values[j]!;
            }
            numbers[at + lane] = none;
            // Each entry is that without its lowest bit, in which a slice of -1 becomes one of +1.
            for (let entry = 1; entry < NOTHING; entry++)
              numbers[at + entry * block + lane] =
                numbers[at + (entry & (entry - 1)) * block + lane]! +
                2 * values[31 - Math.clz32(entry & -entry)]!;
          }
          at += (NOTHING + 1) * block;
        }
    const off = this.lanes === 8 ? INT16_MAX : INT32_MAX;
    for (let o = 0; o < this.blocks * block; o++)
      numbers[this.thresholds / bytes + o] = kernel.thresholds[o] ?? off;
    for (const [i, { offsets }] of this.parts.entries())
      u16.set(offsets, (this.lookups + LOOKUP_BYTES * i) / 2);
    const pixels = (input.height + padStart + padEnd) * this.pitch;
    u16.fill(NOTHING * ENTRY, this.index / 2, this.index / 2 + pixels * nibbles);
  }

  /** `image`: prepared, `[y][x][channel]`, in the engine's memory. */
  run(kernels: Kernels, _: Views, image: Uint8Array): void {
    const { shape, pitch, nibbles, output, masks, wordBytes } = this;
    this.indexImage(kernels, image.byteOffset);
    const { height, width, channels } = shape.output;
    const first = kernels[this.kernelName]!;
    const tableBytes = shape.kernel ** 2 * nibbles * TABLE;
    const step = 2 * nibbles * shape.stride;
    for (let b = 0; b < this.blocks; b++)
      for (let y = 0; y < height; y++)
        first(
          this.tables + b * tableBytes,
          this.thresholds + b * ENTRY,
          this.index + 2 * y * shape.stride * pitch * nibbles,
          width,
          shape.kernel * nibbles,
          shape.kernel,
          2 * pitch * nibbles,
          step,
          masks + ((b * this.block) / WORD) * wordBytes + 2 * y * width,
          wordBytes,
        );
    const group = this.outputGroup;
    for (let c = 0; c < channels; c += group) {
      const to = output.address + (c / group) * output.stride;
      kernels['plane']!(
        masks + Math.floor(c / WORD) * wordBytes,
        wordBytes,
        c % WORD,
        2 ** Math.min(group, channels - c) - 1,
        to,
        to + height * width,
      );
    }
  }

  /** Which table entry every pixel takes. */
  private indexImage(kernels: Kernels, image: number): void {
    const { shape, spec, pitch, nibbles } = this;
    const start = this.index + 2 * (shape.padStart * pitch + shape.padStart) * nibbles;
    let nibble = -1;
    for (const [i, { channel, continues }] of this.parts.entries()) {
      if (!continues) nibble++;
      kernels['index']!(
        image + channel,
        spec.channels,
        start + 2 * nibble,
        spec.width,
        spec.height,
        2 * nibbles,
        2 * pitch * nibbles,
        this.lookups + LOOKUP_BYTES * i,
        continues ? 0xffff : 0,
      );
    }
  }
}

/** Parts in the order of the nibbles, each as far as one channel goes. */
function nibbleParts(sources: readonly Source[]): Nibble[] {
  const parts: Nibble[] = [];
  for (let n = 0; n * NIBBLE < sources.length; n++) {
    const four = sources.slice(NIBBLE * n, NIBBLE * (n + 1)).map((source, j) => ({ ...source, j }));
    for (const [i, channel] of [...new Set(four.map((source) => source.channel))].entries()) {
      const own = four.filter((source) => source.channel === channel);
      const offsets = Uint16Array.from({ length: 256 }, (_, value) =>
        own.reduce((sum, { bit, j }) => sum + ((value >> bit) & 1) * 2 ** j * ENTRY, 0),
      );
      parts.push({ channel, offsets, continues: i > 0 });
    }
  }
  return parts;
}

export class FirstDense {
  readonly sums: Int32Array;
  private readonly rowBytes: number;
  private readonly values: number;
  private readonly weights: number;
  private readonly results: number;

  constructor(
    arena: Arena,
    private readonly shape: KernelShape,
    private readonly spec: InputSpec,
  ) {
    this.rowBytes = aligned(2 * shape.fanIn);
    this.values = arena.take(this.rowBytes);
    this.weights = arena.take(this.rowBytes * shape.output.channels);
    this.results = arena.take(4 * shape.output.channels);
    this.sums = new Int32Array(shape.output.channels);
  }

  prepare({ i16 }: Views, { weights }: KernelLayer): void {
    const { fanIn, output } = this.shape;
    const weightOf = weightReader(weights, fanIn);
    for (let o = 0; o < output.channels; o++)
      for (let i = 0; i < fanIn; i++) i16[(this.weights + o * this.rowBytes) / 2 + i] = weightOf(o, i);
  }

  /** Leaves its sums in `sums`; `image`: prepared, `[y][x][channel]`. */
  run(kernels: Kernels, { i16, i32 }: Views, image: Uint8Array): void {
    const { encoding, slices, shifts, channels } = this.spec;
    const { values, results, sums } = this;
    let to = values / 2;
    if (encoding === '8-bit') for (const value of image) i16[to++] = 2 * value - 255;
    else
      for (let pixel = 0; pixel < image.length; pixel += channels)
        for (const [i, { channel, bit }] of slices.entries())
          i16[to++] = (image[pixel + channel]! >> bit) & 1 ? 2 ** shifts[i]! : -(2 ** shifts[i]!);
    kernels['dot']!(values, this.rowBytes, this.weights, results, results + 4 * sums.length);
    sums.set(i32.subarray(results / 4, results / 4 + sums.length));
  }
}
