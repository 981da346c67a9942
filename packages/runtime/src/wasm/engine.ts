/**
 * The WebAssembly engine: bit-equal to the reference engine, a few hundred times as fast. Its module is emitted for one
 * model (kernels.ts), its memory is laid out once (memory.ts), and an image then passes through the layers in place.
 */
import { modelShapes } from '../bounds.js';
import { configError } from '../errors.js';
import { MOST_BYTES } from '../limits.js';
import type { PackedModel } from '../model.js';
import { prepareInto } from '../prepare.js';
import { valuesOf } from '../shapes.js';
import { checkPixels } from '../slices.js';
import { countCost, faster } from './choose.js';
import { CountedConv } from './counted-conv.js';
import { compareFunction, countFunction, gatherFunction, spreadFunction } from './counting-kernels.js';
import { DenseLayer, thresholdBits } from './dense.js';
import { type WasmFunction, wasmModule } from './emitter.js';
import { FirstConvolution, FirstDense } from './first-layer.js';
import {
  copyFunction,
  dotFunction,
  firstLayerFunction,
  GROUP,
  indexFunction,
  planeFunction,
  pool2Function,
  poolFunction,
  TILE,
} from './kernels.js';
import { LookupConv, tableBytes } from './lookup-conv.js';
import { Arena, type Kernels, notValidated, Views } from './memory.js';
import { BYTE_GROUP, place, reserveScratch } from './planes.js';

/** A cost at which convolutions are looked up where that fits. */
const LOOKED_UP = Number.POSITIVE_INFINITY;

/** Why this model cannot run here; null when it can, where WebAssembly with SIMD is there. */
export function wasmRefusal(model: PackedModel): string | null {
  const { bytes } = layOut(model, LOOKED_UP).arena;
  return bytes > MOST_BYTES ? `it needs ${bytes} bytes of memory, more than ${MOST_BYTES}` : null;
}

/** Where everything of a model lies, not yet in any memory, when a count costs as much as `cost` lookups. */
function layOut(model: PackedModel, cost: number) {
  const arena = new Arena();
  const shapes = modelShapes(model);
  const [firstShape, ...others] = shapes;
  const kinds = others.map((shape) => (shape.kind === 'conv' ? faster(shape, cost) : 'dense'));
  const groupFor = (index: number) => (kinds[index] === 'looked-up' ? GROUP : BYTE_GROUP);
  const image = arena.take(valuesOf(model.input));
  const tables = arena.take(tableBytes);
  const lookedUp = others.map(({ output }, i) => (kinds[i] === 'looked-up' ? output.channels : 1));
  const sums = arena.take(2 * TILE * Math.max(1, ...lookedUp));
  const scratch = reserveScratch(arena, shapes);
  const first =
    firstShape!.kind === 'conv'
      ? new FirstConvolution(arena, firstShape!, model.input, groupFor(0), model.kernels[0]!)
      : new FirstDense(arena, firstShape!, model.input);
  const layers = others.map((shape, i) => {
    if (kinds[i] === 'dense') return new DenseLayer(arena, shape);
    return kinds[i] === 'counted'
      ? new CountedConv(arena, shape, groupFor(shape.index))
      : new LookupConv(arena, shape, groupFor(shape.index), tables, sums);
  });
  return { arena, image, scratch, first, layers };
}

type Layer = LookupConv | CountedConv | DenseLayer;

export interface WasmOptions {
  /** what a count costs, in lookups, where that is known: another engine's; measured where it is not. choose.ts says what it decides */
  readonly cost?: number;
}

export class WasmEngine {
  private constructor(
    readonly model: PackedModel,
    private readonly first: FirstConvolution | FirstDense,
    private readonly layers: readonly Layer[],
    private readonly kernels: Kernels,
    private readonly views: Views,
    private readonly scratch: number,
    private readonly image: Uint8Array,
    /** what a count cost, in lookups, when its convolutions were chosen */
    readonly cost: number,
  ) {}

  /** Throws a config error where `wasmRefusal` has a reason, or WebAssembly one of its own. */
  static async create(model: PackedModel, { cost: known }: WasmOptions = {}): Promise<WasmEngine> {
    const refusal = wasmRefusal(model);
    if (refusal) throw configError(`engine wasm: ${refusal}`);
    const ofBits = modelShapes(model).filter(({ index, kind }) => index > 0 && kind === 'conv');
    const cost = known ?? (await countCost(ofBits));
    const chosen = layOut(model, cost);
    const { arena, image, scratch, first, layers } =
      chosen.arena.bytes > MOST_BYTES ? layOut(model, LOOKED_UP) : chosen;
    const functions = new Map<string, WasmFunction>(
      [
        copyFunction(),
        pool2Function(),
        poolFunction(),
        planeFunction(),
        indexFunction(),
        countFunction(),
        spreadFunction(),
        gatherFunction(),
        compareFunction(),
        dotFunction(),
        firstLayerFunction('first-8', 8),
        firstLayerFunction('first-4', 4),
        ...layers.flatMap((layer) => (layer instanceof LookupConv ? layer.functions : [])),
      ].map((one) => [one.name, one]),
    );
    const memory = new WebAssembly.Memory({ initial: arena.pages, maximum: arena.pages });
    // Compiled on another thread meanwhile.
    const compiled = WebAssembly.instantiate(wasmModule([...functions.values()]), { env: { memory } });
    const views = new Views(memory.buffer);
    first.prepare(views, model.kernels[0]!);
    for (const [i, layer] of layers.entries()) layer.prepare(views, model.kernels[i + 1]!);
    const { instance } = await compiled;
    return new WasmEngine(
      model,
      first,
      layers,
      instance.exports as unknown as Kernels,
      views,
      scratch,
      views.u8.subarray(image, image + valuesOf(model.input)),
      cost,
    );
  }

  /**
   * Scores of one image, uint8 `[height][width][channel]`, into `scores`: raw, or `prepared` already. Throws a data error
   * for another size.
   */
  run(
    pixels: Uint8Array,
    scores: Int32Array,
    { prepared = false }: { readonly prepared?: boolean } = {},
  ): void {
    const { model, first, layers, kernels, views } = this;
    checkPixels(pixels, model.input);
    prepareInto(pixels, prepared ? null : model.input, this.image);
    first.run(kernels, views, this.image);
    let source: FirstConvolution | FirstDense | Layer = first;
    for (const [i, layer] of layers.entries()) {
      const hidden = model.kernels[i]!;
      if ('output' in source) place(kernels, source.output, layer.input, this.scratch);
      else if (hidden.output === 'bits') {
        const { address, groups } = layer.input;
        thresholdBits(source.sums, hidden.thresholds, views.u8.subarray(address, address + groups));
      }
      layer.run(kernels, views);
      source = layer;
    }
    const last = model.kernels.at(-1)!;
    if ('output' in source || last.output !== 'scores') throw notValidated();
    for (let c = 0; c < last.scale.length; c++) scores[c] = source.sums[c]! * last.scale[c]! + last.bias[c]!;
  }

  /** int32 scores `[count][classes]` of `count` images, one behind the other. */
  runAll(pixels: Uint8Array, count: number, options: { readonly prepared?: boolean } = {}): Int32Array {
    const { input, classes } = this.model;
    const size = valuesOf(input);
    const scores = new Int32Array(count * classes.length);
    for (let n = 0; n < count; n++)
      this.run(
        pixels.subarray(n * size, (n + 1) * size),
        scores.subarray(n * classes.length, (n + 1) * classes.length),
        options,
      );
    return scores;
  }
}
