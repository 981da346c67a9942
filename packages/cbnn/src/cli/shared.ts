import { Option } from 'commander';
import { loadRunImages } from '../train/run.js';
import { progressBar } from './console.js';

/** `--data-dir`, by default the environment's CBNN_DATA. */
export const dataDirOption = (): Option =>
  new Option('--data-dir <folder>', 'folder that holds data sets by name (default: "data")').env('CBNN_DATA');

/** The same for commands on runs, which remember where their images were. */
export const runDataDirOption = (): Option =>
  new Option('--data-dir <folder>', 'folder that holds data sets by name, where it has moved since training');

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

/** Aborts on the first Ctrl-C or termination request, so that a checkpoint can be written; the second one kills. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
  return controller.signal;
}
