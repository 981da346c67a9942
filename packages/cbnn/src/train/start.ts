/** Training that begins with the weights of a finished run instead of random ones. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { configError, dataError } from '@cbnn/runtime';
import { parametersOf } from '../graph/technique.js';
import { initialValue } from '../nn/initialize.js';
import { type Plan, planShapes } from '../nn/plan.js';
import type { TrainingState, TrainingTensor } from '../nn/state.js';
import { techniqueOf, techniques } from '../techniques/index.js';
import { planOf, type RunConfig } from './config.js';
import { RunFolder, readCheckpoint } from './run-folder.js';

/** The run in `path`, as a configuration names it. Throws a config error unless it is finished. */
export function startOf(path: string, option: 'from' | 'teacher' = 'from'): NonNullable<RunConfig['from']> {
  const folder = new RunFolder(resolve(path));
  folder.readConfig();
  if (!existsSync(folder.result))
    throw configError(
      `${option} ${path}: expected a finished run, got an interrupted one; finish it with --resume`,
    );
  return { run: folder.path, sha256: createHash('sha256').update(readFileSync(folder.best)).digest('hex') };
}

/** The configuration of the run in `path`. */
export const startConfig = (path: string): RunConfig => new RunFolder(resolve(path)).readConfig();

/** Throws a config error where the run that `config` begins with is not of the same network on the same input. */
export function checkStart(config: RunConfig): void {
  if (!config.from) return;
  const { startsFrom, mayStartFrom } = techniques[config.technique];
  const start = new RunFolder(config.from.run).readConfig();
  const refuse = (what: string, expected: unknown, found: unknown) => {
    throw configError(`from ${config.from!.run}: expected a run with ${what} ${expected}, got ${found}`);
  };
  const wanted = startsFrom ?? mayStartFrom;
  if (start.technique !== wanted) refuse('technique', wanted, start.technique);
  if (start.architecture !== config.architecture)
    refuse('architecture', config.architecture, start.architecture);
  for (const name of ['firstLayer', 'slicing'] as const)
    if (start[name] !== config[name]) refuse(name, config[name], start[name]);
  for (const name of ['height', 'width', 'channels', 'encoding', 'slices', 'stretch'] as const)
    if (JSON.stringify(start.input[name]) !== JSON.stringify(config.input[name]))
      refuse(`input ${name}`, JSON.stringify(config.input[name]), JSON.stringify(start.input[name]));
  if (codeOf(start) !== codeOf(config)) refuse('code', codeOf(config), codeOf(start));
  checkImages('from', config.from, start, config);
}

const codeOf = ({ input }: RunConfig) => input.code ?? 'binary';

/** Otherwise images that it learned from could be among those that choose the epoch. */
function checkImages(
  option: 'from' | 'teacher',
  { run }: NonNullable<RunConfig['from']>,
  other: RunConfig,
  { dataset }: RunConfig,
): void {
  if (other.dataset.sha256 !== dataset.sha256)
    throw configError(
      `${option} ${run}: expected a run on the same training and validation images; give both the same data, --limit, --validation and --seed`,
    );
}

/** Throws a config error where the teacher of `config` would see other images, or knows other classes. */
export function checkTeacher(config: RunConfig): void {
  const { teacher, input } = config;
  if (!teacher) return;
  const other = new RunFolder(teacher.run).readConfig();
  checkImages('teacher', teacher, other, config);
  if (other.loss !== 'cross-entropy')
    throw configError(
      `teacher ${teacher.run}: expected a run trained with cross-entropy, whose scores are probabilities, got ${other.loss}; train it with --recipe modern`,
    );
  if (JSON.stringify(other.input.stretch) !== JSON.stringify(input.stretch))
    throw configError(
      `teacher ${teacher.run}: expected a run ${input.stretch ? 'with' : 'without'} the contrast stretch, got one ${input.stretch ? 'without' : 'with'}; give both the same --stretch`,
    );
  // Both see the same bytes, which are in the code already.
  if (codeOf(other) !== codeOf(config))
    throw configError(
      `teacher ${teacher.run}: expected a run on images in ${codeOf(config)} code, got one in ${codeOf(other)}; give both the same --code`,
    );
}

/** Mean magnitude of latent weights at the beginning: that of numbers drawn from [-1, 1], which the rates are made for. */
const LATENT_MAGNITUDE = 0.5;

/** Real weights as latent ones: the same signs, as large as latent weights usually begin, within [-1, 1]. */
function toLatent(plan: Plan, state: Map<string, TrainingTensor>): void {
  for (const shape of planShapes(plan))
    for (const { name, role, group } of parametersOf(techniqueOf(plan), plan, shape)) {
      if (role !== 'weights' || group !== 'binary') continue;
      const { shape: size, data } = state.get(name)!;
      const mean = data.reduce((sum, w) => sum + Math.abs(w), 0) / data.length;
      const factor = LATENT_MAGNITUDE / Math.max(mean, Number.MIN_VALUE);
      state.set(name, { shape: size, data: data.map((w) => Math.max(-1, Math.min(1, w * factor))) });
    }
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
  if (techniques[config.technique].latentWeights) toLatent(plan, state);
  // Scales begin at 1, as in the authors' code: batch norm takes out what they multiply with. Masks begin by keeping all.
  for (const shape of planShapes(plan))
    for (const parameter of parametersOf(techniqueOf(plan), plan, shape)) {
      const { name, role, shape: size } = parameter;
      if (role === 'positive' || role === 'negative' || role === 'mask')
        state.set(name, { shape: size, data: initialValue(parameter, shape, config.seed) });
    }
  return state;
}
