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

const DTYPES = ['U8', 'I8', 'U16', 'I16', 'U32', 'I32', 'F32', 'F64', 'BOOL', 'toString'];

/**
 * `file` with a header that lies: tensors over one another, with holes, of other types, shapes or names, or a length that is not
 * its own. The checksum covers the model's own text and the data, so it is right all the same.
 */
function lying(file: Uint8Array, roll: (sides: number) => number): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset);
  const start = 8 + view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  const anyOf = <T>(list: readonly T[]): T => list[roll(list.length)]!;
  const number = () => anyOf([0, 1, 2, -1, 0.5, roll(64), roll(file.length), 2 ** 31, 2 ** 53, 1e300]);
  for (let i = 0; i <= roll(2); i++) {
    const [claim, other] = [header[anyOf(names)], header[anyOf(names)]];
    if (!claim || !other) continue;
    const lies = [
      () => Object.assign(claim, { data_offsets: [...other.data_offsets] }),
      () => Object.assign(claim.data_offsets, { [roll(2)]: number() }),
      () => Object.assign(claim, { data_offsets: claim.data_offsets.map((at: number) => at + roll(17) - 8) }),
      () => Object.assign(claim, { dtype: anyOf(DTYPES) }),
      () =>
        Object.assign(claim, {
          shape: anyOf([[], other.shape, [...claim.shape, 1], [...claim.shape].reverse()]),
        }),
      () => Object.assign(claim.shape, { [roll(claim.shape.length)]: number() }),
      () => delete header[anyOf(names)],
      () => Object.assign(header, { [anyOf(['layers.0.weights', 'layers.99.bias', 'x'])]: { ...claim } }),
    ];
    anyOf(lies)();
  }
  const text = new TextEncoder().encode(JSON.stringify(header).padEnd(start - 8));
  const forged = new Uint8Array(8 + text.length + file.length - start);
  const length = new DataView(forged.buffer);
  length.setUint32(0, roll(6) === 0 ? number() : text.length, true);
  if (roll(12) === 0) length.setUint32(4, number(), true);
  forged.set(text, 8);
  forged.set(file.subarray(start), 8 + text.length);
  return forged;
}

/** A file of `model` that was damaged, or forged with a checksum that is right; `roll(sides)` is a die. */
function hostile(model: PackedModel, roll: (sides: number) => number): Uint8Array {
  const file = encodeModel(model);
  if (roll(4) === 0) return lying(file, roll);
  if (roll(3) === 0) {
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
  const digits = sha256(Buffer.concat([Buffer.from(covered), data]));
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
