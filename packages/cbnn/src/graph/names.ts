/** Names of a graph's inputs and outputs beside the parameters' own. */
export const names = {
  images: 'images',
  targets: 'targets',
  rate: { binary: 'rate.binary', float: 'rate.float' },
  /** share of all steps that have been done */
  progress: 'progress',
  loss: 'loss',
  scores: 'scores',
  mean: (layer: number): string => `layers.${layer}.mean`,
  variance: (layer: number): string => `layers.${layer}.variance`,
  /** 1 / sqrt(variance + epsilon) */
  inverse: (layer: number): string => `layers.${layer}.inverse`,
  /** gamma * inverse */
  scale: (layer: number): string => `layers.${layer}.scale`,
  /** weights that a layer multiplies with */
  quantized: (layer: number): string => `layers.${layer}.quantized`,
  sums: (layer: number): string => `layers.${layer}.sums`,
  /** what signs of activations are drawn with, of steps that are not the graph's */
  noise: (layer: number): string => `layers.${layer}.noise`,
  activations: (layer: number): string => `layers.${layer}.activations`,
  gradient: (parameter: string): string => `gradient.${parameter}`,
  next: (tensor: string): string => `next.${tensor}`,
  /** whether a tensor of the state is only there to continue training */
  isTraining: (tensor: string): boolean => tensor.startsWith('adam.') || tensor === names.gradientUnits,
  /** of the native step: what 1 of each layer's int8 gradient stands for */
  gradientUnits: 'native.gradient_units',
  firstMoment: (parameter: string): string => `adam.m.${parameter}`,
  secondMoment: (parameter: string): string => `adam.v.${parameter}`,
} as const;
