/**
 * The paper's notation for networks, read and written.
 *
 *     128C3-128C3-MP2-256C3-MP2-1024FC-10FC
 *
 * `128C3`  a convolution: 128 output channels, 3x3 kernel, stride 1, 'same' padding.
 *          Suffixes (ours): `S2` = stride 2, `V` = 'valid' padding, in this order: `64C5S2V`.
 * `MP2`    max pooling over 2x2 windows.
 * `1024FC` a dense layer with 1024 units.
 *
 * Every list of layers has exactly one spelling, the one `formatArchitecture` writes, except that `S1` may be said.
 * Whether the layers fit together and fit an image is not a matter of notation: shapes.ts checks that.
 */
import { configError } from './errors.js';
import { limits } from './limits.js';
import type { LayerSpec } from './model.js';

const LEGAL =
  'a convolution like `128C3` (suffixes: `S2` = stride 2, `V` = valid padding), pooling like `MP2`, or a dense layer like `1024FC`';

/** Reads `128C3-MP2-10FC`. Throws a config error that names the token and says what is legal. */
export function parseArchitecture(notation: string): LayerSpec[] {
  if (notation === '')
    throw configError(`architecture: expected layers joined by \`-\`, got nothing; write ${LEGAL}`);
  const layers = notation.split('-').map(parseLayer);
  if (layers.length > limits.layers)
    throw configError(`architecture: expected at most ${limits.layers} layers, got ${layers.length}`);
  return layers;
}

/** The notation of `layers`; `parseArchitecture` reads it back to an equal list. */
export function formatArchitecture(layers: readonly LayerSpec[]): string {
  return layers.map(formatLayer).join('-');
}

/** Width multipliers: of all convolutions, and of all dense layers but the last. */
export interface WidthMultipliers {
  readonly conv: number;
  readonly dense: number;
}

/**
 * The same network with its widths multiplied and rounded to the nearest integer >= 1, or, from `multiple` up, to the
 * nearest multiple of it. The last dense layer has one unit per class and is never scaled.
 */
export function scaleArchitecture(
  layers: readonly LayerSpec[],
  widths: WidthMultipliers,
  multiple = 1,
): LayerSpec[] {
  for (const [name, factor] of Object.entries(widths))
    if (!(Number.isFinite(factor) && factor > 0))
      throw configError(`width: expected a multiplier above 0 for ${name} layers, got ${factor}`);
  const scaled = (width: number, factor: number, token: string) => {
    const step = factor === 1 || width * factor < multiple ? 1 : multiple;
    const rounded = Math.max(1, step * Math.round((width * factor) / step));
    const result = factor < 1 ? Math.min(width, rounded) : rounded;
    if (result > limits.channels)
      throw configError(
        `width: ${token} times ${factor} is ${result}, more than ${limits.channels}; use a smaller multiplier`,
      );
    return result;
  };
  const last = layers.findLastIndex((layer) => layer.kind === 'dense');
  return layers.map((layer, i) => {
    if (layer.kind === 'conv')
      return { ...layer, channels: scaled(layer.channels, widths.conv, formatLayer(layer)) };
    if (layer.kind === 'dense' && i !== last)
      return { ...layer, units: scaled(layer.units, widths.dense, formatLayer(layer)) };
    return layer;
  });
}

function formatLayer(layer: LayerSpec): string {
  if (layer.kind === 'pool') return `MP${layer.size}`;
  if (layer.kind === 'dense') return `${layer.units}FC`;
  const stride = layer.stride === 1 ? '' : `S${layer.stride}`;
  return `${layer.channels}C${layer.kernel}${stride}${layer.padding === 'valid' ? 'V' : ''}`;
}

const CONV = /^([1-9]\d*)C(\d+)(?:S(\d+))?(V?)$/;
const POOL = /^MP(\d+)$/;
const DENSE = /^([1-9]\d*)FC$/;

function parseLayer(token: string, position: number): LayerSpec {
  const name = `architecture: layer ${position + 1}, \`${token}\``;
  const within = (what: string, digits: string, low: number, high: number) => {
    const value = Number(digits);
    if (!(value >= low && value <= high))
      throw configError(`${name}: expected ${what} of ${low}..${high}, got ${digits}`);
    return value;
  };
  const conv = CONV.exec(token);
  if (conv)
    return {
      kind: 'conv',
      channels: within('a number of channels', conv[1]!, 1, limits.channels),
      kernel: within('a kernel size', conv[2]!, 1, limits.kernel),
      stride: within('a stride', conv[3] ?? '1', 1, limits.stride),
      padding: conv[4] === 'V' ? 'valid' : 'same',
    };
  const pool = POOL.exec(token);
  if (pool) return { kind: 'pool', size: within('a pooling size', pool[1]!, 2, limits.pool) };
  const dense = DENSE.exec(token);
  if (dense) return { kind: 'dense', units: within('a number of units', dense[1]!, 1, limits.channels) };

  const plain = token.trim().toUpperCase();
  const close = plain !== token && [CONV, POOL, DENSE].some((pattern) => pattern.test(plain));
  throw configError(`${name}: ${close ? `did you mean \`${plain}\`?` : `expected ${LEGAL}`}`);
}
