/** The steps that the commands and the demo share: sensitivity with its partial results kept, compaction with its lines. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { encodeModel, sha256 } from '@cbnn/runtime';
import { type CompactOptions, compact } from '../compact/compact.js';
import type { CompactionResult } from '../compact/result.js';
import { spreadImages } from '../data/dataset.js';
import { formatBytes } from '../report/format.js';
import { analyzeSensitivity, type Measurement } from '../sensitivity/analyze.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import type { RunConfig } from '../train/config.js';
import { openEngine, type RunImages, readModel } from '../train/run.js';
import { RunFolder, readJson, writeFileAtomic, writeJsonAtomic } from '../train/run-folder.js';
import { note, progressBar, trainingBar } from './console.js';

export interface SensitivityRequest {
  readonly seeds: number;
  /** validation images used at most */
  readonly images?: number;
  readonly signal?: AbortSignal;
}

/** Analyses the run in `path`; measurements of an interrupted analysis of the same model and images are kept. */
export async function runSensitivity(
  path: string,
  config: RunConfig,
  images: RunImages,
  request: SensitivityRequest,
): Promise<SensitivityResult> {
  const folder = new RunFolder(path);
  const model = readModel(path);
  const validation = spreadImages(images.validation, request.images);
  const { count } = validation;
  const header = JSON.stringify({
    model: sha256(encodeModel(model)),
    images: count,
    seeds: request.seeds,
  });
  const partial = folder.file('sensitivity', 'measured.jsonl');
  const known = readPartial(partial, header);
  if (known.size === 0) writeFileAtomic(partial, `${header}\n`);
  const engine = await openEngine(model, config.threads);
  note(
    `sensitivity of ${path}: ${count} validation images, ${request.seeds} noise seeds, ${engine.description}`,
  );
  const bar = progressBar('sensitivity');
  try {
    const found = await analyzeSensitivity(model, engine, validation, images.dataset.title, {
      seeds: request.seeds,
      known,
      ...(request.signal && { signal: request.signal }),
      onMeasured: (key, measurement) =>
        appendFileSync(partial, `${JSON.stringify({ key, ...measurement })}\n`),
      onProgress: (done, total) => bar.update(done, total),
    });
    writeJsonAtomic(folder.file('sensitivity', 'result.json'), found);
    return found;
  } finally {
    bar.stop();
    await engine.close();
  }
}

function readPartial(file: string, header: string): Map<string, Measurement> {
  const known = new Map<string, Measurement>();
  if (!existsSync(file)) return known;
  const [first, ...lines] = readFileSync(file, 'utf8').split('\n');
  if (first !== header) return known;
  for (const line of lines) {
    // A kill can leave the last line cut off: that experiment is measured again.
    if (!line.endsWith('}')) continue;
    const { key, ...measurement } = JSON.parse(line) as Measurement & { key: string };
    known.set(key, measurement);
  }
  return known;
}

/** The run's sensitivity, measured now if it has not been. */
export async function sensitivityOf(
  path: string,
  config: RunConfig,
  images: RunImages,
  request: SensitivityRequest,
): Promise<SensitivityResult> {
  const file = new RunFolder(path).file('sensitivity', 'result.json');
  return existsSync(file)
    ? (readJson(file) as SensitivityResult)
    : runSensitivity(path, config, images, request);
}

export async function runCompaction(
  path: string,
  config: RunConfig,
  images: RunImages,
  dataDir: string,
  sensitivity: SensitivityResult,
  options: CompactOptions,
): Promise<CompactionResult> {
  let bar: ReturnType<typeof trainingBar> | null = null;
  let number = 0;
  try {
    return await compact(path, config, images, dataDir, sensitivity, {
      ...options,
      onProgress(event) {
        if (event.kind === 'training') {
          if (event.number !== number) {
            bar?.stop();
            number = event.number;
            bar = trainingBar(`try ${number}`);
            note(`try ${number}: ${event.architecture}`);
          }
          bar?.show(event.progress);
        } else {
          bar?.stop();
          bar = null;
          const { id, reason, bytes, drop, interval, accepted } = event.outcome;
          note(
            `try ${id} (${reason}): ${formatBytes(bytes)}, drop ${drop.toFixed(2)} points [${interval[0].toFixed(2)}, ${interval[1].toFixed(2)}]: ${accepted ? 'accepted' : 'rejected'}`,
          );
        }
      },
    });
  } finally {
    (bar as ReturnType<typeof trainingBar> | null)?.stop();
  }
}
