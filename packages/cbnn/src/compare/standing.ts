/** How far a comparison is, read from the folders of its runs: a stopped one knows it, too. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CompactionResult } from '../compact/result.js';
import { techniques } from '../techniques/index.js';
import { readMetrics } from '../train/run.js';
import { RunFolder, readJson } from '../train/run-folder.js';
import type { TrainingResult } from '../train/train.js';
import { COMPACTION_TRIES } from './budget.js';
import type { Contender } from './contenders.js';

export interface Standing {
  readonly name: string;
  /** `left out`: nothing smaller was good enough */
  readonly state: 'waiting' | 'training' | 'done' | 'left out';
  /** of its own training, those behind it and all; null where it trains no further */
  readonly epochs: { readonly done: number; readonly all: number } | null;
  /** percent: of the best epoch, or of the last so far; null before there is one */
  readonly validationError: number | null;
}

/** Of all contenders of the comparison in `out`, each trained for `epochs`: the first that is not done is in training. */
export function standings(out: string, contenders: readonly Contender[], epochs: number): Standing[] {
  const all = contenders.map((contender) =>
    contender.compacts === undefined
      ? ofRun(join(out, contender.name), contender, epochs)
      : ofCompaction(join(out, contender.compacts), contender, epochs),
  );
  const current = all.findIndex(({ state }) => state === 'waiting');
  return all.map((one, i) => (i === current ? { ...one, state: 'training' } : one));
}

function ofRun(path: string, { name, technique }: Contender, all: number): Standing {
  const folder = new RunFolder(path);
  const trains = !techniques[technique].afterTraining;
  if (existsSync(folder.result)) {
    const { validationError } = readJson(folder.result) as TrainingResult;
    return { name, state: 'done', epochs: trains ? { done: all, all } : null, validationError };
  }
  const metrics = readMetrics(path);
  const validationError = metrics.at(-1)?.validationError ?? null;
  const done = Math.min(metrics.length, all);
  return { name, state: 'waiting', epochs: trains ? { done, all } : null, validationError };
}

/** Of the bnn in `path`: its tries are trained one after the other. */
function ofCompaction(path: string, { name }: Contender, all: number): Standing {
  const file = new RunFolder(path).file('compact', 'result.json');
  const found = existsSync(file) ? (readJson(file) as CompactionResult) : null;
  if (!found || !(found.finished || found.tries.length >= COMPACTION_TRIES))
    return { name, state: 'waiting', epochs: { done: 0, all }, validationError: null };
  const chosen = found.tries.find(({ id }) => id === found.chosen);
  return {
    name,
    state: chosen ? 'done' : 'left out',
    epochs: { done: all, all },
    validationError: chosen?.validationError ?? null,
  };
}
