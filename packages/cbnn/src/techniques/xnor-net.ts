import { binarizeScaled } from '../graph/operations/quantizers.js';
import { hasRealWeights, type Technique } from '../graph/technique.js';
import { firstLayerWeights } from './first-layer.js';

/** alpha * sign(w) in the layers between the first and the last, which stay real. */
const scaledWeights =
  (ends: Pick<Technique, 'realLast'>): Technique['quantizeWeights'] =>
  (g, weights, layer) => {
    if (layer.shape.index === 0) return firstLayerWeights(g, weights, layer.plan, binarizeScaled);
    return hasRealWeights(ends, layer) ? weights : binarizeScaled(g, weights);
  };

const realEnds = { realLast: true };
const binaryEnds = { realLast: false };

/**
 * Binary weights with one scale per output, real activations. As the paper has it: the authors' code takes each filter's mean over
 * its input channels off before it binarizes, which neither this nor the XNOR-Nets below do. Published with SGD; here Adam.
 */
export const bwn: Technique = {
  name: 'bwn',
  title: 'Binary-weight network',
  source: 'Rastegari, Ordonez, Redmon, Farhadi 2016, section 3.1',
  latentWeights: true,
  ...realEnds,
  firstLayers: ['real', 'binary'],
  input: '8-bit',
  weightBits: 1,
  binarySums: false,
  integerSums: false,
  nativeStep: 'bfloat16',
  quantizeWeights: scaledWeights(realEnds),
  activation: () => 'relu',
};

/** Binary weights and activations, scaled by alpha per output alone. */
export const xnorNetWithoutK: Technique = {
  ...bwn,
  name: 'xnor-net-without-k',
  title: 'XNOR-Net without its map of input scales',
  binarySums: true,
  source: 'Rastegari, Ordonez, Redmon, Farhadi 2016, section 3.2; K left out as in their table 3',
  activation: ({ beforeReal }) => (beforeReal ? 'relu' : 'sign'),
};

/**
 * Binary weights and activations, scaled by alpha per output and by K per position (graph/operations/input-scales.ts). The order batch
 * norm, sign, convolution, pooling of the paper is the order here, seen from one layer to the next.
 */
export const xnorNet: Technique = {
  ...xnorNetWithoutK,
  name: 'xnor-net',
  title: 'XNOR-Net',
  source: 'Rastegari, Ordonez, Redmon, Farhadi 2016, section 3.2',
  activation: ({ beforeReal }) => (beforeReal ? 'relu' : 'scaled-sign'),
};

/** The same with binary weights in the first and the last layer, too. */
export const xnorNetBinary: Technique = {
  ...xnorNet,
  ...binaryEnds,
  name: 'xnor-net-binary',
  title: 'XNOR-Net, binary first and last layer',
  firstLayers: ['binary'],
  quantizeWeights: scaledWeights(binaryEnds),
};
