/** Engines of the CPU against the reference engine: all hidden bits, layer by layer, and all scores. */
import { NativeEngine, type NativeOptions, nativeKernels } from '@cbnn/native';
import { expect } from 'vitest';
import type { PackedModel } from '../model.js';
import { runReference } from '../reference.js';
import { WasmEngine, type WasmOptions, wasmRefusal } from '../wasm/engine.js';
import { wasmBits } from './wasm-bits.js';

/** What an engine must have to be compared. */
export interface Engine {
  run(pixels: Uint8Array, scores: Int32Array): void;
  hiddenBits(): Uint8Array[];
}

/** Ways of WebAssembly's convolutions: all in one, where it is possible, and each as it is chosen. */
const CONVOLUTIONS: readonly [string, WasmOptions][] = [
  ['looked up', { cost: Number.POSITIVE_INFINITY }],
  ['counted', { cost: 0 }],
  ['chosen', {}],
];

/** The native engine on an instruction set, in every way that something can be computed in there. */
export function nativeEngines(model: PackedModel, kernels: string): [name: string, engine: NativeEngine][] {
  const ways: readonly NativeOptions[] =
    kernels === 'avx512'
      ? [{ firstLayer: 'tables' }, { firstLayer: 'permutations' }]
      : [{ convolutions: 'looked-up' }, { convolutions: 'counted' }];
  return ways.map((way) => [
    `native ${kernels}, ${Object.values(way)}`,
    NativeEngine.create(model, { kernels, ...way }),
  ]);
}

/** WebAssembly's where it takes the model, its convolutions in each way, and the native one on every instruction set. */
export async function compareEngines(model: PackedModel, images: readonly Uint8Array[]): Promise<void> {
  const engines: [string, Engine][] = nativeKernels().flatMap((kernels) => nativeEngines(model, kernels));
  if (wasmRefusal(model) === null)
    for (const [convolutions, options] of CONVOLUTIONS)
      engines.push([`wasm, ${convolutions}`, await openWasm(model, options)]);
  expectAlike(model, images, engines);
}

async function openWasm(model: PackedModel, options: WasmOptions): Promise<Engine> {
  const wasm = await WasmEngine.create(model, options);
  return {
    run: (pixels, scores) => wasm.run(pixels, scores),
    hiddenBits: () => wasmBits(wasm),
  };
}

/** Engines with `model` in them, by name, against the reference engine. */
export function expectAlike(
  model: PackedModel,
  images: readonly Uint8Array[],
  engines: readonly (readonly [string, Engine])[],
): void {
  const scores = new Int32Array(model.classes.length);
  for (const image of images) {
    const expected = runReference(model, image);
    for (const [name, engine] of engines) {
      engine.run(image, scores);
      for (const [k, bits] of engine.hiddenBits().entries())
        expect(Buffer.compare(bits, expected.trace[k]!.bits), `${name}: bits of layer ${k + 1}`).toBe(0);
      expect([...scores], name).toEqual([...expected.scores]);
    }
  }
}
