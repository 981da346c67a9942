/**
 * Ways to train a `bnn` that cost nothing when it answers: each ends in the same packed form. `--with` selects them by name, several at
 * once where they do not set the same thing.
 */
import { configError } from '@cbnn/runtime';
import { errorDecay } from '../graph/operations/estimators.js';
import { clampOutliers, standardize } from '../graph/operations/latent-weights.js';
import { adam, bop, shiftAdaMax } from '../graph/optimizer.js';
import type { Technique } from '../graph/technique.js';
import type { VariationName } from '../nn/plan.js';
import { type BinaryTraining, binaryNetwork } from './bnn.js';

export interface Variation {
  readonly title: string;
  readonly source: string;
  readonly training: BinaryTraining;
  /** what it leaves no sense to, beside what it sets */
  readonly excludes?: readonly (keyof BinaryTraining)[];
}

export const variations: Readonly<Record<VariationName, Variation>> = {
  'stochastic-activations': {
    title: 'activations drawn at random in training',
    source: 'Hubara, Courbariaux et al. 2016, equation 2',
    training: { stochasticActivations: true },
  },
  'shift-batch-norm': {
    title: 'batch norm with powers of two for factors',
    source: 'Hubara, Courbariaux et al. 2016, algorithm 2',
    // The authors' code adds 1e-5 to the variance and averages with momentum 0.125; here both are every network's, 1e-4 and 0.1.
    training: { shiftNormalization: true },
  },
  'shift-adamax': {
    title: 'AdaMax with shifts for multiplications',
    source: 'Hubara, Courbariaux et al. 2016, algorithm 4',
    // Published with a rate of 2^-6, halved every 50 epochs; here rates and schedule are the recipe's, to the nearest power of two.
    training: { optimizers: { binary: shiftAdaMax, float: shiftAdaMax } },
  },
  'centred-weights': {
    title: 'weights of each output centred and divided by their deviation',
    source: 'IR-Net: Qin et al. 2020, equation 8',
    // Published with a power of two as scale of each output, which batch norm takes up here, and a weight decay of 1e-4, left out.
    training: { prepare: standardize },
  },
  recu: {
    title: 'centred weights, outliers drawn back',
    source: 'ReCU: Xu et al. 2021',
    // The clamp alone: published with the slope of `approx-sign`, trained scales of outputs and a weight decay of 5e-4 beside it; and with
    // weights 2 sqrt 2 times as large: neither signs nor what is clamped depend on that.
    training: {
      prepare: (g, w, phase) =>
        phase === 'training' ? clampOutliers(g, standardize(g, w)) : standardize(g, w),
    },
  },
  ede: {
    title: 'slopes of signs from flat to steep',
    source: 'error decay estimator, IR-Net: Qin et al. 2020',
    // Published with centred weights and a weight decay of 1e-4; here `centred-weights` adds the former, and there is no decay.
    training: { weightEstimator: errorDecay, activationSlope: 'decaying' },
  },
  'approx-sign': {
    title: 'the slope of a piecewise quadratic sign',
    source: 'Bi-Real Net: Liu et al. 2018',
    training: { activationSlope: 'approximate' },
  },
  'channel-scales': {
    title: 'sums scaled by mean |w| of their channel in training',
    source: 'Rastegari et al. 2016, equation 6',
    training: { scaled: true },
  },
  bop: {
    title: 'signs flipped by averaged gradients, no latent weights',
    source: 'Bop: Helwegen et al. 2019',
    training: { optimizers: { binary: bop, float: adam }, latentRate: 1e-4 },
    // Published with a rate that falls to a tenth every 100 of 500 epochs, and batch norm without factors, trained at 0.01; here both
    // follow the recipe. It flips signs of weights whose magnitudes mean nothing.
    excludes: ['prepare', 'weightEstimator', 'scaled'],
  },
};

/** `bnn`, trained with all of `names`. Throws a config error where two of them set the same thing. */
export function bnnWith(names: readonly VariationName[]): Technique {
  const setBy = new Map<string, VariationName>();
  for (const name of names) {
    const { training, excludes = [] } = variations[name];
    for (const key of [...Object.keys(training), ...excludes]) {
      const other = setBy.get(key);
      if (other) throw configError(`with ${names.join()}: ${other} and ${name} exclude each other; take one`);
      setBy.set(key, name);
    }
  }
  return binaryNetwork(Object.assign({}, ...names.map((name) => variations[name].training)));
}
