/** What the WebAssembly engine's layers left in its memory. */
import { modelShapes } from '../bounds.js';
import type { WasmEngine } from '../wasm/engine.js';
import type { Planes } from '../wasm/planes.js';

/** Bits of every hidden kernel layer after the last run, `[y][x][channel]`: to compare with the reference. */
export function wasmBits(engine: WasmEngine): Uint8Array[] {
  const shapes = modelShapes(engine.model);
  return (engine['layers'] as readonly { input: Planes }[]).map(({ input }, i) =>
    readPlanes(engine['views'].u8, input, shapes[i]!.output.channels),
  );
}

/** The bits of a map in planes, `[y][x][channel]`. */
function readPlanes(bytes: Uint8Array, planes: Planes, channels: number): Uint8Array {
  const { height, width, pitch, before, group, copies } = planes;
  const bits = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++) {
        // Of several copies, one in which this column is.
        const copy = copies === 1 ? 0 : Math.max(0, Math.min(copies - 1, x + before - (pitch - 1)));
        const column = x + before - copy;
        const at =
          planes.address +
          Math.floor(c / group) * planes.groupStride +
          copy * planes.copyStride +
          (y + before) * pitch +
          column;
        bits[(y * width + x) * channels + c] = (bytes[at]! >> (c % group)) & 1;
      }
  return bits;
}
