/**
 * The commands that make a run, its analyses and its report again, rebuilt from what the run's folder holds.
 * An option is left out where its default says the same; what a default takes from the machine, the images or a trial
 * (device, threads, batch, contrast stretch) is always spelled out.
 */
import { allSlices, formatSlices } from '@cbnn/runtime';
import type { CompactionResult } from '../compact/result.js';
import { datasets } from '../data/registry.js';
import { floatRateOf, recipes } from '../nn/recipes.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { techniqueOf, techniques } from '../techniques/index.js';
import type { RunConfig } from '../train/config.js';

export interface MadeRun {
  readonly path: string;
  readonly config: RunConfig;
  /** folder that holds data sets by name */
  readonly dataDir: string;
  readonly validationImages: number;
  readonly sensitivity?: SensitivityResult | undefined;
  readonly compaction?: CompactionResult | undefined;
}

type Value = string | number | null | undefined;
/** An option of a command; left out without a value, or when the value is the default. */
type Option = readonly [name: string, value: Value, usual?: Value];

export function reproductionCommands(run: MadeRun): string[] {
  const { path, config, sensitivity, compaction } = run;
  // generated images and folders of one's own are not looked for among the data sets
  const downloaded = datasets.some(({ name, files }) => name === config.dataset.source && files.length > 0);
  const commands = [
    command('train', config.dataset.source, [
      ['data-dir', downloaded ? run.dataDir : null],
      ['out', path],
      ...trainingOptions(config),
    ]),
  ];
  if (sensitivity) {
    const { images, noiseSeeds } = sensitivity;
    commands.push(
      command('sensitivity', path, [
        ['seeds', noiseSeeds.length, 3],
        ['images', images, run.validationImages],
      ]),
    );
  }
  if (compaction) {
    const { maxDrop, shrink, acceptance, tries, retraining } = compaction;
    commands.push(
      command('compact', path, [
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
  return [...commands, command('report', path, [])];
}

function trainingOptions(config: RunConfig): Option[] {
  const { technique, dataset, input, schedule } = config;
  const recipe = recipes[config.recipe];
  const { input: usualInput, firstLayers, latentWeights } = techniques[technique];
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
    ['rate', schedule.rates.binary, techniqueOf(config).latentRate ?? recipe.rates.binary],
    ['float-rate', schedule.rates.float, floatRateOf(recipe, latentWeights)],
    ['limit', dataset.limit],
    ['size', dataset.choices.size],
    ['roi', dataset.choices.roi],
    ['quality', dataset.choices.quality],
    ['test-share', dataset.choices.testShare],
    ['validation', dataset.validation],
    ['seed', config.seed, 1],
    ['device', config.device],
    ['threads', config.threads],
  ];
}

function command(verb: string, subject: string, options: readonly Option[]): string {
  const words = options.flatMap(([name, value, usual]) =>
    value === null || value === undefined || value === usual ? [] : [`--${name}`, String(value)],
  );
  return ['cbnn', verb, subject, ...words].map(quoted).join(' ');
}

/** A word as a shell takes it: in single quotes unless it has nothing that a shell would read. */
const quoted = (word: string): string =>
  /^[\w./:,=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
