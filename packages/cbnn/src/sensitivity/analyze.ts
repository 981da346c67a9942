/**
 * Bit-level sensitivity (Li & Ren, sections on Figs 4, 7, 8): how much the error of a trained network rises when input
 * slices are replaced by noise. Runs on the packed model, on validation images.
 */
import { allSlices, compareSlices, configError, type PackedModel, type Slice } from '@cbnn/runtime';
import type { ImageSet } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import { wrongImages } from '../engines/evaluate.js';
import type { PackedEngine } from '../engines/packed-engine.js';
import { percentWrong } from '../predictions.js';
import { tangoInterval } from '../statistics.js';
import { randomizeSlices } from './noise.js';
import type { NoiseScope, SensitivityPoint, SensitivityResult } from './result.js';

export interface SensitivityOptions {
  /** noise seeds; 3 by default */
  readonly seeds?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  /** results of an interrupted analysis, by `experimentKey`: they are not measured again */
  readonly known?: ReadonlyMap<string, Measurement>;
  /** called after every measurement, to keep it */
  readonly onMeasured?: (key: string, measurement: Measurement) => void;
}

/** What one set of randomized slices did. */
export interface Measurement {
  readonly error: number;
  readonly increase: number;
  readonly interval: readonly [number, number];
  readonly errorBySeed: readonly number[];
}

interface Experiment {
  readonly scope: NoiseScope;
  readonly channel: number | null;
  readonly bit: number;
  readonly slices: readonly Slice[];
}

export const experimentKey = (slices: readonly Slice[]): string =>
  slices.map(({ channel, bit }) => `${channel}.${bit}`).join(' ');

/** All experiments on the kept slices, in the order of the figures. */
export function experiments(kept: readonly Slice[], channels: number): Experiment[] {
  const list: Experiment[] = [];
  const bits = Array.from({ length: 8 }, (_, bit) => bit);
  const add = (scope: NoiseScope, channel: number | null, bit: number, wanted: (slice: Slice) => boolean) => {
    const slices = kept.filter(wanted);
    // A point exists where it adds a slice of its own: a pruned slice cannot be randomized.
    if (slices.some((slice) => slice.bit === bit)) list.push({ scope, channel, bit, slices });
  };
  for (const bit of bits) add('slice', null, bit, (slice) => slice.bit === bit);
  for (const bit of bits) add('lowest', null, bit, (slice) => slice.bit <= bit);
  for (let c = 0; c < channels; c++) {
    for (const bit of bits) add('channel-slice', c, bit, (slice) => slice.channel === c && slice.bit === bit);
    for (const bit of bits) add('channel-lowest', c, bit, (slice) => slice.channel === c && slice.bit <= bit);
  }
  return list;
}

export const channelNames = (channels: number): string[] =>
  channels === 3
    ? ['red', 'green', 'blue']
    : channels === 1
      ? ['grey']
      : Array.from({ length: channels }, (_, c) => `channel ${c}`);

/** `images`: raw validation images. `dataset` is its title, for the result. */
export async function analyzeSensitivity(
  model: PackedModel,
  engine: PackedEngine,
  images: ImageSet,
  dataset: string,
  options: SensitivityOptions = {},
): Promise<SensitivityResult> {
  if (images.count < 2) throw configError(`sensitivity: expected at least 2 images, got ${images.count}`);
  const { channels, code } = model.input;
  const seeds = Array.from({ length: options.seeds ?? 3 }, (_, i) => i + 1);
  const kept =
    model.input.encoding === '8-bit' ? allSlices(channels) : model.input.slices.toSorted(compareSlices);
  const prepared = preparedSet(images, model.input);
  const cleanWrong = await wrongImages(engine, prepared, prepared.pixels);
  const list = experiments(kept, channels);
  const measured = new Map(options.known);
  let done = 0;
  for (const { slices } of list) {
    const key = experimentKey(slices);
    if (!measured.has(key)) {
      const runs: Uint8Array[] = [];
      for (const seed of seeds) {
        options.signal?.throwIfAborted();
        runs.push(await wrongImages(engine, prepared, randomizeSlices(prepared, slices, seed)));
      }
      const measurement = measure(cleanWrong, runs);
      measured.set(key, measurement);
      options.onMeasured?.(key, measurement);
    }
    options.onProgress?.(++done, list.length);
  }
  return {
    dataset,
    split: 'validation',
    images: images.count,
    noiseSeeds: seeds,
    channels,
    channelNames: channelNames(channels),
    ...(code && { code }),
    keptSlices: kept,
    cleanError: percentWrong(cleanWrong),
    points: list.map(
      (experiment): SensitivityPoint => ({
        ...experiment,
        ...measured.get(experimentKey(experiment.slices))!,
      }),
    ),
  };
}

/**
 * The increase is the mean over images of d_i = (mean over seeds of noisy error) - clean error of that image; its 95 %
 * interval is normal, from the spread of d_i: paired by image, so that hard images do not widen it. It is never narrower
 * than Tango's interval without any changed image (statistics.ts): that nothing changed on n images proves only so much.
 */
function measure(clean: Uint8Array, noisy: readonly Uint8Array[]): Measurement {
  const errorBySeed = noisy.map(percentWrong);
  const error = errorBySeed.reduce((sum, value) => sum + value, 0) / noisy.length;
  const increase = error - percentWrong(clean);
  let squares = 0;
  for (let i = 0; i < clean.length; i++) {
    const d = 100 * (noisy.reduce((sum, wrong) => sum + wrong[i]!, 0) / noisy.length - clean[i]!);
    squares += (d - increase) ** 2;
  }
  const n = clean.length;
  const margin = Math.max(1.96 * Math.sqrt(squares / (n - 1) / n), tangoInterval(0, 0, n).high);
  return { error, increase, interval: [increase - margin, increase + margin], errorBySeed };
}
