/** Model files to be refused, or run alike by every engine. */
import { modelShapes } from '../bounds.js';
import { CbnnError } from '../errors.js';
import type { PackedModel } from '../model.js';
import { decodeModel, encodeModel } from '../model-file.js';
import { decodeSafetensors, encodeSafetensors, type Tensor } from '../safetensors.js';
import { sha256 } from '../sha256.js';
import { productsOf } from '../shapes.js';
import { Dice, randomModel } from './random-model.js';

/** Accepted forgeries that would take long are not run. */
export const MOST_MACS = 2_000_000;

export const macsOf = (model: PackedModel): number => productsOf(modelShapes(model));

const WORDS = [
  ...['0', '1', '-1', '7', '8', '63', '65536', '4294967295', '9007199254740993', '1e9', '0.5', '-0'],
  ...['null', 'true', '""', '[]', '{}', '"MP2"', '"128C3"', ',', '"__proto__":1,'],
];

/** `text` with a few tokens replaced, removed or put in twice. */
function mangle(text: string, roll: (sides: number) => number): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|-?[\d.e]+|[A-Za-z]+|[^\s]/g) ?? [];
  for (let i = 0; i <= roll(3); i++) {
    const at = roll(tokens.length);
    const word = roll(2) === 0 ? WORDS[roll(WORDS.length)]! : tokens[roll(tokens.length)]!;
    tokens.splice(at, roll(3) === 0 ? 0 : 1, ...(roll(4) === 0 ? [] : [word]));
  }
  return tokens.join('');
}

/** A file of `model` that was damaged, or forged with a checksum that is right; `roll(sides)` is a die. */
function hostile(model: PackedModel, roll: (sides: number) => number): Uint8Array {
  const file = encodeModel(model);
  if (roll(4) === 0) {
    const cut = file.slice(0, roll(3) === 0 ? roll(file.length) : file.length);
    for (let i = 0; i <= roll(4) && cut.length > 0; i++) cut[roll(cut.length)] = roll(256);
    return cut;
  }
  const { tensors, metadata } = decodeSafetensors(file);
  const changed = new Map(
    [...tensors].map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() } as Tensor]),
  );
  for (const { data } of changed.values())
    if (roll(4) === 0 && data.length > 0)
      data[roll(data.length)] = roll(2) === 0 ? roll(256) : -roll(2 ** 31);
  const text = metadata['cbnn']!.replace(/,"sha256":"[0-9a-f]{64}"\}$/, '}');
  const covered = `${(roll(4) === 0 ? text : mangle(text, roll)).slice(0, -1)},"sha256":"`;
  const plain = encodeSafetensors(changed, {});
  const data = plain.subarray(8 + new DataView(plain.buffer).getUint32(0, true));
  const digits = sha256(new TextEncoder().encode(covered), data);
  return encodeSafetensors(changed, { cbnn: `${covered}${digits}"}` });
}

/** A hostile file that is accepted all the same, and an image for it; null where it is refused with a model error. */
export function hostileCase(
  seed: number,
): { readonly model: PackedModel; readonly image: Uint8Array } | null {
  const dice = new Dice(seed);
  const roll = (sides: number) => dice.range(0, sides - 1);
  const bytes = hostile(randomModel(seed % 500, { maxMacs: 20_000 }), roll);
  try {
    const model = decodeModel(bytes);
    const { height, width, channels } = model.input;
    return { model, image: Uint8Array.from({ length: height * width * channels }, () => roll(256)) };
  } catch (error) {
    if (error instanceof CbnnError && error.kind === 'model') return null;
    throw new Error(`seed ${seed}`, { cause: error });
  }
}
