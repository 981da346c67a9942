import { existsSync } from 'node:fs';
import { codeNames, configError } from '@cbnn/runtime';
import { type Command, Option } from 'commander';
import { techniqueNames, type VariationName, variationNames } from '../nn/plan.js';
import { recipeNames } from '../nn/recipes.js';
import type { RunConfig } from '../train/config.js';
import { chooseDevice, onFittingDevice, trainingDevices } from '../train/devices.js';
import { checkOptions, DEFAULT_ARCHITECTURE, type RunOptions, teacherOptions } from '../train/options.js';
import { contradiction, prepareRun } from '../train/prepare.js';
import { placeOf, trainRun } from '../train/run.js';
import { RunFolder } from '../train/run-folder.js';
import { startConfig } from '../train/start.js';
import { note, progressBar, result, trainingBar } from './console.js';
import { listOf, oneOf, positiveInteger, positiveNumber, share, wholeNumber } from './options.js';
import { addReadingOptions, dataDirOption, loadRun, stopSignal } from './shared.js';

interface TrainFlags extends Omit<RunOptions, 'data' | 'dataDir' | 'architecture'> {
  readonly dataDir?: string;
  readonly checkpointSeconds: number;
  readonly arch?: string;
  readonly out?: string;
  readonly resume?: boolean;
  readonly with?: VariationName[];
}

export function addTrainCommand(program: Command): void {
  const command = program
    .command('train')
    .description('train a network on labelled images')
    .argument('<data>', 'a data set (see `cbnn data`), or a folder of class folders or of IDX files')
    .addOption(dataDirOption())
    .option('--out <folder>', "the run's folder (default: runs/<data>)")
    .option('--resume', 'continue an interrupted run in --out')
    .option('--technique <name>', `${techniqueNames.join(', ')} (default: bnn)`, oneOf(techniqueNames))
    .option(
      '--from <run>',
      'the finished run that training begins with: of float for fixed-point, ttq and pruned; bnn may begin with one of binary-activations',
    )
    .option(
      '--with <names>',
      `train bnn with ${variationNames.join(', ')}; several with commas`,
      listOf(variationNames),
    )
    .option(
      '--teacher <run>',
      'learn the probabilities of a finished run instead of the labels; float: of such a network, trained first in <out>-teacher',
    )
    .option(
      '--sparsity <share>',
      'share of weights that pruned takes away (default: 0.9) or ttq leaves 0 (default: those within 0.05 of the largest)',
      share,
    )
    .option('--rounds <n>', 'rounds in which it does (default: 3)', positiveInteger)
    .option('--weight-bits <n>', 'bits of weights, of fixed-point (default: 8)', positiveInteger)
    .option('--activation-bits <n>', 'bits of activations, of fixed-point (default: 8)', positiveInteger)
    .option('--recipe <name>', 'modern or paper (default: modern)', oneOf(recipeNames))
    .option(
      '--arch <notation>',
      `the paper's notation, ending with one unit per class (default: ${DEFAULT_ARCHITECTURE}, and those)`,
    )
    .option('--width <factor>', 'multiply the width of all hidden layers', positiveNumber)
    .option('--conv-width <factor>', 'the same for convolutions only', positiveNumber)
    .option('--dense-width <factor>', 'the same for dense layers only', positiveNumber)
    .option(
      '--input <form>',
      'bit-slices or 8-bit (default: bit-slices for bnn, 8-bit for the others)',
      oneOf(['bit-slices', '8-bit'] as const),
    )
    .option(
      '--code <name>',
      'of bit slices: binary, gray or thermometer (default: binary)',
      oneOf(['binary', ...codeNames] as const),
    )
    .option('--slices <list>', 'kept slices: all (default), top4, or channel:bits such as 0:4-7,1:4-7,2:4-7')
    .option(
      '--slicing <form>',
      "equal or place-value (default: the recipe's)",
      oneOf(['equal', 'place-value'] as const),
    )
    .option(
      '--first-layer <weights>',
      "integer, binary or real (default: the technique's, bnn integer)",
      oneOf(['integer', 'binary', 'real'] as const),
    )
    .option(
      '--stretch <when>',
      "contrast stretch: auto, on or off (default: the recipe's)",
      oneOf(['auto', 'on', 'off'] as const),
    )
    .option(
      '--epochs <n>',
      "passes over the training images (default: the recipe's, modern 30)",
      positiveInteger,
    )
    .option('--batch <n>', "images per step (default: the recipe's, fewer for small sets)", positiveInteger)
    .option('--rate <rate>', "peak learning rate of latent weights (default: the recipe's)", positiveNumber)
    .option(
      '--float-rate <rate>',
      "peak learning rate of batch norm and real weights (default: the recipe's)",
      positiveNumber,
    )
    .option(
      '--limit <n>',
      'use only this many training images, validation images included (default: all)',
      positiveInteger,
    )
    .option('--validation <n>', "validation images (default: the data set's share)", positiveInteger)
    .option('--seed <n>', 'seed of everything random (default: 1)', wholeNumber)
    .addOption(
      new Option(
        '--device <name>',
        `native (cbnn's own step), cpu, wasm or webgpu (ONNX Runtime's), or auto (default: auto)`,
      ).argParser(oneOf(trainingDevices)),
    )
    .option('--threads <n>', 'threads (default: all, at most 8)', positiveInteger)
    .option('--checkpoint-seconds <n>', 'seconds between checkpoints inside an epoch', wholeNumber, 60);
  addReadingOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  cbnn train signs --epochs 5
  cbnn train cifar10 --data-dir ~/data --epochs 20 --out runs/cifar10
  cbnn train cifar10 --data-dir ~/data --input 8-bit --out runs/cifar10-8bit
  cbnn train ./my-images --slices top4 --width 0.5
  cbnn train ./my-images --with approx-sign,centred-weights
  cbnn train ./my-images --teacher float
  cbnn train signs --technique float --out runs/float && cbnn train signs --technique ttq --from runs/float --out runs/ttq`,
    )
    .action(async (data: string, flags: TrainFlags) => {
      const { arch, out, resume, checkpointSeconds, with: variations, ...rest } = flags;
      await trainCommand(
        { ...rest, data, ...(arch && { architecture: arch }), ...(variations && { variations }) },
        out ?? `runs/${data.replaceAll(/[^\w.-]+/g, '-')}`,
        { resume: resume === true, checkpointSeconds },
      );
    });
}

type TrainingOptions = Omit<RunOptions, 'dataDir'> & { readonly dataDir?: string };
interface Continuation {
  readonly resume: boolean;
  readonly checkpointSeconds: number;
}

/** A run, and before it the teacher that it asks for by the name of a technique. */
async function trainCommand(options: TrainingOptions, path: string, own: Continuation): Promise<void> {
  // A run in a folder of that name is `./float`.
  if (options.teacher !== 'float') return trainOne(options, path, own);
  const { from, device = 'auto', dataDir = 'data' } = options;
  const teacher = `${path}-teacher`;
  // Both see the same images, stretched as those of the run that training begins with, or as the teacher finds out.
  const stretch = options.stretch ?? (from && (startConfig(from).input.stretch ? 'on' : 'off'));
  const shared = { ...options, ...(stretch && { stretch }) };
  // What cannot be is refused before the teacher is trained.
  checkOptions({ ...shared, dataDir, teacher, stretch: stretch === 'on' ? 'on' : 'off' });
  await chooseDevice(device, { technique: 'bnn', ...options });
  refuseOther(path, own);
  note(`teacher: ${teacher}`);
  const resume = existsSync(new RunFolder(teacher).config);
  await trainOne(teacherOptions(shared), teacher, { ...own, resume });
  await trainOne({ ...options, teacher }, path, own);
}

/** Throws a config error where there is a run already that is not to be continued. */
function refuseOther(path: string, { resume }: Continuation): void {
  if (existsSync(new RunFolder(path).config) && !resume)
    throw configError(`run ${path}: already exists; add --resume to continue it, or choose another --out`);
}

/** A stored run with the device and the threads that were asked for. */
async function movedRun(stored: RunConfig, { device, threads }: Partial<RunOptions>): Promise<RunConfig> {
  const moved = {
    ...stored,
    ...(device !== undefined && { device: await chooseDevice(device, stored) }),
    ...(threads !== undefined && { threads }),
  };
  return onFittingDevice(moved, device ?? 'auto', note);
}

async function trainOne(options: TrainingOptions, path: string, own: Continuation): Promise<void> {
  const { resume, checkpointSeconds } = own;
  const folder = new RunFolder(path);
  const exists = existsSync(folder.config);
  refuseOther(path, own);
  const dataDir = options.dataDir ?? (exists ? placeOf(folder) : 'data');
  const signal = stopSignal();
  const reading = progressBar('data');
  const trial = progressBar('trial');
  const hooks = {
    signal,
    onNote: note,
    onData: ({ done, total, stage }: { done: number; total: number | null; stage: string }) =>
      reading.update(done, total ?? done, stage),
    onTrial: (done: number, total: number) => {
      if (done === 0) reading.stop();
      trial.update(done, total, options.technique === 'pruned' ? 'layers' : 'steps of two short trainings');
      if (done === total) trial.stop();
    },
  };
  const prepared = exists
    ? await loadRun(path, options, signal)
    : await prepareRun({ ...options, dataDir }, hooks);
  reading.stop();
  if (exists) {
    const difference = contradiction(prepared.config, { ...options, dataDir }, prepared);
    if (difference)
      throw configError(
        `run ${path}: is not what was asked for (${difference}); leave the option out to continue the run, or choose another --out`,
      );
  }
  const config = exists ? await movedRun(prepared.config, options) : prepared.config;
  note(
    `${prepared.dataset.title}: ${prepared.train.count} training, ${prepared.validation.count} validation images; ${config.technique}, ${config.architecture}, recipe ${config.recipe}`,
  );
  const bar = trainingBar('train');
  const trained = await trainRun(config, prepared, path, dataDir, {
    resume,
    checkpointSeconds,
    signal,
    onStart: (description) => note(`engine ${description}`),
    onProgress: bar.show,
  });
  bar.stop();
  result(
    `validation error ${trained.validationError.toFixed(2)} % at epoch ${trained.bestEpoch} of ${trained.epochs}; run in ${path}`,
    { ...trained, run: path },
  );
}
