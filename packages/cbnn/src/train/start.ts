/** Training that begins with the weights of a finished run instead of random ones. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { configError, dataError } from '@cbnn/runtime';
import { parametersOf } from '../graph/technique.js';
import { planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { techniques } from '../techniques/index.js';
import { planOf, type RunConfig } from './config.js';
import { RunFolder, readCheckpoint } from './run-folder.js';

/** The run in `path`, as a configuration names it. Throws a config error unless it is finished. */
export function startOf(path: string): NonNullable<RunConfig['from']> {
  const folder = new RunFolder(resolve(path));
  folder.readConfig();
  if (!existsSync(folder.result))
    throw configError(
      `from ${path}: expected a finished run, got an interrupted one; finish it with --resume`,
    );
  return { run: folder.path, sha256: createHash('sha256').update(readFileSync(folder.best)).digest('hex') };
}

/** The configuration of the run in `path`. */
export const startConfig = (path: string): RunConfig => new RunFolder(resolve(path)).readConfig();

/** Throws a config error where the run that `config` begins with is not of the same network on the same input. */
export function checkStart(config: RunConfig): void {
  if (!config.from) return;
  const { startsFrom } = techniques[config.technique];
  const start = new RunFolder(config.from.run).readConfig();
  const refuse = (what: string, expected: unknown, found: unknown) => {
    throw configError(`from ${config.from!.run}: expected a run with ${what} ${expected}, got ${found}`);
  };
  if (start.technique !== startsFrom) refuse('technique', startsFrom, start.technique);
  if (start.architecture !== config.architecture)
    refuse('architecture', config.architecture, start.architecture);
  for (const name of ['firstLayer', 'slicing'] as const)
    if (start[name] !== config[name]) refuse(name, config[name], start[name]);
  for (const name of ['height', 'width', 'channels', 'encoding', 'slices', 'stretch'] as const)
    if (JSON.stringify(start.input[name]) !== JSON.stringify(config.input[name]))
      refuse(`input ${name}`, JSON.stringify(config.input[name]), JSON.stringify(start.input[name]));
  // Otherwise images that it learned from could be among those that choose the epoch.
  if (start.dataset.sha256 !== config.dataset.sha256)
    throw configError(
      `from ${config.from.run}: expected a run on the same training and validation images; give both the same data, --limit, --validation and --seed`,
    );
}

/** What `config` begins with; undefined where that is random, or its checkpoint has it already. */
export function startingState(config: RunConfig, folder: RunFolder): TrainingState | undefined {
  if (!config.from || existsSync(folder.checkpoint)) return undefined;
  const { run, sha256 } = startOf(config.from.run);
  if (sha256 !== config.from.sha256)
    throw dataError(
      `from ${run}: its weights have changed since this run was begun; restore them, or begin anew`,
    );
  const state = new Map(readCheckpoint(new RunFolder(run).best).state);
  const plan = planOf(config);
  // Scales begin at 1, as in the authors' code: batch norm takes out what they multiply with. Masks begin by keeping all.
  for (const shape of planShapes(plan))
    for (const { name, role, shape: size } of parametersOf(techniques[config.technique], plan, shape))
      if (role === 'positive' || role === 'negative' || role === 'mask')
        state.set(name, {
          shape: size,
          data: new Float32Array(size.reduce((product, side) => product * side, 1)).fill(1),
        });
  return state;
}
