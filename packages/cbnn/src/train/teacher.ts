/** Distillation: a finished network's probabilities in place of labels (Hinton et al. 2015, at temperature 1; as ReActNet: Liu et al. 2020). */
import { dataError } from '@cbnn/runtime';
import { evaluationFeeds, openEvaluator } from '../graph/evaluator.js';
import { openDevice } from '../graph/session.js';
import { parametersOf } from '../graph/technique.js';
import { planShapes } from '../nn/plan.js';
import { techniqueOf } from '../techniques/index.js';
import { planOf, type RunConfig } from './config.js';
import { RunFolder, readCheckpoint } from './run-folder.js';
import { startOf } from './start.js';
import type { ImageBatch } from './trainer.js';

export interface Teacher {
  /** The batch with what to learn of it. */
  teach(batch: ImageBatch): Promise<ImageBatch>;
  close(): Promise<void>;
}

/** The best weights of the run that `config` names. Throws a data error where they have changed since. */
export async function openTeacher({ teacher, batch, threads }: RunConfig): Promise<Teacher | null> {
  if (!teacher) return null;
  if (startOf(teacher.run, 'teacher').sha256 !== teacher.sha256)
    throw dataError(
      `teacher ${teacher.run}: its weights have changed since this run was begun; restore them, or begin anew`,
    );
  const folder = new RunFolder(teacher.run);
  const plan = planOf(folder.readConfig());
  const technique = techniqueOf(plan);
  const shapes = planShapes(plan);
  const parameters = shapes.flatMap((shape) => parametersOf(technique, plan, shape));
  const feeds = evaluationFeeds({ parameters, shapes }, readCheckpoint(folder.best).state, technique);
  const device = await openDevice('auto', threads, 'asleep');
  const evaluator = await openEvaluator(plan, technique, device, batch, feeds);
  const classes = shapes.at(-1)!.output.channels;
  return {
    teach: async (images) => ({ ...images, targets: softmax(await evaluator.scores(images), classes) }),
    close: () => evaluator.close(),
  };
}

/** Rows of scores -> rows of probabilities. */
function softmax(scores: Float32Array, classes: number): Float32Array {
  const out = new Float32Array(scores.length);
  for (let start = 0; start < scores.length; start += classes) {
    const row = scores.subarray(start, start + classes);
    const largest = Math.max(...row);
    const powers = Array.from(row, (score) => Math.exp(score - largest));
    const total = powers.reduce((sum, power) => sum + power, 0);
    out.set(
      powers.map((power) => power / total),
      start,
    );
  }
  return out;
}
