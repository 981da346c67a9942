/** How the numbers of a comparison are obtained again: commands, and what trained each network, at which rates. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { dataDirOption, imageOptions, reproductionCommands } from '../compact/reproduction-commands.js';
import type { CompactionResult } from '../compact/result.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import { shellCommand } from '../shell-command.js';
import { techniques } from '../techniques/index.js';
import type { RunConfig } from '../train/config.js';
import { RunFolder, readJson } from '../train/run-folder.js';
import type { TrainingResult } from '../train/train.js';
import type { Contender } from './contenders.js';
import type { ComparedTechnique } from './result.js';

/** What is the same for all, in the words that were given: they mean the same from the folder that the command was called in. */
export interface Given {
  readonly data: string;
  readonly dataDir: string;
  readonly out: string;
  readonly validationImages: number;
}

/** The comparison itself: `config` is of its bnn. */
export const compareCommand = (
  { data, dataDir, out }: Given,
  config: RunConfig,
  contenders: readonly string[],
  epochs: number,
): string =>
  shellCommand('compare', data, [
    dataDirOption(dataDir, config),
    ['out', out],
    ['techniques', contenders.join()],
    ['epochs', epochs],
    ['recipe', config.recipe, 'modern'],
    ['arch', config.architecture],
    ['stretch', config.input.stretch ? 'on' : 'off'],
    ['batch', config.batch],
    ...imageOptions(config),
    ['threads', config.threads],
  ]);

/** Of one contender, whose network is in `run`. */
export function obtained(
  contender: Contender,
  run: string,
  given: Given,
): Pick<ComparedTechnique, 'commands' | 'engine' | 'rates'> {
  const { technique, compacts } = contender;
  const folder = new RunFolder(join(given.out, run));
  const { rates } = folder.readConfig().schedule;
  const { afterTraining, latentWeights } = techniques[technique];
  return {
    commands: compacts === undefined ? [trainCommand(contender, given)] : compactionCommands(compacts, given),
    engine: (readJson(folder.result) as TrainingResult).engine,
    rates: afterTraining ? null : { latent: latentWeights ? rates.binary : null, real: rates.float },
  };
}

function trainCommand({ name, from, teacher }: Contender, given: Given): string {
  const { data, dataDir, out, validationImages } = given;
  const path = join(out, name);
  const config = new RunFolder(path).readConfig();
  const renamed: RunConfig = {
    ...config,
    dataset: { ...config.dataset, source: data },
    ...(config.from && from && { from: { ...config.from, run: join(out, from) } }),
    ...(config.teacher && teacher && { teacher: { ...config.teacher, run: pathOf(join(out, teacher)) } }),
  };
  return reproductionCommands({ path, config: renamed, dataDir, validationImages })[0]!;
}

/** As `--teacher` takes it: a bare word would be a technique's. */
const pathOf = (run: string): string => (/[/\\]/.test(run) ? run : `./${run}`);

/** What follows the training of the bnn `name`. */
function compactionCommands(name: string, { dataDir, out, validationImages }: Given): string[] {
  const folder = new RunFolder(join(out, name));
  const read = <Result>(...parts: string[]): Result | undefined => {
    const file = folder.file(...parts);
    return existsSync(file) ? (readJson(file) as Result) : undefined;
  };
  const all = reproductionCommands({
    ...{ path: folder.path, config: folder.readConfig(), dataDir, validationImages },
    sensitivity: read<SensitivityResult>('sensitivity', 'result.json'),
    compaction: read<CompactionResult>('compact', 'result.json'),
  });
  return all.slice(1, -1);
}
