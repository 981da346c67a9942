/**
 * The commands that make a run, its analyses and its report again, rebuilt from what the run's folder holds.
 * An option is left out where its default says the same; what a default takes from the machine, the images or a trial
 * (device, threads, batch, contrast stretch) is always spelled out.
 */
import { allSlices, formatSlices } from '@cbnn/runtime';
import { datasets } from '../data/registry.js';
import { peakRates, recipes } from '../nn/recipes.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { type CommandOption, shellCommand } from '../shell-command.js';
import { techniqueOf, techniques } from '../techniques/index.js';
import type { RunConfig } from '../train/config.js';
import type { CompactionResult } from './result.js';

export interface MadeRun {
  readonly path: string;
  readonly config: RunConfig;
  /** folder that holds data sets by name */
  readonly dataDir: string;
  readonly validationImages: number;
  readonly sensitivity?: SensitivityResult | undefined;
  readonly compaction?: CompactionResult | undefined;
}

export function reproductionCommands(run: MadeRun): string[] {
  const { path, config, sensitivity, compaction } = run;
  const commands = [
    shellCommand('train', config.dataset.source, [
      dataDirOption(run.dataDir, config),
      ['out', path],
      ...trainingOptions(config),
    ]),
  ];
  if (sensitivity) {
    const { images, noiseSeeds } = sensitivity;
    commands.push(
      shellCommand('sensitivity', path, [
        ['seeds', noiseSeeds.length, 3],
        ['images', images, run.validationImages],
      ]),
    );
  }
  if (compaction) {
    const { maxDrop, shrink, acceptance, tries, retraining } = compaction;
    commands.push(
      shellCommand('compact', path, [
        ['max-drop', maxDrop],
        ['shrink', shrink],
        ['accept', acceptance],
        // as many as there were: a search that was cut short would otherwise go on
        ['tries', tries.length || null],
        ['epochs', retraining.epochs, config.epochs],
        ['rate-factor', retraining.rateFactor],
      ]),
    );
  }
  return [...commands, shellCommand('report', path, [])];
}

/** Generated images and folders of one's own are not looked for among the data sets. */
export function dataDirOption(dataDir: string, { dataset: { source } }: RunConfig): CommandOption {
  const downloaded = datasets.some(({ name, files }) => name === source && files.length > 0);
  return ['data-dir', downloaded ? dataDir : null];
}

/** Which images, and how they are split. */
export const imageOptions = ({ dataset, seed }: RunConfig): CommandOption[] => [
  ['limit', dataset.limit],
  ['size', dataset.choices.size],
  ['roi', dataset.choices.roi],
  ['quality', dataset.choices.quality],
  ['test-share', dataset.choices.testShare],
  ['validation', dataset.validation],
  ['seed', seed, 1],
];

function trainingOptions(config: RunConfig): CommandOption[] {
  const { technique, input, schedule } = config;
  const recipe = recipes[config.recipe];
  const { input: usualInput, firstLayers } = techniques[technique];
  const usualRates = peakRates(recipe, techniqueOf(config));
  const sliced = input.encoding === 'bit-slices';
  return [
    ['technique', technique, 'bnn'],
    ['with', config.variations?.join()],
    ['from', config.from?.run],
    ['teacher', config.teacher?.run],
    ['sparsity', config.pruning?.target ?? config.ternarySparsity],
    ['rounds', config.pruning?.rounds],
    ['weight-bits', config.precision?.weights],
    ['activation-bits', config.precision?.activations],
    ['recipe', config.recipe, 'modern'],
    ['arch', config.architecture],
    ['input', input.encoding, usualInput],
    ['code', input.code],
    ['slices', sliced ? formatSlices(input.slices) : null, formatSlices(allSlices(input.channels))],
    ['slicing', config.slicing, sliced ? recipe.slicing : 'equal'],
    ['first-layer', config.firstLayer, firstLayers[0]],
    ['stretch', input.stretch ? 'on' : 'off'],
    ['epochs', techniques[technique].afterTraining ? null : config.epochs, recipe.epochs],
    ['batch', config.batch],
    ['rate', schedule.rates.binary, usualRates.binary],
    ['float-rate', schedule.rates.float, usualRates.float],
    ...imageOptions(config),
    ['device', config.device],
    ['threads', config.threads],
  ];
}
