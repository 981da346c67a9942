/** The native trainer: binary networks in integers on the CPU (@cbnn/native), several times as fast as the ONNX graph. */
import type { NativeTrainer } from '@cbnn/native';
import { nativePackage } from '../engines/packed-native.js';
import { names } from '../graph/names.js';
import { adam } from '../graph/optimizer.js';
import { openDevice } from '../graph/session.js';
import { initialValue } from '../nn/initialize.js';
import { inputChannels, layerParameters, type Plan, placeFactors, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { techniqueOf } from '../techniques/index.js';
import { firstLayerBound } from './first-layer-bound.js';
import { packedAnswers } from './packed-answers.js';
import { RunningStatistics, restoreInto } from './running-statistics.js';
import type { ImageBatch, Trainer } from './trainer.js';

const NOT_HERE = '@cbnn/native is not installed, or has nothing for this machine';

export interface StepOptions {
  readonly batch: number;
  readonly seed: number;
  readonly threads: number;
  /** an instruction set; the fastest by default */
  readonly kernels?: string;
}

/** What of a run decides whether the native step can train it, beside its network. */
export type Trained = Pick<Plan, 'technique' | 'variations'>;

/** Instruction sets that the native steps have, fastest first. */
type TrainingKernels = Pick<typeof import('@cbnn/native'), 'trainingKernels' | 'realTrainingKernels'>;

/** Why the native step cannot train that here; null where it can. */
export async function nativeTrainingRefusal(trained: Trained): Promise<string | null> {
  const { nativeStep } = techniqueOf(trained);
  if (nativeStep === null) return `technique ${trained.technique} has no native step`;
  const native = await nativePackage();
  if (!native) return NOT_HERE;
  const kernels = nativeStep === 'integers' ? native.trainingKernels() : native.realTrainingKernels();
  return kernels.length > 0 ? null : '@cbnn/native trains nothing on this machine';
}

/**
 * Whether the native step is the fastest engine here for that. In integers it is but for plain C, which takes 24 times as long as ONNX
 * Runtime's CPU kernels (W = 64, one thread of a Zen 5). In bfloat16 it is twice as fast as ONNX Runtime's CPU kernels where
 * the processor multiplies that, and about as fast where it does not; but several times faster than WebAssembly.
 */
export async function isNativeFastest(trained: Trained, here?: TrainingKernels): Promise<boolean> {
  const native = here ?? (await nativePackage());
  if (techniqueOf(trained).nativeStep === 'integers') return native?.trainingKernels()[0] !== 'portable';
  const kernels = native?.realTrainingKernels()[0];
  if (kernels === 'avx512-bf16') return true;
  return kernels !== undefined && kernels !== 'portable' && (await openDevice('auto', 1)).name === 'wasm';
}

/** Why sums of this network are too large for the native step in integers; null where they are not. */
export async function networkRefusal(plan: Plan, batch: number): Promise<string | null> {
  const native = await nativePackage();
  if (!native) return NOT_HERE;
  if (techniqueOf(plan).nativeStep !== 'integers') return null;
  return native.trainingRefusal({
    input: plan.input,
    shapes: planShapes(plan),
    firstBound: firstLayerBound(plan),
    batch,
  });
}

/** A network's step with freshly initialized weights, and its tensors by their names in a state. */
export async function layOutStep(
  plan: Plan,
  { batch, seed, threads, kernels }: StepOptions,
): Promise<{ trainer: NativeTrainer; tensors: TrainingState }> {
  const native = await import('@cbnn/native');
  const shapes = planShapes(plan);
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const layers = shapes.map((layer) => {
    const parameters = layerParameters(plan, layer, true);
    const [weights, gamma, beta] = parameters.map((parameter) => {
      const { name, shape } = parameter;
      const value = initialValue(parameter, layer, seed);
      const first = new Float32Array(value.length);
      const second = new Float32Array(value.length);
      tensors.set(name, { shape, data: value });
      tensors.set(names.firstMoment(name), { shape, data: first });
      tensors.set(names.secondMoment(name), { shape, data: second });
      return { value, first, second };
    });
    return { weights: weights!, gamma: gamma!, beta: beta!, rateScale: parameters[0]!.rateScale };
  });
  const trainer = native.NativeTrainer.create({
    input: plan.input,
    shapes,
    layers,
    firstLayer: plan.firstLayer === 'integer' ? 'integer' : 'binary',
    place: placeFactors(plan) ?? new Float32Array(inputChannels(plan.input)).fill(1),
    firstBound: firstLayerBound(plan),
    loss: plan.loss,
    batch,
    threads,
    ...(kernels !== undefined && { kernels }),
  });
  return { trainer, tensors };
}

/** For plans that `nativeTrainingRefusal` has nothing against; throws a config error where `networkRefusal` has, or memory lacks. */
export async function createNativeTrainer(plan: Plan, options: StepOptions): Promise<Trainer> {
  const { batch, threads } = options;
  const { trainer, tensors } = await layOutStep(plan, options);
  const shapes = planShapes(plan);
  const running = new RunningStatistics(shapes);
  const units = { shape: [shapes.length], data: new Float32Array(shapes.length) };
  const weights = (): TrainingState => new Map([...tensors, ...running.tensors()]);

  return {
    description: `native: cbnn's own training step, ${trainer.kernels}, ${threads} thread${threads === 1 ? '' : 's'}`,
    batch,

    async step({ pixels, labels, targets }: ImageBatch, rates, step) {
      const own = { latent: adam.stepRate(rates.binary, step), float: adam.stepRate(rates.float, step) };
      const result = await trainer.step(pixels, labels, own, step, targets);
      running.average(trainer.statistics);
      return result;
    },

    calibrate: (batches) =>
      running.estimate(batches, trainer.statistics, ({ pixels }) => trainer.forward(pixels)),

    classify: (images, signal) => packedAnswers(plan, weights(), images, { threads, signal }),

    state() {
      units.data.set(trainer.units);
      return new Map([...weights(), [names.gradientUnits, units]]);
    },

    restore(saved) {
      restoreInto(weights(), saved);
      // Another trainer's checkpoint has none: the next step measures them.
      trainer.units = saved.get(names.gradientUnits)?.data ?? new Float32Array(shapes.length);
    },

    async close() {},
  };
}
