/**
 * The packed model in memory: what docs/model-format.md specifies, and what every engine runs.
 *
 * Vocabulary. A *slice* is bit b of the code of one input channel (b = 0 is the least significant); bit 1 means +1,
 * bit 0 means -1. A *sum* is the integer a layer computes before its threshold. A *threshold* T turns a sum
 * into the next layer's bit: sum >= T. *Kernel layers* are convolutions and dense layers; pooling layers carry
 * no data.
 */
import type { InputCode } from './codes.js';

/** Bit `bit` (0 = least significant .. 7) of the code of input channel `channel`. */
export interface Slice {
  readonly channel: number;
  readonly bit: number;
}

/**
 * Per-image contrast stretch: percentiles (integers, 0..100) of the image's own histogram over all of its values.
 * stretch.ts has the formula.
 */
export interface Stretch {
  readonly low: number;
  readonly high: number;
}

export interface InputSpec {
  /** pixels; images are uint8 `[height][width][channels]` */
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /**
   * `bit-slices`: the first layer sees `slices.length` channels of +-1.
   * `8-bit`: it sees `channels` channels of 2x - 255 (x = the pixel, 0..255).
   */
  readonly encoding: 'bit-slices' | '8-bit';
  /** what a (stretched) value becomes before its bits are slices (codes.ts); absent: it stays, in plain binary */
  readonly code?: InputCode;
  /** kept slices, sorted channel-major, least significant first; empty for `8-bit` */
  readonly slices: readonly Slice[];
  /** left shift of each kept slice's product (0..7), one per slice; empty for `8-bit` */
  readonly shifts: readonly number[];
  readonly stretch: Stretch | null;
}

/** One layer of the paper's notation, e.g. `128C3`, `MP2`, `1024FC`. */
export type LayerSpec =
  | {
      readonly kind: 'conv';
      /** output channels */
      readonly channels: number;
      /** kernel height and width, 1..7 */
      readonly kernel: number;
      /** 1..4 */
      readonly stride: number;
      readonly padding: 'same' | 'valid';
    }
  /** max pooling over size x size windows with stride `size`; what does not fill a window is dropped */
  | { readonly kind: 'pool'; readonly size: number }
  | { readonly kind: 'dense'; readonly units: number };

/** Weights of one kernel layer, in the order `[outputs][kernel y][kernel x][inputs]` (dense: `[outputs][inputs]`). */
export type Weights =
  /** -127..127 each; first layer only */
  | { readonly type: 'integer'; readonly values: Int8Array }
  /**
   * One bit per weight, 1 = +1. Each output's row is packed on its own, least significant bit first, and padded
   * with zero bits to a whole byte: `[outputs][ceil(taps * inputs / 8)]`.
   */
  | { readonly type: 'binary'; readonly bits: Uint8Array };

/** What one kernel layer holds: weights, and either thresholds (hidden) or an affine output (last layer). */
export type KernelLayer =
  | { readonly weights: Weights; readonly output: 'bits'; readonly thresholds: Int32Array }
  /** score = sum * scale + bias in int32 */
  | {
      readonly weights: Weights;
      readonly output: 'scores';
      readonly scale: Int32Array;
      readonly bias: Int32Array;
    };

/** How a model came to be; free of anything an engine needs. */
export interface Provenance {
  readonly technique: string;
  readonly recipe: string;
  readonly dataset: string;
  readonly epochs: number;
  readonly seed: number;
  /** error rates in percent, measured on this packed model */
  readonly validationError?: number;
  readonly testError?: number;
}

export interface PackedModel {
  readonly input: InputSpec;
  /** all layers, pooling included, in order; the last one is the dense output layer */
  readonly layers: readonly LayerSpec[];
  /** one entry per convolution or dense layer of `layers`, in order */
  readonly kernels: readonly KernelLayer[];
  readonly classes: readonly string[];
  readonly provenance: Provenance;
}
