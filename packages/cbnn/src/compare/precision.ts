/** Accuracy against bits: a trained network of full precision, rounded to fixed point of one width after the other. */
import { configError } from '@cbnn/runtime';
import { openDevice } from '../graph/session.js';
import type { Plan } from '../nn/plan.js';
import { errorInterval } from '../statistics.js';
import { evaluatedError, fixedPointState, layerValues } from '../train/after-training.js';
import { planOf } from '../train/config.js';
import { checkFinished, type RunImages } from '../train/run.js';
import { RunFolder, readCheckpoint } from '../train/run-folder.js';
import type { ErrorOf } from './result.js';

export const DEFAULT_WIDTHS = [2, 3, 4, 5, 6, 7, 8, 10, 12, 16] as const;
/** Of what is not being narrowed. */
const WIDE = 16;

/** What is narrowed: the other stays at 16 bits. */
export const narrowed = ['both', 'weights', 'activations'] as const;
export type Narrowed = (typeof narrowed)[number];

export interface PrecisionResult {
  readonly formatVersion: 1;
  readonly run: string;
  readonly dataset: string;
  readonly architecture: string;
  readonly split: 'validation' | 'test';
  readonly images: number;
  /** of the network in full precision */
  readonly float: ErrorOf;
  readonly points: readonly PrecisionPoint[];
}

export interface PrecisionPoint {
  readonly narrowed: Narrowed;
  readonly bits: number;
  readonly error: ErrorOf;
}

/** Of the finished run in `path`, technique float. Throws a config error for any other. */
export async function precisionOf(
  path: string,
  images: RunImages,
  {
    widths = DEFAULT_WIDTHS,
    split = 'validation',
    threads,
    signal,
    onProgress,
  }: {
    readonly widths?: readonly number[];
    readonly split?: 'validation' | 'test';
    readonly threads?: number;
    readonly signal?: AbortSignal;
    readonly onProgress?: (done: number, total: number, text: string) => void;
  } = {},
): Promise<PrecisionResult> {
  checkFinished(path);
  const folder = new RunFolder(path);
  const config = folder.readConfig();
  if (config.technique !== 'float')
    throw configError(`run ${path}: expected a run of technique float, got ${config.technique}`);
  const wrong = widths.find((bits) => !Number.isInteger(bits) || bits < 2 || bits > 16);
  if (wrong !== undefined) throw configError(`bits: expected 2 to 16, got ${wrong}`);

  const set = split === 'test' ? images.dataset.test : images.validation;
  const device = await openDevice('auto', threads ?? config.threads);
  const float = planOf(config);
  const { state } = readCheckpoint(folder.best);
  const intervalOf = (error: number) => errorInterval(Math.round((error * set.count) / 100), set.count);
  const values = await layerValues({ ...float, technique: 'fixed-point' }, state, images.train, device);
  const total = 1 + narrowed.length * widths.length;
  let done = 0;
  const measured = async (plan: Plan, text: string) => {
    signal?.throwIfAborted();
    const own = plan.precision ? fixedPointState(plan, state, values) : state;
    const error = intervalOf(await evaluatedError(plan, own, set, device));
    onProgress?.(++done, total, text);
    return error;
  };
  const full = await measured(float, 'float');
  const points: PrecisionPoint[] = [];
  for (const kind of narrowed)
    for (const bits of widths) {
      const precision = {
        weights: kind === 'activations' ? WIDE : bits,
        activations: kind === 'weights' ? WIDE : bits,
      };
      const plan: Plan = { ...float, technique: 'fixed-point', precision };
      points.push({ narrowed: kind, bits, error: await measured(plan, `${kind}, ${bits} bits`) });
    }
  return {
    formatVersion: 1,
    run: path,
    dataset: images.dataset.title,
    architecture: config.architecture,
    split,
    images: set.count,
    float: full,
    points,
  };
}
