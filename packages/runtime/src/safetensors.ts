/**
 * Safetensors: named tensors in one file that Netron, Python and others open.
 *
 *     u64 N        length of the header, little endian
 *     N bytes      JSON: {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}, ...},
 *                  padded with spaces so that the data start at a multiple of 8
 *     the rest     the data: row-major, little endian, offsets counted from here; no holes, no overlaps
 *
 * As holes are forbidden, the encoder puts larger elements first: every tensor is then aligned to its element size.
 * The same tensors in the same order give the same bytes. The decoder trusts nothing: every claim of the header is
 * checked against the file before anything is allocated for it. It assumes a little-endian machine, as does every
 * browser and every port of Node in use.
 *
 * Source: https://github.com/huggingface/safetensors (README and the Rust crate's rules). Left out: the dtypes that
 * have no typed array (BOOL, F16, BF16, F8, the 64-bit integers).
 */
import { CbnnError, internalError, modelError } from './errors.js';

/** A tensor: row-major data, `shape` in elements. */
export type Tensor =
  | { readonly dtype: 'U8'; readonly shape: readonly number[]; readonly data: Uint8Array }
  | { readonly dtype: 'I8'; readonly shape: readonly number[]; readonly data: Int8Array }
  | { readonly dtype: 'U16'; readonly shape: readonly number[]; readonly data: Uint16Array }
  | { readonly dtype: 'I16'; readonly shape: readonly number[]; readonly data: Int16Array }
  | { readonly dtype: 'U32'; readonly shape: readonly number[]; readonly data: Uint32Array }
  | { readonly dtype: 'I32'; readonly shape: readonly number[]; readonly data: Int32Array }
  | { readonly dtype: 'F32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'F64'; readonly shape: readonly number[]; readonly data: Float64Array };

export type Dtype = Tensor['dtype'];

export interface SafetensorsFile {
  /** in the order of their data */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The official limit of a header's length in bytes. */
const MAX_HEADER = 100_000_000;
const PREFIX = 8;
/** header, tensor, list of numbers */
const HEADER_DEPTH = 3;
const METADATA = '__metadata__';

const ARRAYS = {
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  F64: Float64Array,
} as const;

const isDtype = (value: unknown): value is Dtype => typeof value === 'string' && Object.hasOwn(ARRAYS, value);

/** Where the data begin in a file that `decodeSafetensors` accepts. */
export function dataStart(bytes: Uint8Array): number {
  return PREFIX + headerLength(bytes);
}

/** One file's bytes. Throws an internal error for tensors whose data do not fill their shape. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const entries = [...tensors].sort(
    ([, a], [, b]) => ARRAYS[b.dtype].BYTES_PER_ELEMENT - ARRAYS[a.dtype].BYTES_PER_ELEMENT,
  );
  const members: string[] = [];
  if (Object.keys(metadata).length > 0) members.push(`"${METADATA}":${JSON.stringify(metadata)}`);
  let end = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    const count = shape.reduce((product, size) => product * size, 1);
    if (
      name === METADATA ||
      count !== data.length ||
      data.BYTES_PER_ELEMENT !== ARRAYS[dtype].BYTES_PER_ELEMENT
    )
      throw internalError(
        `tensor \`${name}\`: expected ${count} values for ${dtype} [${shape.join(', ')}], got ${data.length}`,
      );
    const begin = end;
    end += data.byteLength;
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }

  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER)
    throw internalError(`safetensors: expected a header of at most ${MAX_HEADER} bytes, got ${length}`);
  const bytes = new Uint8Array(PREFIX + length + end);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes.set(json, PREFIX);
  bytes.fill(0x20, PREFIX + json.length, PREFIX + length);
  let at = PREFIX + length;
  for (const [, { data }] of entries) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/**
 * The tensors of a file. Their data are views of `bytes` where the alignment allows it and copies elsewhere, so
 * treat them as read-only. Throws a model error that says what is wrong and where.
 */
export function decodeSafetensors(bytes: Uint8Array): SafetensorsFile {
  const start = dataStart(bytes);
  const header = parseHeader(bytes.subarray(PREFIX, start));
  const metadata = readMetadata(header[METADATA]);
  const claims = Object.entries(header)
    .filter(([name]) => name !== METADATA)
    .map(([name, value]) => readClaim(name, value));

  // In order of their data, the tensors must touch one another and the end of the file.
  claims.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const claim of claims) {
    if (claim.begin !== end)
      throw modelError(
        `${claim.where}: expected data from offset ${end}, got ${claim.begin}; the data must have no holes and no overlaps`,
      );
    end = claim.end;
  }
  const size = bytes.length - start;
  if (end !== size)
    throw modelError(
      `safetensors: expected ${end} bytes of data from byte ${start}, got ${size}; the file is ${end > size ? 'cut short' : 'too long'}`,
    );

  const tensors = new Map<string, Tensor>();
  for (const claim of claims) tensors.set(claim.name, readTensor(bytes, start, claim));
  return { tensors, metadata };
}

function headerLength(bytes: Uint8Array): number {
  if (bytes.length < PREFIX)
    throw modelError(
      `safetensors: expected at least ${PREFIX} bytes, got ${bytes.length}; the file is cut short`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, PREFIX);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > MAX_HEADER)
    throw modelError(
      `safetensors: expected a header of at most ${MAX_HEADER} bytes, got ${length}; not a model file`,
    );
  if (length > bytes.length - PREFIX)
    throw modelError(
      `safetensors: expected a header of ${length} bytes from byte ${PREFIX}, got ${bytes.length - PREFIX}; the file is cut short`,
    );
  return length;
}

function parseHeader(header: Uint8Array): Record<string, unknown> {
  const where = `safetensors: header at byte ${PREFIX}`;
  if (header[0] !== 0x7b)
    throw modelError(`${where}: expected JSON that begins with \`{\`; not a model file`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch (cause) {
    throw new CbnnError('model', `${where}: expected UTF-8, got something else; the file is damaged`, {
      cause,
    });
  }
  const { colons, depth } = scanJson(text);
  if (depth > HEADER_DEPTH)
    throw modelError(
      `${where}: expected at most ${HEADER_DEPTH} levels of JSON, got ${depth}; not a model file`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CbnnError('model', `${where}: expected JSON, got something else; the file is damaged`, {
      cause,
    });
  }
  if (!isRecord(value)) throw modelError(`${where}: expected a JSON object; the file is damaged`);
  if (countKeys(value) !== colons)
    throw modelError(`${where}: expected every name once, got one twice; the file is damaged`);
  return value;
}

/** Keys of all objects in `value`; `JSON.parse` has dropped the ones said twice. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const child of Object.values(value)) count += countKeys(child);
  return count;
}

/** Of what lies outside strings: the colons (one for every key, said twice or not) and the deepest nesting. */
function scanJson(json: string): { colons: number; depth: number } {
  let colons = 0;
  let level = 0;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const c = json[i];
    if (c === '"') inString = !inString;
    else if (c === '\\') i++;
    else if (inString) continue;
    else if (c === ':') colons++;
    else if (c === '{' || c === '[') depth = Math.max(depth, ++level);
    else if (c === '}' || c === ']') level--;
  }
  return { colons, depth };
}

/** What the header says about one tensor; every number checked on its own. */
interface Claim {
  readonly name: string;
  readonly where: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function readClaim(name: string, value: unknown): Claim {
  const where = `tensor ${quote(name)}`;
  if (!isRecord(value)) throw modelError(`${where}: expected an object with dtype, shape and data_offsets`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype))
    throw modelError(`${where}: expected a dtype of ${Object.keys(ARRAYS).join(', ')}, got ${quote(dtype)}`);
  if (!isCountList(shape))
    throw modelError(`${where}: expected a shape of non-negative integers, got ${quote(shape)}`);
  let size = ARRAYS[dtype].BYTES_PER_ELEMENT;
  for (const side of shape) {
    size *= side;
    if (!Number.isSafeInteger(size))
      throw modelError(`${where}: expected a shape that fits in memory, got ${quote(shape)}`);
  }
  if (!isCountList(offsets) || offsets.length !== 2)
    throw modelError(`${where}: expected data_offsets [begin, end], got ${quote(offsets)}`);
  const begin = offsets[0]!;
  const end = offsets[1]!;
  if (end - begin !== size)
    throw modelError(
      `${where}: expected ${size} bytes for ${dtype} ${quote(shape)}, got offsets ${begin} to ${end}`,
    );
  return { name, where, dtype, shape, begin, end };
}

function readMetadata(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isStringRecord(value)) throw modelError(`safetensors: ${METADATA}: expected an object of texts`);
  return value;
}

function readTensor(bytes: Uint8Array, start: number, { dtype, shape, begin, end }: Claim): Tensor {
  const from = bytes.byteOffset + start + begin;
  const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
  const length = (end - begin) / size;
  const aligned = from % size === 0;
  const buffer = aligned ? bytes.buffer : bytes.slice(start + begin, start + end).buffer;
  const at = aligned ? from : 0;
  return { dtype, shape, data: new ARRAYS[dtype](buffer as ArrayBuffer, at, length) } as Tensor;
}

/** A value as JSON, shortened: a hostile name must not fill the screen. */
function quote(value: unknown): string {
  const json = JSON.stringify(value) ?? 'nothing';
  return json.length > 80 ? `${json.slice(0, 80)}...` : json;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isStringRecord = (value: unknown): value is Record<string, string> =>
  isRecord(value) && Object.values(value).every((text) => typeof text === 'string');

const isCountList = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
