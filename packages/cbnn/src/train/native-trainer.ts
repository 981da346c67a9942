/** The native trainer: binary networks in integers on the CPU (@cbnn/native), several times as fast as the ONNX graph. */
import { inputMagnitudes } from '@cbnn/runtime';
import { openEngine } from '../engines/evaluate.js';
import { nativePackage } from '../engines/packed-native.js';
import { names } from '../graph/names.js';
import { INTEGER_WEIGHT_LIMIT } from '../graph/operations/quantizers.js';
import { adamRate } from '../graph/optimizer.js';
import { initialValue } from '../nn/initialize.js';
import { inputChannels, layerParameters, type Plan, placeFactors, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { packModel } from '../pack/pack.js';
import { argmax } from '../predictions.js';
import { RunningStatistics, restoreInto } from './running-statistics.js';
import type { ImageBatch, Trainer } from './trainer.js';

/** Why the native step cannot train `technique` here; null where it can. */
export async function nativeTrainingRefusal(technique: Plan['technique']): Promise<string | null> {
  if (technique !== 'bnn')
    return `technique ${technique} is not binary; the native step trains bnn, the other devices every technique`;
  const native = await nativePackage();
  if (!native) return '@cbnn/native is not installed, or has nothing for this machine';
  return native.trainingKernels().length > 0 ? null : '@cbnn/native trains nothing on this machine';
}

/** Throws a config error where `nativeTrainingRefusal` has a reason, or the network is too large. */
export async function createNativeTrainer(
  plan: Plan,
  { batch, seed, threads }: { readonly batch: number; readonly seed: number; readonly threads: number },
): Promise<Trainer> {
  const { NativeTrainer } = await import('@cbnn/native');
  const shapes = planShapes(plan);
  const channels = inputChannels(plan.input);
  const parameters = shapes.map((shape) => layerParameters(plan, shape, true));
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const layers = parameters.map((own, k) => {
    const [weights, gamma, beta] = own.map((parameter) => {
      const { name, shape } = parameter;
      const value = initialValue(parameter, shapes[k]!, seed);
      const tensor = {
        value,
        first: new Float32Array(value.length),
        second: new Float32Array(value.length),
      };
      tensors.set(name, { shape, data: tensor.value });
      tensors.set(names.firstMoment(name), { shape, data: tensor.first });
      tensors.set(names.secondMoment(name), { shape, data: tensor.second });
      return tensor;
    });
    return { weights: weights!, gamma: gamma!, beta: beta!, rateScale: own[0]!.rateScale };
  });
  const perTap = inputMagnitudes(plan.input).reduce((sum, magnitude) => sum + magnitude, 0);
  const largestWeight = plan.firstLayer === 'integer' ? INTEGER_WEIGHT_LIMIT : 1;
  const trainer = NativeTrainer.create({
    input: plan.input,
    shapes,
    layers,
    firstLayer: plan.firstLayer === 'integer' ? 'integer' : 'binary',
    place: placeFactors(plan) ?? new Float32Array(channels).fill(1),
    firstBound: (shapes[0]!.fanIn / channels) * perTap * largestWeight,
    loss: plan.loss,
    batch,
    threads,
  });
  const running = new RunningStatistics(shapes);
  const units = { shape: [shapes.length], data: new Float32Array(shapes.length) };
  const weights = (): TrainingState => new Map([...tensors, ...running.tensors()]);

  return {
    description: `native: cbnn's own training step, ${trainer.kernels}, ${threads} thread${threads === 1 ? '' : 's'}`,
    batch,

    async step({ pixels, labels }: ImageBatch, rates, step) {
      const result = await trainer.step(pixels, labels, {
        latent: adamRate(rates.binary, step),
        float: adamRate(rates.float, step),
      });
      running.average(trainer.statistics);
      return result;
    },

    async calibrate(batches) {
      const left = batches[Symbol.iterator]();
      await running.estimate(trainer.statistics, async () => {
        const { value: given, done } = left.next();
        if (done) return false;
        await trainer.forward(given.pixels);
        return true;
      });
    },

    async classify({ pixels, count }) {
      const classes = Array.from({ length: shapes.at(-1)!.output.channels }, (_, c) => String(c));
      const provenance = { technique: plan.technique, recipe: '', dataset: '', epochs: 0, seed };
      const engine = await openEngine(packModel(plan, weights(), classes, provenance), threads);
      try {
        const scores = await engine.scores(pixels, count);
        return Uint16Array.from({ length: count }, (_, n) => argmax(scores, n, classes.length));
      } finally {
        await engine.close();
      }
    },

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
