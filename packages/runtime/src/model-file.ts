/**
 * A packed model as one safetensors file; docs/model-format.md is the specification.
 *
 * Kernel layer K (counted from 0, pooling not counted) has the tensors
 *     layers.K.weights      I8 [outputs, kernel y, kernel x, inputs] (dense: [outputs, inputs]), or
 *                           U8 [outputs, ceil(fan-in / 8)]: bits, least significant first, each row padded with zeros
 *     layers.K.thresholds   I16, or I32 where one does not fit, [outputs]; all layers but the last
 *     layers.K.scale, .bias I32 [outputs]; the last layer
 * Everything else is one JSON text, the metadata entry `cbnn`. Its last member is the checksum, so that the text
 * ends with `"sha256":"<64 digits>"}`. It is the SHA-256 of that text up to the digits, followed by all of the
 * file's data.
 */
import { formatArchitecture, parseArchitecture } from './architecture.js';
import { rowBytes } from './bits.js';
import { modelShapes } from './bounds.js';
import { codeNames, type InputCode } from './codes.js';
import { CbnnError, modelError } from './errors.js';
import type { InputSpec, KernelLayer, LayerSpec, PackedModel, Provenance, Weights } from './model.js';
import { dataStart, decodeSafetensors, encodeSafetensors, type Tensor } from './safetensors.js';
import { sha256, sha256Async } from './sha256.js';
import type { KernelShape } from './shapes.js';
import { checkStructure, validateModel } from './validate.js';

/**
 * The newest version that is read. It is raised when an engine for the old one would compute something else from a new file; a
 * file is written in the oldest version that can say what is in it.
 */
export const MODEL_FORMAT_VERSION = 2;

const KEY = 'cbnn';
const DIGITS = 64;
const NO_CHECKSUM = '0'.repeat(DIGITS);

/** The file of a valid model; the same model gives the same bytes. Throws a model error for an invalid one. */
export function encodeModel(model: PackedModel): Uint8Array<ArrayBuffer> {
  validateModel(model);
  const tensors = new Map<string, Tensor>();
  for (const shape of modelShapes(model)) addTensors(tensors, shape, model.kernels[shape.index]!);

  // The checksum covers the data, whose place does not depend on its digits: write once without, once with it.
  const blank = describe(model, NO_CHECKSUM);
  const file = encodeSafetensors(tensors, { [KEY]: blank });
  return encodeSafetensors(tensors, { [KEY]: describe(model, sha256(covered(blank, file))) });
}

/**
 * Reads and checks a file. The model shares no memory with `bytes`. Throws a model error that says what is wrong
 * and where.
 */
export function decodeModel(bytes: Uint8Array): PackedModel {
  const file = openFile(bytes);
  return readModel(file, sha256(file.covered));
}

/** The same with the platform's SHA-256, where it has one; `bytes` stay as they are until then. */
export async function decodeModelAsync(bytes: Uint8Array): Promise<PackedModel> {
  const file = openFile(bytes);
  return readModel(file, await sha256Async(file.covered));
}

/** A file of a version that can be read, and what its checksum is of. */
function openFile(bytes: Uint8Array) {
  const { tensors, metadata } = decodeSafetensors(bytes);
  const text = Object.hasOwn(metadata, KEY) ? metadata[KEY] : undefined;
  if (text === undefined) throw modelError(`model: expected metadata \`${KEY}\`, got none; not a cbnn model`);
  const json = parseJson(text);
  const version = json.number('formatVersion');
  if (!(Number.isInteger(version) && version >= 1 && version <= MODEL_FORMAT_VERSION))
    throw modelError(
      `model: expected format version 1 to ${MODEL_FORMAT_VERSION}, got ${version}; use the version of cbnn that wrote it`,
    );
  return { tensors, json, version, stated: json.text('sha256'), covered: covered(text, bytes) };
}

type OpenFile = ReturnType<typeof openFile>;

function readModel({ tensors, json, version, stated }: OpenFile, found: string): PackedModel {
  if (stated !== found)
    throw modelError(`model: expected SHA-256 ${stated}, got ${found}; the file is damaged`);

  const input = readInput(json.object('input'), version);
  const layers = readArchitecture(json.text('architecture'));
  const classes = json.list('classes', isText, 'texts');
  const provenance = readProvenance(json.object('provenance'));
  const shapes = checkStructure({ input, layers, classes });
  const unused = new Map(tensors);
  const kernels = shapes.map((shape) => readKernel(unused, shape, shape.index === shapes.length - 1));
  for (const name of unused.keys())
    throw modelError(`model: expected no tensor \`${name.slice(0, 80)}\` in ${json.text('architecture')}`);
  checkOrder(tensors);
  const model: PackedModel = { input, layers, kernels, classes, provenance };
  validateModel(model);
  return model;
}

/**
 * The checksum does not cover the tensor table, so two tensors of one type could have exchanged their names. In the one
 * order that a writer uses they cannot. `tensors` are in the order of their data.
 */
function checkOrder(tensors: ReadonlyMap<string, Tensor>): void {
  const parts = ['weights', 'thresholds', 'scale', 'bias'];
  const rank = ([name, { data }]: [string, Tensor]): number[] => {
    const [, layer, part] = name.split('.');
    return [-data.BYTES_PER_ELEMENT, Number(layer), parts.indexOf(part!)];
  };
  const compare = (a: [string, Tensor], b: [string, Tensor]): number => {
    const other = rank(b);
    return (
      rank(a)
        .map((value, i) => value - other[i]!)
        .find((difference) => difference !== 0) ?? 0
    );
  };
  const expected = [...tensors].sort(compare);
  for (const [i, name] of [...tensors.keys()].entries())
    if (name !== expected[i]![0])
      throw modelError(
        `model: expected the data of \`${expected[i]![0]}\` before those of \`${name}\`; the file is damaged`,
      );
}

/** What the checksum is of: a `cbnn` text up to its digits, then the file's data. */
function covered(text: string, file: Uint8Array): Uint8Array<ArrayBuffer> {
  const ending = `"sha256":"${'.'.repeat(DIGITS)}"}`;
  if (!/"sha256":"[0-9a-f]{64}"\}$/.test(text.slice(-ending.length)))
    throw modelError(`model: expected metadata \`${KEY}\` to end with its SHA-256; the file is damaged`);
  const first = new TextEncoder().encode(text.slice(0, -(DIGITS + 2)));
  const data = file.subarray(dataStart(file));
  const all = new Uint8Array(first.length + data.length);
  all.set(first);
  all.set(data, first.length);
  return all;
}

/** The `cbnn` text. Members are named one by one: their order is part of what the checksum covers. */
function describe({ input, layers, classes, provenance }: PackedModel, sha256: string): string {
  const { height, width, channels, encoding, code, slices, shifts, stretch } = input;
  const { technique, recipe, dataset, epochs, seed, validationError, testError } = provenance;
  return JSON.stringify({
    formatVersion: code === undefined ? 1 : 2,
    architecture: formatArchitecture(layers),
    input: {
      height,
      width,
      channels,
      encoding,
      code,
      slices: slices.map(({ channel, bit }) => [channel, bit]),
      shifts,
      stretch: stretch && { low: stretch.low, high: stretch.high },
    },
    classes,
    provenance: { technique, recipe, dataset, epochs, seed, validationError, testError },
    sha256,
  });
}

function weightsShape(shape: KernelShape, type: Weights['type']): number[] {
  const outputs = shape.output.channels;
  if (type === 'binary') return [outputs, rowBytes(shape.fanIn)];
  return shape.kind === 'dense'
    ? [outputs, shape.fanIn]
    : [outputs, shape.kernel, shape.kernel, shape.input.channels];
}

function addTensors(tensors: Map<string, Tensor>, shape: KernelShape, kernel: KernelLayer): void {
  const name = `layers.${shape.index}`;
  const { weights } = kernel;
  const sides = weightsShape(shape, weights.type);
  tensors.set(
    `${name}.weights`,
    weights.type === 'integer'
      ? { dtype: 'I8', shape: sides, data: weights.values }
      : { dtype: 'U8', shape: sides, data: weights.bits },
  );
  const outputs = [shape.output.channels];
  if (kernel.output === 'bits') {
    const narrow = Int16Array.from(kernel.thresholds);
    const fits = kernel.thresholds.every((threshold, c) => threshold === narrow[c]);
    tensors.set(
      `${name}.thresholds`,
      fits
        ? { dtype: 'I16', shape: outputs, data: narrow }
        : { dtype: 'I32', shape: outputs, data: kernel.thresholds },
    );
  } else {
    tensors.set(`${name}.scale`, { dtype: 'I32', shape: outputs, data: kernel.scale });
    tensors.set(`${name}.bias`, { dtype: 'I32', shape: outputs, data: kernel.bias });
  }
}

/** Takes the tensors of one layer out of `tensors`, which keeps those nobody asked for. */
function readKernel(tensors: Map<string, Tensor>, shape: KernelShape, last: boolean): KernelLayer {
  const take = (part: string) => {
    const name = `layers.${shape.index}.${part}`;
    const tensor = tensors.get(name);
    if (!tensor) throw modelError(`model: expected tensor \`${name}\`, got none`);
    tensors.delete(name);
    return tensor;
  };
  const wrong = (part: string, expected: string, { dtype, shape: sides }: Tensor) =>
    modelError(`layers.${shape.index}.${part}: expected ${expected}, got ${dtype} [${sides.join(', ')}]`);
  const isShape = ({ shape: sides }: Tensor, expected: readonly number[]) =>
    sides.length === expected.length && sides.every((side, i) => side === expected[i]);

  const weightsOf = (): Weights => {
    const tensor = take('weights');
    const integer = weightsShape(shape, 'integer');
    const binary = weightsShape(shape, 'binary');
    if (tensor.dtype === 'I8' && isShape(tensor, integer))
      return { type: 'integer', values: tensor.data.slice() };
    if (tensor.dtype === 'U8' && isShape(tensor, binary))
      return { type: 'binary', bits: tensor.data.slice() };
    throw wrong(
      'weights',
      `U8 [${binary.join(', ')}]${shape.index === 0 ? ` or I8 [${integer.join(', ')}]` : ''}`,
      tensor,
    );
  };
  const integersOf = (part: string, narrow: boolean): Int32Array => {
    const tensor = take(part);
    const outputs = shape.output.channels;
    const typed = tensor.dtype === 'I32' || (narrow && tensor.dtype === 'I16');
    if (typed && isShape(tensor, [outputs])) return Int32Array.from(tensor.data);
    throw wrong(part, `${narrow ? 'I16 or I32' : 'I32'} [${outputs}]`, tensor);
  };
  const weights = weightsOf();
  if (!last) return { weights, output: 'bits', thresholds: integersOf('thresholds', true) };
  return { weights, output: 'scores', scale: integersOf('scale', false), bias: integersOf('bias', false) };
}

function readArchitecture(notation: string): LayerSpec[] {
  try {
    return parseArchitecture(notation);
  } catch (cause) {
    if (cause instanceof CbnnError) throw new CbnnError('model', cause.message, { cause });
    throw cause;
  }
}

function readInput(json: JsonObject, version: number): InputSpec {
  const encoding = json.text('encoding');
  if (encoding !== 'bit-slices' && encoding !== '8-bit')
    throw modelError(`input: expected encoding bit-slices or 8-bit, got ${encoding.slice(0, 80)}`);
  const code = readCode(json, version);
  const stretch = json.isNull('stretch') ? null : json.object('stretch');
  return {
    height: json.number('height'),
    width: json.number('width'),
    channels: json.number('channels'),
    encoding,
    ...(code && { code }),
    slices: json.list('slices', isPair, 'pairs [channel, bit]').map(([channel, bit]) => ({ channel, bit })),
    shifts: json.list('shifts', isNumber, 'numbers'),
    stretch: stretch && { low: stretch.number('low'), high: stretch.number('high') },
  };
}

/** Version 1 knew no other than plain binary. */
function readCode(json: JsonObject, version: number): InputCode | null {
  const name = version < 2 ? 'binary' : json.text('code');
  if (name === 'binary') return null;
  const code = codeNames.find((known) => known === name);
  if (!code)
    throw modelError(`input: expected code binary, ${codeNames.join(' or ')}, got ${name.slice(0, 80)}`);
  return code;
}

function readProvenance(json: JsonObject): Provenance {
  return {
    technique: json.text('technique'),
    recipe: json.text('recipe'),
    dataset: json.text('dataset'),
    epochs: json.number('epochs'),
    seed: json.number('seed'),
    ...(json.has('validationError') && { validationError: json.number('validationError') }),
    ...(json.has('testError') && { testError: json.number('testError') }),
  };
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown): value is number => typeof value === 'number';
const isPair = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every(isNumber);

function parseJson(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CbnnError('model', `model: expected JSON as metadata \`${KEY}\`; the file is damaged`, {
      cause,
    });
  }
  return new JsonObject(KEY, value);
}

/** An object of unknown JSON whose members are asked for by type. */
class JsonObject {
  private readonly members: ReadonlyMap<string, unknown>;

  constructor(
    private readonly name: string,
    value: unknown,
  ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.wrong(null, 'an object');
    this.members = new Map(Object.entries(value));
  }

  has(key: string): boolean {
    return this.members.has(key);
  }

  isNull(key: string): boolean {
    return this.members.get(key) === null;
  }

  number(key: string): number {
    return this.typed(key, isNumber, 'a number');
  }

  text(key: string): string {
    return this.typed(key, isText, 'a text');
  }

  object(key: string): JsonObject {
    return new JsonObject(`${this.name}.${key}`, this.members.get(key));
  }

  list<Item>(key: string, isItem: (value: unknown) => value is Item, items: string): Item[] {
    const isList = (value: unknown): value is Item[] => Array.isArray(value) && value.every(isItem);
    return this.typed(key, isList, `a list of ${items}`);
  }

  private typed<Value>(key: string, isValue: (value: unknown) => value is Value, expected: string): Value {
    const value = this.members.get(key);
    if (!isValue(value)) throw this.wrong(key, expected);
    return value;
  }

  private wrong(key: string | null, expected: string): CbnnError {
    return modelError(`model: ${this.name}${key === null ? '' : `.${key}`}: expected ${expected}`);
  }
}
