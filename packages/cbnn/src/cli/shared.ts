import { type Command, Option } from 'commander';
import { checkPacked, loadRunImages } from '../train/run.js';
import { progressBar } from './console.js';
import { oneOf, positiveInteger, share } from './options.js';

/** `--data-dir`, by default the environment's CBNN_DATA. */
export const dataDirOption = (): Option =>
  new Option('--data-dir <folder>', 'folder that holds data sets by name (default: "data")').env('CBNN_DATA');

/** The same for commands on runs, which remember where their images were. */
export const runDataDirOption = (): Option =>
  new Option('--data-dir <folder>', 'folder that holds data sets by name, where it has moved since training');

/** Adds the options that say how images are read, where the data set leaves it open. */
export const addReadingOptions = (command: Command): Command =>
  command
    .option(
      '--size <pixels>',
      'folders of images: height and width that they are resized to (default: 32)',
      positiveInteger,
    )
    .option('--test-share <share>', 'folders and chars74k: share of test images (default: 0.2)', share)
    .option(
      '--roi <how>',
      'gtsrb: crop to the sign, or take the whole picture (default: crop)',
      oneOf(['crop', 'whole'] as const),
    )
    .option(
      '--quality <which>',
      'chars74k: good pictures, or both good and bad (default: both)',
      oneOf(['good', 'both'] as const),
    );

export interface RunFlags {
  readonly dataDir?: string;
}

/** A run with its images, read with a progress bar. */
export async function loadRun(
  path: string,
  { dataDir }: RunFlags,
  signal: AbortSignal,
): ReturnType<typeof loadRunImages> {
  const bar = progressBar('data');
  const loaded = await loadRunImages(path, {
    signal,
    ...(dataDir !== undefined && { dataDir }),
    onData: ({ done, total, stage }) => bar.update(done, total ?? done, stage),
  });
  bar.stop();
  return loaded;
}

/** The same for what needs a packed model: a run without one is refused before its images are read. */
export function loadPackedRun(
  path: string,
  flags: RunFlags,
  signal: AbortSignal,
): ReturnType<typeof loadRunImages> {
  checkPacked(path);
  return loadRun(path, flags, signal);
}

/** Aborts on the first Ctrl-C or termination request, so that a checkpoint can be written; the second one kills. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
  return controller.signal;
}
