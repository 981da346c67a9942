/** Networks whose sums are real numbers, in evaluation mode: XNOR-Net and its variants, and pruned networks. */
import type { InputSpec, KernelShape } from '@cbnn/runtime';

/** How a layer multiplies; csrc/real/real.h has them in this order. */
export const realForms = ['real', 'binary', 'sparse'] as const;

export interface RealLayer {
  /**
   * `real`: float32 times float32; `binary`: +-alpha (one alpha for each output) times the signs of what the layer before hands
   * on; `sparse`: the weights that are not 0, all layers of the network alike.
   */
  readonly form: (typeof realForms)[number];
  /** `[output][ky][kx][channel]` */
  readonly weights: Float32Array;
  /** `[output]`: y = (sum after pooling - mean) * scale + beta */
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  readonly beta: Float32Array;
}

export interface RealNetwork {
  readonly input: InputSpec;
  readonly shapes: readonly KernelShape[];
  readonly layers: readonly RealLayer[];
  /** sums of binary layers are scaled by K, the mean magnitude of what was binarized in the window (XNOR-Net, equation 11) */
  readonly hasK: boolean;
}
