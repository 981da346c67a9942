/** From what a user asks for to a run that can begin: images loaded and split, the contrast stretch chosen. */
import { formatSlices } from '@cbnn/runtime';
import type { Dataset, ImageSet } from '../data/dataset.js';
import { loadDataset } from '../data/registry.js';
import type { OnDataProgress } from '../data/source.js';
import { type Split, splitValidation } from '../data/split.js';
import { recipes } from '../nn/recipes.js';
import { chooseStretch, type StretchChoice } from './choose-stretch.js';
import { planOf, type RunConfig } from './config.js';
import { chooseDevice, onFittingDevice } from './devices.js';
import {
  buildConfig,
  checkOptions,
  choicesOf,
  DEFAULT_SEED,
  DEFAULT_STRETCH,
  type RunOptions,
} from './options.js';
import { layerSparsities } from './pruning.js';
import { RunFolder, readCheckpoint } from './run-folder.js';

export interface PreparedRun {
  readonly config: RunConfig;
  readonly dataset: Dataset;
  readonly train: ImageSet;
  readonly validation: ImageSet;
  /** the trials behind `stretch: auto`; null when it was given */
  readonly stretchChoice: StretchChoice | null;
}

/**
 * Says which of the `given` options a stored configuration contradicts, as `name: stored and given`; null when none does.
 * Options that are left out take whatever the run has; its device and threads may change.
 */
export function contradiction(
  stored: RunConfig,
  given: RunOptions,
  images: { readonly dataset: Dataset } & Split,
): string | null {
  const input = given.input ?? stored.input.encoding;
  // What is left out is what the run has, as far as other options depend on it.
  const whole: RunOptions = {
    ...given,
    technique: given.technique ?? stored.technique,
    ...(stored.from && { from: given.from ?? stored.from.run }),
    ...((stored.from ?? stored.teacher) && {
      // What the run that it began with, or its teacher, must have as well.
      input,
      ...(input === 'bit-slices' && {
        code: given.code ?? stored.input.code ?? 'binary',
        slices: given.slices ?? formatSlices(stored.input.slices),
      }),
      slicing: given.slicing ?? stored.slicing,
      firstLayer: given.firstLayer ?? stored.firstLayer,
      stretch: given.stretch ?? (stored.input.stretch ? 'on' : 'off'),
      // Widths are factors of an architecture that is not known any more.
      ...(!(given.architecture ?? given.width ?? given.convWidth ?? given.denseWidth) && {
        architecture: stored.architecture,
      }),
    }),
  };
  checkOptions(whole);
  const asked = buildConfig(whole, images.dataset, images, stored.device);
  const decides: Readonly<Record<string, (config: RunConfig) => unknown>> = {
    data: ({ dataset }) => dataset.source,
    limit: ({ dataset }) => dataset.limit,
    size: ({ dataset }) => dataset.choices.size,
    roi: ({ dataset }) => dataset.choices.roi,
    quality: ({ dataset }) => dataset.choices.quality,
    testShare: ({ dataset }) => dataset.choices.testShare,
    validation: ({ dataset }) => dataset.validation,
    architecture: ({ architecture }) => architecture,
    width: ({ architecture }) => architecture,
    convWidth: ({ architecture }) => architecture,
    denseWidth: ({ architecture }) => architecture,
    technique: ({ technique }) => technique,
    variations: ({ variations }) => variations?.join(),
    from: ({ from }) => from?.run,
    teacher: ({ teacher }) => teacher?.run,
    sparsity: ({ pruning, ternarySparsity }) => pruning?.target ?? ternarySparsity,
    rounds: ({ pruning }) => pruning?.rounds,
    weightBits: ({ precision }) => precision?.weights,
    activationBits: ({ precision }) => precision?.activations,
    recipe: ({ recipe }) => recipe,
    input: ({ input }) => input.encoding,
    code: ({ input }) => input.code ?? 'binary',
    slices: ({ input }) => formatSlices(input.slices),
    slicing: ({ slicing }) => slicing,
    firstLayer: ({ firstLayer }) => firstLayer,
    stretch: ({ input }) => (input.stretch ? 'on' : 'off'),
    epochs: ({ epochs }) => epochs,
    batch: ({ batch }) => batch,
    rate: ({ schedule }) => schedule.rates.binary,
    floatRate: ({ schedule }) => schedule.rates.float,
    seed: ({ seed }) => seed,
  };
  for (const [name, value] of Object.entries(given)) {
    const of = decides[name];
    if (value === undefined || !of || value === 'auto') continue;
    if (of(stored) !== of(asked))
      return `${name}: ${String(of(stored) ?? 'default')} and ${String(of(asked) ?? 'default')}`;
  }
  return null;
}

/** `config` with what has to be measured of the run that it begins with: how much each layer can lose. */
export async function measured(
  config: RunConfig,
  validation: ImageSet,
  hooks: {
    readonly signal?: AbortSignal;
    readonly onNote?: (note: string) => void;
    readonly onLayer?: (done: number, total: number) => void;
  },
): Promise<RunConfig> {
  const { pruning, from } = config;
  if (!pruning || !from) return config;
  hooks.onNote?.('pruning each layer alone, to see what it can lose');
  const layers = await layerSparsities(
    planOf(config),
    readCheckpoint(new RunFolder(from.run).best).state,
    validation,
    pruning.target,
    {
      threads: config.threads,
      ...(hooks.signal && { signal: hooks.signal }),
      ...(hooks.onLayer && { onProgress: hooks.onLayer }),
    },
  );
  hooks.onNote?.(`layers lose ${layers.map((share) => `${(100 * share).toFixed(0)} %`).join(', ')}`);
  return { ...config, pruning: { ...pruning, layers } };
}

/** Throws config errors for options that cannot be, before any training; loads the images. */
export async function prepareRun(
  options: RunOptions,
  hooks: {
    readonly signal?: AbortSignal;
    readonly onData?: OnDataProgress;
    readonly onNote?: (note: string) => void;
    /** steps done of the trial trainings of `stretch: auto`, of all */
    readonly onTrial?: (done: number, total: number) => void;
  } = {},
): Promise<PreparedRun> {
  checkOptions(options);
  const device = await chooseDevice(options.device ?? 'auto', { technique: 'bnn', ...options }, hooks.onNote);
  const dataset = await loadDataset(options.data, {
    dataDir: options.dataDir,
    ...(options.limit !== undefined && { limit: options.limit }),
    ...choicesOf(options),
    ...(hooks.onData && { onProgress: hooks.onData }),
    ...(hooks.signal && { signal: hooks.signal }),
  });
  const split = splitValidation(dataset, {
    seed: options.seed ?? DEFAULT_SEED,
    ...(options.validation !== undefined && { count: options.validation }),
  });
  const config = await onFittingDevice(
    buildConfig(options, dataset, split, device),
    options.device ?? 'auto',
    hooks.onNote,
  );
  const wanted = options.stretch ?? recipes[config.recipe].stretch;
  let stretchChoice: StretchChoice | null = null;
  let { stretch } = config.input;
  if (wanted === 'auto' && !(config.from ?? config.teacher)) {
    hooks.onNote?.('trying the contrast stretch on validation images (two short trainings)');
    stretchChoice = await chooseStretch(config, split, DEFAULT_STRETCH, {
      ...(hooks.signal && { signal: hooks.signal }),
      ...(hooks.onTrial && { onProgress: hooks.onTrial }),
    });
    stretch = stretchChoice.stretch;
    hooks.onNote?.(
      `contrast stretch ${stretch ? 'on' : 'off'}: validation error of short trainings ${stretchChoice.errorWith.toFixed(1)} % with, ${stretchChoice.errorWithout.toFixed(1)} % without`,
    );
  }
  const whole = await measured({ ...config, input: { ...config.input, stretch } }, split.validation, {
    ...hooks,
    ...(hooks.onTrial && { onLayer: hooks.onTrial }),
  });
  return { config: whole, dataset, ...split, stretchChoice };
}
