/**
 * Every rule of docs/model-format.md that a packed model in memory can break. Engines rely on all of them: a model
 * that passes needs no further check, no sum or score of it leaves int32, and nothing it asks for is absurd.
 */

import { rowBytes } from './bits.js';
import { layerBound, modelShapes } from './bounds.js';
import { codeNames } from './codes.js';
import { CbnnError, modelError } from './errors.js';
import { limits } from './limits.js';
import type { InputSpec, KernelLayer, LayerSpec, PackedModel, Provenance } from './model.js';
import { type KernelShape, valuesOf } from './shapes.js';
import { compareSlices } from './slices.js';

/** Throws a model error that names the first rule `model` breaks. */
export function validateModel(model: PackedModel): void {
  const shapes = checkStructure(model);
  if (model.kernels.length !== shapes.length)
    throw modelError(`model: expected ${shapes.length} kernel layers, got ${model.kernels.length}`);
  for (const [k, shape] of shapes.entries())
    checkKernel(model.input, shape, model.kernels[k]!, k === shapes.length - 1);
  checkProvenance(model.provenance);
}

/** The rules that need no weights: input, layers, classes. Returns the shapes of the kernel layers. */
export function checkStructure(model: Pick<PackedModel, 'input' | 'layers' | 'classes'>): KernelShape[] {
  checkInput(model.input);
  checkLayers(model.layers);
  const shapes = shapesOf(model);

  for (const shape of shapes)
    for (const [what, map] of [
      ['input', shape.input],
      ['output', shape.output],
    ] as const)
      if (valuesOf(map) > limits.mapValues)
        throw modelError(
          `layers.${shape.index}: expected an ${what} of at most ${limits.mapValues} values, got ${valuesOf(map)}`,
        );
  const weights = shapes.reduce((sum, shape) => sum + shape.fanIn * shape.output.channels, 0);
  if (weights > limits.weights)
    throw modelError(`model: expected at most ${limits.weights} weights, got ${weights}`);

  const units = shapes.at(-1)!.output.channels;
  if (model.classes.length !== units)
    throw modelError(
      `classes: expected ${units} names, one per unit of the last layer, got ${model.classes.length}`,
    );
  for (const name of model.classes)
    if (typeof name !== 'string') throw modelError(`classes: expected names, got ${String(name)}`);
  return shapes;
}

function checkInput(input: InputSpec): void {
  const { height, width, channels, encoding, code, slices, shifts, stretch } = input;
  checkInteger('input: height', height, 1, limits.side);
  checkInteger('input: width', width, 1, limits.side);
  checkInteger('input: channels', channels, 1, limits.imageChannels);
  if (encoding === '8-bit') {
    if (slices.length > 0 || shifts.length > 0)
      throw modelError(
        `input: expected no slices and no shifts with 8-bit encoding, got ${slices.length} and ${shifts.length}`,
      );
    if (code !== undefined)
      throw modelError(`input: expected no code with 8-bit encoding, got ${String(code)}`);
  } else if (encoding === 'bit-slices') {
    if (slices.length === 0) throw modelError('input: expected at least one slice, got none');
    if (shifts.length !== slices.length)
      throw modelError(`input: expected ${slices.length} shifts, one per slice, got ${shifts.length}`);
  } else throw modelError(`input: expected encoding bit-slices or 8-bit, got ${String(encoding)}`);
  if (code !== undefined && !codeNames.includes(code))
    throw modelError(`input: expected code ${codeNames.join(' or ')}, or none, got ${String(code)}`);

  for (const [i, slice] of slices.entries()) {
    checkInteger(`slice ${i}: channel`, slice.channel, 0, channels - 1);
    checkInteger(`slice ${i}: bit`, slice.bit, 0, 7);
    if (i > 0 && compareSlices(slices[i - 1]!, slice) >= 0)
      throw modelError(`slice ${i}: expected slices in order (channel, then bit), each once`);
  }
  for (const [i, shift] of shifts.entries()) checkInteger(`shift ${i}`, shift, 0, limits.shift);
  if (stretch !== null) {
    checkInteger('stretch: low', stretch.low, 0, 99);
    checkInteger('stretch: high', stretch.high, 1, 100);
    if (stretch.low >= stretch.high)
      throw modelError(`stretch: expected low below high, got ${stretch.low} and ${stretch.high}`);
  }
}

function checkLayers(layers: readonly LayerSpec[]): void {
  checkInteger('model: number of layers', layers.length, 1, limits.layers);
  for (const [i, layer] of layers.entries()) {
    const name = `layer ${i + 1}`;
    if (layer.kind === 'conv') {
      checkInteger(`${name}: channels`, layer.channels, 1, limits.channels);
      checkInteger(`${name}: kernel`, layer.kernel, 1, limits.kernel);
      checkInteger(`${name}: stride`, layer.stride, 1, limits.stride);
      if (layer.padding !== 'same' && layer.padding !== 'valid')
        throw modelError(`${name}: expected padding same or valid, got ${String(layer.padding)}`);
    } else if (layer.kind === 'pool') checkInteger(`${name}: pooling size`, layer.size, 2, limits.pool);
    else checkInteger(`${name}: units`, layer.units, 1, limits.channels);
  }
}

/** Layers that do not fit together are the file's fault here, not an option's. */
function shapesOf(model: Pick<PackedModel, 'input' | 'layers'>): KernelShape[] {
  try {
    return modelShapes(model);
  } catch (cause) {
    if (cause instanceof CbnnError) throw new CbnnError('model', cause.message, { cause });
    throw cause;
  }
}

function checkKernel(input: InputSpec, shape: KernelShape, kernel: KernelLayer, last: boolean): void {
  const name = `layers.${shape.index}`;
  const outputs = shape.output.channels;
  checkWeights(name, shape, kernel);
  const bound = layerBound(input, shape, kernel.weights);
  // One below the limit, so that bound + 1, the threshold of a unit that is always off, is an int32 too.
  if (bound >= limits.integer) throw modelError(`${name}: expected sums below 2^31 - 1, got up to ${bound}`);

  if (kernel.output !== (last ? 'scores' : 'bits'))
    throw modelError(`${name}: expected ${last ? 'scores' : 'bits'} as its output, got ${kernel.output}`);
  if (kernel.output === 'bits') {
    checkLength(`${name}.thresholds`, kernel.thresholds, outputs);
    for (const threshold of kernel.thresholds)
      if (threshold < -bound || threshold > bound + 1)
        throw modelError(`${name}.thresholds: expected values of ${-bound}..${bound + 1}, got ${threshold}`);
    return;
  }
  checkLength(`${name}.scale`, kernel.scale, outputs);
  checkLength(`${name}.bias`, kernel.bias, outputs);
  for (let c = 0; c < outputs; c++) {
    const largest = bound * Math.abs(kernel.scale[c]!) + Math.abs(kernel.bias[c]!);
    if (largest > limits.integer)
      throw modelError(
        `${name}: expected scores below 2^31, got up to ${largest} for class ${c}; use a smaller scale`,
      );
  }
}

function checkWeights(name: string, shape: KernelShape, { weights }: KernelLayer): void {
  const outputs = shape.output.channels;
  if (weights.type === 'integer') {
    if (shape.index > 0)
      throw modelError(`${name}.weights: expected binary weights after the first layer, got integers`);
    checkLength(`${name}.weights`, weights.values, outputs * shape.fanIn);
    if (weights.values.includes(-128))
      throw modelError(`${name}.weights: expected values of -127..127, got -128`);
    return;
  }
  const stride = rowBytes(shape.fanIn);
  checkLength(`${name}.weights`, weights.bits, outputs * stride);
  const used = shape.fanIn % 8;
  if (used === 0) return;
  for (let row = 0; row < outputs; row++)
    if (weights.bits[(row + 1) * stride - 1]! >> used !== 0)
      throw modelError(
        `${name}.weights: expected zero bits after the ${shape.fanIn} weights of output ${row}, got a one`,
      );
}

function checkProvenance(provenance: Provenance): void {
  for (const key of ['technique', 'recipe', 'dataset'] as const)
    if (typeof provenance[key] !== 'string')
      throw modelError(`provenance: expected a text as ${key}, got ${String(provenance[key])}`);
  checkInteger('provenance: epochs', provenance.epochs, 0, Number.MAX_SAFE_INTEGER);
  checkInteger('provenance: seed', provenance.seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  for (const key of ['validationError', 'testError'] as const) {
    const error = provenance[key];
    if (error !== undefined && !(typeof error === 'number' && error >= 0 && error <= 100))
      throw modelError(`provenance: expected ${key} in percent, 0..100, got ${String(error)}`);
  }
}

function checkInteger(name: string, value: number, low: number, high: number): void {
  if (!(Number.isInteger(value) && value >= low && value <= high))
    throw modelError(`${name}: expected an integer of ${low}..${high}, got ${String(value)}`);
}

function checkLength(name: string, values: { readonly length: number }, expected: number): void {
  if (values.length !== expected)
    throw modelError(`${name}: expected ${expected} values, got ${values.length}`);
}
