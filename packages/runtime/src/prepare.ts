/**
 * From an image to the bytes whose bits are slices: each value stretched (stretch.ts), then coded (codes.ts). Both are maps of
 * bytes, so one table an image does them together, and a model without either has no pass of its own.
 */
import { codeTable } from './codes.js';
import { internalError } from './errors.js';
import type { InputSpec } from './model.js';
import { stretchMap } from './stretch.js';

/** What of a model's input decides how its images are prepared. */
export type Preparation = Pick<InputSpec, 'stretch' | 'code'>;

/** `pixels` (one image, any layout) as a new array. */
export const prepareImage = (pixels: Uint8Array, input: Preparation): Uint8Array =>
  prepareInto(pixels, input, new Uint8Array(pixels.length));

/** Prepares one image into `out`, which may be `pixels` itself, and returns `out`; null copies what is prepared already. */
export function prepareInto<Out extends Uint8Array>(
  pixels: Uint8Array,
  input: Preparation | null,
  out: Out,
): Out {
  if (out.length !== pixels.length)
    throw internalError(`prepare: expected room for ${pixels.length} values, got ${out.length}`);
  const map = input && pixels.length > 0 ? preparedValues(pixels, input) : null;
  if (map) for (let i = 0; i < pixels.length; i++) out[i] = map[pixels[i]!]!;
  else if (out !== (pixels as Uint8Array)) out.set(pixels);
  return out;
}

/** What each of the 256 values becomes; null when nothing changes. */
function preparedValues(pixels: Uint8Array, { stretch, code }: Preparation): Uint8Array | null {
  const stretched = stretch && stretchMap(pixels, stretch);
  if (!code) return stretched;
  const coded = codeTable(code);
  return stretched ? stretched.map((value) => coded[value]!) : coded;
}
