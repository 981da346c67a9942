/**
 * The WebGPU engine: the whole network on the GPU, images in, scores out, bit-equal to the reference engine. Each run is one
 * submission and one reading, so it is meant for batches.
 */
import { readBits, rowBytes } from '../bits.js';
import { modelShapes } from '../bounds.js';
import { configError, dataError, internalError } from '../errors.js';
import { MOST_BYTES } from '../limits.js';
import type { KernelLayer, PackedModel } from '../model.js';
import { prepareInto } from '../prepare.js';
import type { KernelShape } from '../shapes.js';
import { BLOCK, blocksOf, layerShader, perTapOf, wordsOf, workgroups } from './shaders.js';

// Numbers of the WebGPU specification, which Node has no globals for.
const MAP_READ = 0x01;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;
const STORAGE = 0x80;

/**
 * Images of one submission. On a large GPU 256 take 0.018 ms each where 32 take 0.037, and 1,024 hardly less
 * (docs/results).
 */
const MOST_IMAGES = 256;

interface Layer {
  readonly pipeline: GPUComputePipeline;
  readonly bindings: GPUBindGroup;
  readonly shape: KernelShape;
  readonly out: GPUBuffer;
}

export class WebGpuEngine {
  private constructor(
    private readonly model: PackedModel,
    private readonly device: GPUDevice,
    private readonly images: GPUBuffer,
    private readonly layers: readonly Layer[],
    /** of one submission */
    private readonly most: number,
    /** e.g. `SwiftShader driver 5.0.0` */
    readonly adapter: string,
  ) {}

  /**
   * `images`: of one submission at most; buffers are made for so many, or for as many as the adapter allows. Throws a config
   * error where `gpu` has no adapter, or its limits are below what the model needs.
   */
  static async create(
    model: PackedModel,
    gpu: GPU,
    { images: wanted = MOST_IMAGES }: { readonly images?: number } = {},
  ): Promise<WebGpuEngine> {
    const adapter = await gpu.requestAdapter();
    if (!adapter) throw configError('engine webgpu: no adapter was found here');
    const { maxStorageBufferBindingSize: most, maxBufferSize } = adapter.limits;
    const device = await adapter.requestDevice({
      requiredLimits: { maxStorageBufferBindingSize: most, maxBufferSize },
    });
    const { height, width, channels } = model.input;
    const shapes = modelShapes(model);
    // Bytes of the buffers of one image, and blocks of one dispatch for it.
    const sizes = [height * width * channels, ...shapes.map(outBytes)];
    const blocks = Math.max(...shapes.map(blocksOf));
    const left = MOST_BYTES - sum(shapes.map((shape) => weightBytes(shape) + 8 * shape.output.channels));
    if (left < sum(sizes))
      throw configError(
        `engine webgpu: it needs ${MOST_BYTES - left + sum(sizes)} bytes of memory, more than ${MOST_BYTES}`,
      );
    const { maxComputeWorkgroupsPerDimension: dispatches } = device.limits;
    const fit = Math.min(left / sum(sizes), most / Math.max(...sizes), dispatches / blocks);
    const count = Math.max(1, Math.min(wanted, Math.floor(fit)));
    const buffer = (name: string, bytes: number, usage: number): GPUBuffer => {
      if (bytes > most)
        throw configError(`engine webgpu: ${name} needs ${bytes} bytes, more than this adapter's ${most}`);
      return device.createBuffer({ size: Math.max(4, 4 * Math.ceil(bytes / 4)), usage });
    };
    const filled = (
      name: string,
      bytes: number,
      data: () => Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>,
    ) => {
      const made = buffer(name, bytes, STORAGE | COPY_DST);
      device.queue.writeBuffer(made, 0, data());
      return made;
    };
    // Without it, a lack of memory would show at the first image.
    device.pushErrorScope('out-of-memory');
    try {
      const images = buffer('the images', count * height * width * channels, STORAGE | COPY_DST);
      const layers: Layer[] = [];
      let source = images;
      for (const [k, shape] of shapes.entries()) {
        const name = `layer ${k + 1}`;
        const kernel = model.kernels[k]!;
        const isLast = kernel.output === 'scores';
        const out = buffer(name, count * outBytes(shape, k, shapes), STORAGE | COPY_SRC);
        const code = layerShader(shape, model.input, isLast);
        const pipeline = await device.createComputePipelineAsync({
          layout: 'auto',
          compute: { module: device.createShaderModule({ code }), entryPoint: 'main' },
        });
        const weights = filled(`the weights of ${name}`, weightBytes(shape), () =>
          weightWords(kernel, shape),
        );
        const limits = filled(`the thresholds of ${name}`, 8 * shape.output.channels, () =>
          limitNumbers(kernel),
        );
        const bindings = device.createBindGroup({
          layout: pipeline.getBindGroupLayout(0),
          entries: [source, weights, limits, out].map((one, binding) => ({
            binding,
            resource: { buffer: one },
          })),
        });
        layers.push({ pipeline, bindings, shape, out });
        source = out;
      }
      const lacking = await device.popErrorScope();
      if (lacking) throw configError(`engine webgpu: ${lacking.message}`);
      const { description, vendor } = adapter.info;
      return new WebGpuEngine(
        model,
        device,
        images,
        layers,
        count,
        description || vendor || 'an adapter without a name',
      );
    } catch (error) {
      device.destroy();
      throw error;
    }
  }

  /** int32 scores `[count][classes]` of `count` images, uint8 `[height][width][channel]` one behind the other. */
  async run(
    pixels: Uint8Array,
    count: number,
    { prepared = false }: { readonly prepared?: boolean } = {},
  ): Promise<Int32Array> {
    const { input } = this.model;
    const size = input.height * input.width * input.channels;
    if (pixels.length !== count * size)
      throw dataError(`images: expected ${count} of ${size} bytes, got ${pixels.length} bytes`);
    const classes = this.model.classes.length;
    const scores = new Int32Array(count * classes);
    for (let start = 0; start < count; start += this.most) {
      const images = Math.min(this.most, count - start);
      const part = new Uint8Array(4 * Math.ceil((images * size) / 4));
      for (let n = 0; n < images; n++)
        prepareInto(
          pixels.subarray((start + n) * size, (start + n + 1) * size),
          prepared ? null : input,
          part.subarray(n * size, (n + 1) * size),
        );
      this.device.queue.writeBuffer(this.images, 0, part);
      const words = await this.submit(images, this.layers.length - 1, images * classes);
      scores.set(new Int32Array(words.buffer), start * classes);
    }
    return scores;
  }

  /** Bits of every hidden layer for the first image of the last `run`, `[y][x][channel]`: to compare with the reference. */
  async hiddenBits(): Promise<Uint8Array[]> {
    const all: Uint8Array[] = [];
    for (const [k, { shape }] of this.layers.slice(0, -1).entries()) {
      const { height, width, channels } = shape.pooled;
      const perPixel = wordsOf(channels);
      const words = await this.submit(0, k, height * width * perPixel);
      all.push(
        Uint8Array.from({ length: height * width * channels }, (_, i) => {
          const c = i % channels;
          return (words[Math.floor(i / channels) * perPixel + Math.floor(c / BLOCK)]! >>> (c % BLOCK)) & 1;
        }),
      );
    }
    return all;
  }

  close(): void {
    this.device.destroy();
  }

  /** Runs all layers on the images that are there (none: as they were left), and reads the first words of layer `k`'s output. */
  private async submit(images: number, k: number, words: number): Promise<Uint32Array> {
    const { device } = this;
    // Without these, an invalid command or a lack of memory would leave zeros, and no error.
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const encoder = device.createCommandEncoder();
    if (images > 0)
      for (const { pipeline, bindings, shape } of this.layers) {
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindings);
        pass.dispatchWorkgroups(...workgroups(shape, images));
        pass.end();
      }
    const read = device.createBuffer({
      size: 4 * words,
      usage: MAP_READ | COPY_DST,
    });
    encoder.copyBufferToBuffer(this.layers[k]!.out, 0, read, 0, 4 * words);
    device.queue.submit([encoder.finish()]);
    const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    for (const error of errors)
      if (error) throw internalError(`engine webgpu: ${error.message}; please report it with the model`);
    await read.mapAsync(MAP_READ);
    const copy = new Uint32Array(read.getMappedRange().slice(0));
    read.destroy();
    return copy;
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** Bytes of a layer's output for one image: words of bits, or scores. */
const outBytes = (
  { kind, index, output, pooled }: KernelShape,
  _: number,
  all: readonly KernelShape[],
): number =>
  kind === 'dense' && index === all.length - 1
    ? 4 * output.channels
    : 4 * pooled.height * pooled.width * wordsOf(output.channels);

/** Bytes of `weightWords`. */
const weightBytes = (shape: KernelShape): number =>
  4 * blocksOf(shape) * BLOCK * (shape.fanIn / shape.input.channels) * perTapOf(shape);

/** Weights as the shaders read them, outputs of a block side by side: words of bits, or int32 values of the first layer. */
function weightWords({ weights }: KernelLayer, shape: KernelShape): Uint32Array<ArrayBuffer> {
  const { index, input, output, fanIn } = shape;
  const isFirst = index === 0;
  if (!isFirst && weights.type !== 'binary')
    throw configError('engine webgpu: hidden layers have binary weights');
  const perTap = perTapOf(shape);
  const taps = fanIn / input.channels;
  const words = new Uint32Array(weightBytes(shape) / 4);
  for (let o = 0; o < output.channels; o++)
    for (let i = 0; i < fanIn; i++) {
      const [tap, c] = [Math.floor(i / input.channels), i % input.channels];
      const one = isFirst ? c : Math.floor(c / BLOCK);
      const at = ((Math.floor(o / BLOCK) * taps + tap) * perTap + one) * BLOCK + (o % BLOCK);
      const bit = weights.type === 'binary' ? readBits(weights.bits, o * rowBytes(fanIn), i, 1) : 0;
      if (!isFirst) words[at]! |= bit << (c % BLOCK);
      else words[at] = weights.type === 'integer' ? weights.values[o * fanIn + i]! : 2 * bit - 1;
    }
  return words;
}

const limitNumbers = (kernel: KernelLayer): Int32Array<ArrayBuffer> =>
  kernel.output === 'bits'
    ? Int32Array.from(kernel.thresholds)
    : Int32Array.from({ length: 2 * kernel.scale.length }, (_, i) =>
        i % 2 === 0 ? kernel.scale[i / 2]! : kernel.bias[(i - 1) / 2]!,
      );
