/**
 * Recipes: how a network is trained, as named sets of numbers. `paper` follows Li & Ren's released code; `modern` is
 * what runs on CIFAR-10 taught (place values, Glorot-scaled rates three times higher, cosine schedule, fresh
 * batch-norm statistics before every evaluation).
 */
import type { LossName, Slicing } from './plan.js';

/** Learning rates of one step, before Adam's bias correction. */
export interface Rates {
  /** of latent weights; each layer multiplies it by its Glorot factor */
  readonly binary: number;
  /** of batch norm and of a first layer with real or integer weights */
  readonly float: number;
}

/** Of one step. */
export interface StepRates extends Rates {
  /** share of all steps that have been done before */
  readonly progress: number;
}

export const recipeNames = ['modern', 'paper'] as const;
export type RecipeName = (typeof recipeNames)[number];

export interface Recipe {
  readonly name: RecipeName;
  readonly loss: LossName;
  readonly slicing: Slicing;
  readonly epochs: number;
  readonly batch: number;
  readonly schedule: 'cosine' | 'exponential';
  /** steps of linear warm-up */
  readonly warmup: number;
  /** peak rates of networks with latent (binary) weights */
  readonly rates: Rates;
  /** peak rate of networks without latent weights */
  readonly floatRate: number;
  /** last rate divided by first rate, of the exponential schedule */
  readonly decay: number;
  /** random shifts beside mirroring */
  readonly shifts: boolean;
  /** training batches that batch-norm statistics are estimated from before an evaluation; 0 = running averages */
  readonly calibrationBatches: number;
  /** whether to try the contrast stretch on validation images */
  readonly stretch: 'auto' | 'off';
}

export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  modern: {
    name: 'modern',
    loss: 'cross-entropy',
    slicing: 'place-value',
    epochs: 30,
    batch: 100,
    schedule: 'cosine',
    warmup: 200,
    // Of latent weights: 20 epochs of CIFAR-10 end three points worse with 1e-2 (docs/results).
    rates: { binary: 3e-3, float: 5e-3 },
    // 8 epochs of CIFAR-10 end 1.1 (32C3 network) to 2.6 points worse with 2e-3 (docs/results).
    floatRate: 1e-2,
    decay: 0,
    shifts: true,
    calibrationBatches: 20,
    stretch: 'auto',
  },
  paper: {
    name: 'paper',
    loss: 'squared-hinge',
    slicing: 'equal',
    epochs: 500,
    batch: 50,
    schedule: 'exponential',
    warmup: 0,
    rates: { binary: 1e-3, float: 1e-3 },
    floatRate: 1e-3,
    decay: 3e-7 / 1e-3,
    shifts: false,
    calibrationBatches: 0,
    stretch: 'off',
  },
};

/**
 * Peak rates of a technique: its optimizer's, or the recipe's for its kind of weights. What other rates were better for single techniques
 * in short runs was not in longer ones (docs/results).
 */
export const peakRates = (
  recipe: Recipe,
  { latentWeights, latentRate }: { readonly latentWeights: boolean; readonly latentRate?: number },
): Rates => ({
  binary: latentRate ?? recipe.rates.binary,
  float: latentWeights ? recipe.rates.float : recipe.floatRate,
});

export interface Schedule {
  readonly kind: 'cosine' | 'exponential';
  readonly rates: Rates;
  readonly warmup: number;
  readonly decay: number;
}

/** Rates of step `step` (1 .. steps * epochs), `stepsPerEpoch` of them per epoch. */
export function ratesAt(schedule: Schedule, step: number, stepsPerEpoch: number, epochs: number): StepRates {
  const { kind, rates, warmup, decay } = schedule;
  const total = stepsPerEpoch * epochs;
  // A short run should not spend more than a tenth of itself warming up.
  const ramp = Math.min(warmup, Math.floor(total / 10));
  let factor: number;
  if (kind === 'exponential') factor = decay ** (Math.floor((step - 1) / stepsPerEpoch) / epochs);
  else if (step <= ramp) factor = step / ramp;
  else factor = 0.5 * (1 + Math.cos((Math.PI * (step - ramp)) / (total - ramp + 1)));
  return { binary: rates.binary * factor, float: rates.float * factor, progress: (step - 1) / total };
}
