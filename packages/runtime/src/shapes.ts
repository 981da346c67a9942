/** Shapes that follow from a model's input and its layers: one walk, used by everything that needs a size. */
import { configError } from './errors.js';
import type { LayerSpec } from './model.js';

/** Height, width and channels of a feature map. */
export interface MapShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Values of a map, or bytes of an image. */
export const valuesOf = ({ height, width, channels }: MapShape): number => height * width * channels;

export interface KernelShape {
  readonly kind: 'conv' | 'dense';
  /** position in the list of kernel layers */
  readonly index: number;
  readonly input: MapShape;
  /** before pooling */
  readonly output: MapShape;
  /** pooling that follows, 1 when there is none */
  readonly pool: number;
  /** after pooling */
  readonly pooled: MapShape;
  readonly kernel: number;
  readonly stride: number;
  /** rows and columns of zeros before the first row and column */
  readonly padStart: number;
  /** rows and columns of zeros after the last row and column */
  readonly padEnd: number;
  /** weights per output: kernel * kernel * input channels (dense: all inputs) */
  readonly fanIn: number;
}

/**
 * Shapes of all kernel layers, each with the pooling that follows it.
 * 'same' pads (kernel - 1) zeros, the smaller half first; output = floor((size + pad - kernel) / stride) + 1.
 * Throws a config error when a map shrinks to nothing, pooling does not follow a convolution, or a convolution
 * follows a dense layer.
 */
export function kernelShapes(input: MapShape, layers: readonly LayerSpec[]): KernelShape[] {
  const shapes: KernelShape[] = [];
  let map = input;
  for (const [position, layer] of layers.entries()) {
    const name = `layer ${position + 1}`;
    const previous = shapes.at(-1);
    if (layer.kind === 'pool') {
      if (previous?.kind !== 'conv' || layers[position - 1]?.kind !== 'conv')
        throw configError(`${name}: MP${layer.size} must directly follow a convolution`);
      const pooled = {
        height: Math.floor(map.height / layer.size),
        width: Math.floor(map.width / layer.size),
        channels: map.channels,
      };
      if (pooled.height < 1 || pooled.width < 1)
        throw configError(
          `${name}: MP${layer.size} leaves nothing of a ${map.height}x${map.width} map; remove it`,
        );
      shapes[shapes.length - 1] = { ...previous, pool: layer.size, pooled };
      map = pooled;
    } else if (layer.kind === 'conv') {
      if (previous?.kind === 'dense') throw configError(`${name}: a convolution cannot follow a dense layer`);
      const pad = layer.padding === 'same' ? layer.kernel - 1 : 0;
      const padStart = pad >> 1;
      const side = (size: number) => Math.floor((size + pad - layer.kernel) / layer.stride) + 1;
      const output = { height: side(map.height), width: side(map.width), channels: layer.channels };
      if (output.height < 1 || output.width < 1)
        throw configError(
          `${name}: a ${layer.kernel}x${layer.kernel} kernel does not fit a ${map.height}x${map.width} map`,
        );
      shapes.push({
        kind: 'conv',
        index: shapes.length,
        input: map,
        output,
        pool: 1,
        pooled: output,
        kernel: layer.kernel,
        stride: layer.stride,
        padStart,
        padEnd: pad - padStart,
        fanIn: layer.kernel * layer.kernel * map.channels,
      });
      map = output;
    } else {
      const output = { height: 1, width: 1, channels: layer.units };
      shapes.push({
        kind: 'dense',
        index: shapes.length,
        input: map,
        output,
        pool: 1,
        pooled: output,
        kernel: 1,
        stride: 1,
        padStart: 0,
        padEnd: 0,
        fanIn: valuesOf(map),
      });
      map = output;
    }
  }
  if (shapes.at(-1)?.kind !== 'dense')
    throw configError('architecture: the last layer must be dense (one unit per class), e.g. `10FC`');
  return shapes;
}

/** Products that an image takes. */
export const productsOf = (shapes: readonly KernelShape[]): number =>
  shapes.reduce((sum, { output, fanIn }) => sum + valuesOf(output) * fanIn, 0);
