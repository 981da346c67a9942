/** Answers of a network in training from its packed form, on the fastest engine here: exactly those of its graph, and sooner. */
import { predictPrepared } from '../engines/evaluate.js';
import type { Pixels } from '../graph/evaluator.js';
import { type Plan, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { packModel } from '../pack/pack.js';
import { answeringState } from '../store/network-file.js';

/** The class of each image; of plans whose technique has integer sums. */
export async function packedAnswers(
  plan: Plan,
  state: TrainingState,
  images: Pixels,
  { threads, signal }: { readonly threads: number; readonly signal?: AbortSignal | undefined },
): Promise<Uint16Array> {
  const classes = Array.from({ length: planShapes(plan).at(-1)!.output.channels }, (_, c) => String(c));
  const provenance = { technique: plan.technique, recipe: '', dataset: '', epochs: 0, seed: 0 };
  const model = packModel(plan, await answeringState(plan, state), classes, provenance);
  return predictPrepared(model, images, threads, signal ? { signal } : {});
}
