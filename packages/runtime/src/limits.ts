/**
 * The largest model this format holds. They are far above anything a binary network needs; what they buy is that
 * every size below fits an int32 or a double exactly, and that a hostile file cannot ask for absurd memory.
 */
export const limits = {
  /** pixels, each side of an image */
  side: 4096,
  /** channels of an image */
  imageChannels: 64,
  /** layers, pooling included */
  layers: 64,
  /** output channels of a convolution, units of a dense layer */
  channels: 65_536,
  /** weights of all layers together */
  weights: 2 ** 31,
  /** values of one feature map, before pooling; the input's slices are one too */
  mapValues: 2 ** 28,
  /** |sum| and |score| */
  integer: 2 ** 31 - 1,
  kernel: 7,
  stride: 4,
  pool: 4,
  shift: 7,
} as const;

/** Memory of an engine with a model in it at most: more than any compact network needs, and little enough for a phone to refuse gracefully. */
export const MOST_BYTES = 2 ** 29;
