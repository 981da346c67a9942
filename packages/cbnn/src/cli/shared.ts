import { Option } from 'commander';

/** `--data-dir`, by default the environment's CBNN_DATA, else `data`. */
export const dataDirOption = (): Option =>
  new Option('--data-dir <folder>', 'folder that holds data sets by name').env('CBNN_DATA').default('data');

/** Aborts on the first Ctrl-C or termination request, so that a checkpoint can be written; the second one kills. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
  return controller.signal;
}
