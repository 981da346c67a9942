/** Every engine against the reference engine: all hidden bits, layer by layer, and all scores. */
import { expect } from 'vitest';
import type { PackedModel } from '../model.js';
import { runReference } from '../reference.js';
import { WasmEngine } from '../wasm/engine.js';

export async function compareEngines(model: PackedModel, images: readonly Uint8Array[]): Promise<void> {
  const engine = await WasmEngine.create(model);
  const scores = new Int32Array(model.classes.length);
  for (const image of images) {
    const expected = runReference(model, image);
    engine.run(image, scores);
    for (const [k, bits] of engine.hiddenBits().entries())
      expect(Buffer.compare(bits, expected.trace[k]!.bits), `bits of layer ${k + 1}`).toBe(0);
    expect([...scores]).toEqual([...expected.scores]);
  }
}
