/** The sensitivity of a finished run, kept in its folder: measurements survive an interruption, results a new question. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { encodeModel, sha256 } from '@cbnn/runtime';
import { spreadImages } from '../data/dataset.js';
import { openEngine } from '../engines/evaluate.js';
import { type RunImages, readModel } from '../train/run.js';
import { RunFolder, readJson, writeFileAtomic, writeJsonAtomic } from '../train/run-folder.js';
import { analyzeSensitivity, type Measurement } from './analyze.js';
import type { SensitivityResult } from './result.js';

export interface RunSensitivityOptions {
  /** noise seeds; 3 by default */
  readonly seeds?: number;
  /** validation images used at most, spread over all; all by default */
  readonly images?: number;
  /** threads of the engine; 1 by default */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** called once, with what runs the analysis */
  readonly onStart?: (description: string) => void;
  /** experiments done, of all */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Asked before: the same model, images and seeds. */
const questionOf = (
  path: string,
  images: RunImages,
  { seeds = 3, images: count }: RunSensitivityOptions,
) => ({
  model: sha256(encodeModel(readModel(path))),
  images: Math.min(images.validation.count, count ?? images.validation.count),
  seeds,
});

/**
 * Analyses the run in `path` on its validation images and writes `sensitivity/result.json`. An interrupted analysis
 * continues; one that has been made already is measured again.
 */
export async function runSensitivity(
  path: string,
  images: RunImages,
  options: RunSensitivityOptions = {},
): Promise<SensitivityResult> {
  const folder = new RunFolder(path);
  const model = readModel(path);
  const question = questionOf(path, images, options);
  const validation = spreadImages(images.validation, options.images);
  const header = JSON.stringify(question);
  const partial = folder.file('sensitivity', 'measured.jsonl');
  const known = readPartial(partial, header);
  // Written anew: a kill may have left half a line at the end, and the next one must not be glued to it.
  const lines = [...known].map(([key, measurement]) => JSON.stringify({ key, ...measurement }));
  writeFileAtomic(partial, `${[header, ...lines].join('\n')}\n`);
  const engine = await openEngine(model, options.threads ?? 1);
  try {
    options.onStart?.(
      `${validation.count} validation images, ${question.seeds} noise seeds, ${engine.description}`,
    );
    const found = await analyzeSensitivity(model, engine, validation, images.dataset.title, {
      seeds: question.seeds,
      known,
      ...(options.signal && { signal: options.signal }),
      onMeasured: (key, measurement) =>
        appendFileSync(partial, `${JSON.stringify({ key, ...measurement })}\n`),
      ...(options.onProgress && { onProgress: options.onProgress }),
    });
    writeJsonAtomic(folder.file('sensitivity', 'result.json'), { ...found, question });
    return found;
  } finally {
    await engine.close();
  }
}

function readPartial(file: string, header: string): Map<string, Measurement> {
  const known = new Map<string, Measurement>();
  if (!existsSync(file)) return known;
  const [first, ...lines] = readFileSync(file, 'utf8').split('\n');
  if (first !== header) return known;
  for (const line of lines) {
    try {
      const { key, ...measurement } = JSON.parse(line) as Measurement & { key: string };
      known.set(key, measurement);
    } catch {
      // Half a line: that experiment is measured again.
    }
  }
  return known;
}

/** The run's sensitivity, measured now unless it has been for this very model, these images and seeds. */
export async function sensitivityOf(
  path: string,
  images: RunImages,
  options: RunSensitivityOptions = {},
): Promise<SensitivityResult> {
  const file = new RunFolder(path).file('sensitivity', 'result.json');
  if (existsSync(file)) {
    const { question, ...found } = readJson(file) as SensitivityResult & { question?: object };
    if (JSON.stringify(question) === JSON.stringify(questionOf(path, images, options))) return found;
  }
  return runSensitivity(path, images, options);
}
