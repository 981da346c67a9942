/**
 * The native trainer of techniques whose operands are not all bits: products of bfloat16 on the CPU (@cbnn/native). A technique's
 * quantizers stay what they are, nodes of a small graph in front of the native step, and their gradients' one behind it; so do optimizers
 * other than Adam.
 */
import { internalError } from '@cbnn/runtime';
import { type Evaluator, evaluationFeeds, openEvaluator } from '../graph/evaluator.js';
import { Graph } from '../graph/graph.js';
import { names } from '../graph/names.js';
import { layerInputs } from '../graph/network.js';
import { sharpnessAt } from '../graph/operations/estimators.js';
import { type Device, type Feeds, openDevice } from '../graph/session.js';
import { optimizerOf, parametersOf } from '../graph/technique.js';
import { quantizerGradients, quantizerGraph, updateGraph, type WeightsGraph } from '../graph/weights.js';
import { initialValue } from '../nn/initialize.js';
import { type Plan, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { techniqueOf } from '../techniques/index.js';
import type { StepOptions } from './native-trainer.js';
import { packedAnswers } from './packed-answers.js';
import { RunningStatistics, restoreInto } from './running-statistics.js';
import { StepNoise } from './step-noise.js';
import type { ImageBatch, Trainer } from './trainer.js';

interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const zeros = (shape: readonly number[]): Tensor => ({
  shape,
  data: new Float32Array(shape.reduce((product, size) => product * size, 1)),
});

/** For plans that `nativeTrainingRefusal` has nothing against; throws a config error where memory lacks. */
export async function createRealTrainer(plan: Plan, options: StepOptions): Promise<Trainer> {
  const { batch, threads } = options;
  const technique = techniqueOf(plan);
  const { trainer, state: trained, quantize, passBack, update, close } = await layOutRealStep(plan, options);
  const shapes = planShapes(plan);
  const running = new RunningStatistics(shapes);
  const state = (): TrainingState => new Map([...trained, ...running.tensors()]);
  // Opened when first needed, as in the ONNX trainer.
  let evaluator: Evaluator | null = null;

  return {
    description: `native: cbnn's own training step in bfloat16, ${trainer.kernels}, ${threads} thread${threads === 1 ? '' : 's'}`,
    batch,

    async step({ pixels, labels, targets }: ImageBatch, rates, step) {
      await quantize('training', step, rates.progress);
      const sharpness = sharpnessAt(rates.progress);
      const { loss, correct } = await trainer.step(pixels, labels, { targets, sharpness });
      await passBack();
      await update({
        binary: optimizerOf(technique, 'binary').stepRate(rates.binary, step),
        float: optimizerOf(technique, 'float').stepRate(rates.float, step),
      });
      running.average(trainer.statistics);
      return { loss, correct };
    },

    async calibrate(batches) {
      await quantize('evaluation', 0, 0);
      await running.estimate(batches, trainer.statistics, ({ pixels }) => trainer.forward(pixels));
    },

    async classify(images, signal) {
      if (technique.integerSums) return packedAnswers(plan, state(), images, { threads, signal });
      evaluator ??= await openEvaluator(plan, technique, await openDevice('auto', threads, 'asleep'));
      const parameters = shapes.flatMap((shape) => parametersOf(technique, plan, shape));
      const feeds = evaluationFeeds({ parameters, shapes }, state(), technique);
      return evaluator.classify(images, feeds, signal);
    },

    state,

    restore: (saved) => restoreInto(state(), saved),

    async close() {
      await close();
      await evaluator?.close();
    },
  };
}

/** The native step of a network with freshly initialized weights, and what stands before and behind it. */
export async function layOutRealStep(plan: Plan, { batch, seed, threads, kernels }: StepOptions) {
  const native = await import('@cbnn/native');
  const technique = techniqueOf(plan);
  const shapes = planShapes(plan);
  // Of one thread: a second one would wait awake for a while, on a processor that the step wants (forward 62 ms instead of 38), and save nothing.
  const device = await openDevice('auto', 1);
  const forward = quantizerGraph(plan, technique, 'training');
  const backward = quantizerGradients(plan, technique);

  // Every array once, by its name: those of a state, and beside them gradients and the weights that are multiplied with.
  const state = new Map<string, Tensor>();
  const arrays = new Map<string, Tensor>();
  const at = (name: string): Tensor =>
    arrays.get(forward.sources.get(name) ?? backward.sources.get(name) ?? name)!;
  const parameters = shapes.flatMap((shape) => parametersOf(technique, plan, shape));
  for (const parameter of parameters) {
    const { name, shape, group, role, kernelLayer } = parameter;
    state.set(name, { shape, data: initialValue(parameter, shapes[kernelLayer]!, seed) });
    if (group === 'fixed') continue;
    for (const moment of [names.firstMoment(name), names.secondMoment(name)]) state.set(moment, zeros(shape));
    const gradientOf = role === 'weights' ? names.quantized(kernelLayer) : name;
    arrays.set(names.gradient(gradientOf), zeros(shape));
  }
  for (const [name, tensor] of state) arrays.set(name, tensor);
  for (const { name, shape } of [...forward.outputs, ...backward.outputs]) arrays.set(name, zeros(shape));

  const moment: Tensor = { shape: [], data: new Float32Array(1) };
  arrays.set(names.progress, moment);

  const activations = shapes.map((shape) => {
    const { context } = layerInputs(new Graph(), plan, technique, shape, 'training');
    const activation = context.isLast ? 'none' : technique.activation(context);
    if (typeof activation === 'string') return activation;
    throw internalError(`native training: ${technique.name} has activations of its own`);
  });
  // As the graph has them: of each layer whose signs are drawn, in their order.
  const isDrawn = (k: number) => activations[k]!.startsWith('random-');
  const drawing = shapes.filter((_, k) => isDrawn(k));
  const noise = new StepNoise(
    drawing.map(({ index, pooled: { height, width, channels } }) => ({
      name: names.noise(index),
      shape: [batch, channels, height, width],
    })),
    seed,
  );
  const drawn = noise.draw(0);

  const trainer = native.RealTrainer.create({
    input: plan.input,
    shapes,
    layers: shapes.map((_, k) => {
      const activation = activations[k]!;
      const of = (role: string) => at(`layers.${k}.${role}`).data;
      return {
        weights: at(names.quantized(k)).data,
        gamma: of('gamma'),
        beta: of('beta'),
        gradients: {
          weights: at(names.gradient(names.quantized(k))).data,
          gamma: at(names.gradient(`layers.${k}.gamma`)).data,
          beta: at(names.gradient(`layers.${k}.beta`)).data,
        },
        activation,
        ...(isDrawn(k) && { noise: drawn[names.noise(k)]!.data as Float32Array }),
      };
    }),
    tensors: parameters
      .filter(({ group }) => group !== 'fixed')
      .map(({ name, group, rateScale }) => ({
        value: at(name).data,
        first: at(names.firstMoment(name)).data,
        second: at(names.secondMoment(name)).data,
        gradient: at(names.gradient(name)).data,
        isLatent: group === 'binary',
        rateScale,
      })),
    loss: plan.loss,
    hasShifts: technique.shiftNormalization ?? false,
    batch,
    threads,
    ...(kernels !== undefined && { kernels }),
  });

  const training = await openPart(forward, device, arrays, seed);
  const answering = technique.answersOtherwise
    ? await openPart(quantizerGraph(plan, technique, 'evaluation'), device, arrays, seed)
    : training;
  const gradients = await openPart(backward, device, arrays, seed);
  const updates = technique.optimizers ? await openUpdates() : null;

  /** Optimizers as their graph: new values beside the old ones, which they then replace. */
  async function openUpdates() {
    const graph = updateGraph(plan, technique);
    const rate = { binary: new Float32Array(1), float: new Float32Array(1) };
    const own = new Map<string, Tensor>();
    for (const { name } of graph.inputs) own.set(name, at(name));
    for (const group of ['binary', 'float'] as const)
      own.set(names.rate[group], { shape: [], data: rate[group] });
    for (const { name, shape } of graph.outputs) own.set(name, zeros(shape));
    const part = await openPart(graph, device, own, seed);
    return {
      ...part,
      async run(rates: { readonly binary: number; readonly float: number }): Promise<void> {
        rate.binary[0] = rates.binary;
        rate.float[0] = rates.float;
        await part.run(0);
        for (const [name, { data }] of state) {
          const next = own.get(names.next(name));
          if (next) data.set(next.data);
        }
      },
    };
  }

  return {
    trainer,
    /** a state's, but for the statistics of batch norm */
    state: state as TrainingState,
    gradient: (parameter: string): Float32Array => at(names.gradient(parameter)).data,
    /** Trained weights become those that are multiplied with: those that learn in a step, whose noise is drawn, or those that answer. */
    async quantize(phase: 'training' | 'evaluation', step: number, progress: number): Promise<void> {
      moment.data[0] = progress;
      if (phase === 'training') noise.draw(step);
      const { graph, run } = phase === 'training' ? training : answering;
      await run(step);
      for (const [wanted, source] of graph.sources) {
        const [to, from] = [at(wanted).data, arrays.get(source)!.data];
        if (to !== from) to.set(from);
      }
    },
    /** Gradients of weights that are multiplied with become those of trained ones. */
    passBack: () => gradients.run(0),
    /** Trained tensors make a step of their optimizer's, with rates as it wants them. */
    update: (rates: { readonly binary: number; readonly float: number }): Promise<void> =>
      updates ? updates.run(rates) : trainer.update({ latent: rates.binary, float: rates.float }),
    async close(): Promise<void> {
      for (const part of new Set([training, answering, gradients])) await part.close();
      await updates?.close();
    },
  };
}

/** A small graph on arrays that it knows by their names. */
async function openPart(
  graph: WeightsGraph,
  device: Device,
  arrays: ReadonlyMap<string, Tensor>,
  seed: number,
) {
  const session = graph.bytes && (await device.open(graph.bytes));
  const noise = new StepNoise(graph.noises, seed);
  const named = (values: readonly { readonly name: string }[]): Feeds =>
    Object.fromEntries(values.map(({ name }) => [name, arrays.get(name)!]));
  const [feeds, outputs] = [named(graph.inputs), named(graph.outputs)];
  return {
    graph,
    run: async (step: number): Promise<void> => {
      await session?.run({ ...feeds, ...noise.draw(step) }, outputs);
    },
    close: async (): Promise<void> => {
      await session?.close();
    },
  };
}
