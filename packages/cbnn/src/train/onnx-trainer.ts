/** The portable trainer: one ONNX graph per step, run by ONNX Runtime on any of its devices. */
import { configError, internalError } from '@cbnn/runtime';
import { type Evaluator, evaluationFeeds, openEvaluator } from '../graph/evaluator.js';
import { names } from '../graph/names.js';
import { statisticsGraph, trainingGraph } from '../graph/network.js';
import type { Device, Feeds, Session } from '../graph/session.js';
import { optimizerOf } from '../graph/technique.js';
import { initialValue } from '../nn/initialize.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels, type Plan, planShapes } from '../nn/plan.js';
import type { StepRates } from '../nn/recipes.js';
import type { TrainingState } from '../nn/state.js';
import { argmax } from '../predictions.js';
import { techniqueOf } from '../techniques/index.js';
import { RunningStatistics, restoreInto } from './running-statistics.js';
import { StepNoise } from './step-noise.js';
import type { ImageBatch, StepResult, Trainer } from './trainer.js';

export interface OnnxTrainerOptions {
  readonly batch: number;
  readonly seed: number;
  /** images per evaluation call */
  readonly evaluationBatch?: number;
}

/**
 * ONNX Runtime's WebGPU convolution returned wrong sums for these input channels when the outputs are a multiple of 4
 * (seen with 1.30.0 on a software adapter); such a plan is refused there instead of trained wrongly.
 */
const WRONG_WEBGPU_CHANNELS = [6, 9, 18, 30, 51, 54];

function refuseWrongConvolutions(plan: Plan, device: Device, batch: number): void {
  if (device.name !== 'webgpu') return;
  for (const { kind, input, output, index } of planShapes(plan)) {
    if (kind !== 'conv') continue;
    // Forward, gradient of the input, gradient of the weights (where the batch takes the place of the channels).
    for (const [from, to] of [
      [input.channels, output.channels],
      ...(index > 0 ? [[output.channels, input.channels]] : []),
      [batch, output.channels],
    ] as const)
      if (to! % 4 === 0 && WRONG_WEBGPU_CHANNELS.includes(from!))
        throw configError(
          `device webgpu: a step of layer ${index + 1} convolves ${from} channels into ${to}, which this runtime's WebGPU kernels get wrong; choose --device cpu, other widths or another --batch`,
        );
  }
}

interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export async function createOnnxTrainer(
  plan: Plan,
  device: Device,
  options: OnnxTrainerOptions,
): Promise<Trainer> {
  const technique = techniqueOf(plan);
  const { batch, seed, evaluationBatch = 200 } = options;
  refuseWrongConvolutions(plan, device, batch);
  const graph = trainingGraph(plan, technique, batch, device);
  const classes = graph.shapes.at(-1)!.output.channels;
  const groups = new Set(graph.parameters.flatMap(({ group }) => (group === 'fixed' ? [] : [group])));
  const noise = new StepNoise(graph.noises, seed);
  const training = await device.open(graph.bytes);
  // Opened when first needed: a run that only evaluates never pays for the rest.
  let statistics: Session | null = null;
  let evaluator: Evaluator | null = null;

  // Parameters and moments exist twice: a step reads one set and writes the other.
  let current = new Map<string, Tensor>();
  let next = new Map<string, Tensor>();
  const fixed = new Map<string, Tensor>();
  for (const parameter of graph.parameters) {
    const value = initialValue(parameter, graph.shapes[parameter.kernelLayer]!, seed);
    const { name, shape } = parameter;
    if (parameter.group === 'fixed') {
      fixed.set(name, { shape, data: value });
      continue;
    }
    const zeros = (): Tensor => ({ shape, data: new Float32Array(value.length) });
    for (const tensor of [name, names.firstMoment(name), names.secondMoment(name)]) {
      current.set(tensor, tensor === name ? { shape, data: value } : zeros());
      next.set(tensor, zeros());
    }
  }
  const running = new RunningStatistics(graph.shapes);
  const batchStatistics = graph.shapes.map(({ output: { channels } }) => ({
    mean: new Float32Array(channels),
    variance: new Float32Array(channels),
  }));
  const statisticsOutputs: Record<string, Tensor> = {};
  for (const [layer, { mean, variance }] of batchStatistics.entries()) {
    const shape = [mean.length];
    statisticsOutputs[names.mean(layer)] = { shape, data: mean };
    statisticsOutputs[names.variance(layer)] = { shape, data: variance };
  }

  const planes = inputChannels(plan.input);
  const inputShape = (count: number) => [count, planes, plan.input.height, plan.input.width];
  const imageSize = planes * plan.input.height * plan.input.width;
  const images: Tensor = { shape: inputShape(batch), data: new Float32Array(batch * imageSize) };
  const targets: Tensor = { shape: [batch, classes], data: new Float32Array(batch * classes) };
  const scores: Tensor = { shape: [batch, classes], data: new Float32Array(batch * classes) };
  const loss: Tensor = { shape: [], data: new Float32Array(1) };
  const scalar = (value: number): Tensor => ({ shape: [], data: Float32Array.of(value) });

  const setImages = (given: ImageBatch) => {
    if (given.count !== batch) throw internalError(`trainer: expected ${batch} images, got ${given.count}`);
    writeInputPlanes(given.pixels, batch, plan.input, images.data);
  };
  const weightsOnly = (): Feeds =>
    Object.fromEntries(graph.parameters.map(({ name }) => [name, (current.get(name) ?? fixed.get(name))!]));

  const state = (): TrainingState => new Map([...current, ...fixed, ...running.tensors()]);

  return {
    description: device.description,
    batch,

    async step(given: ImageBatch, rates: StepRates, step: number): Promise<StepResult> {
      setImages(given);
      // In the form of labels, -1 and 1, which the losses take.
      if (given.targets) targets.data.set(given.targets.map((p) => 2 * p - 1));
      else {
        targets.data.fill(-1);
        for (let n = 0; n < batch; n++) targets.data[n * classes + given.labels[n]!] = 1;
      }
      const feeds: Record<string, Tensor> = {
        [names.images]: images,
        [names.targets]: targets,
        ...Object.fromEntries(current),
        ...Object.fromEntries(fixed),
        ...noise.draw(step),
      };
      for (const group of groups)
        feeds[names.rate[group]] = scalar(optimizerOf(technique, group).stepRate(rates[group], step));
      if (graph.usesProgress) feeds[names.progress] = scalar(rates.progress);
      const outputs: Record<string, Tensor> = {
        [names.loss]: loss,
        [names.scores]: scores,
        ...statisticsOutputs,
      };
      for (const [name, tensor] of next) outputs[names.next(name)] = tensor;
      await training.run(feeds, outputs);
      [current, next] = [next, current];
      running.average(batchStatistics);
      return { loss: loss.data[0]!, correct: countCorrect(scores.data, given.labels, classes) };
    },

    async calibrate(batches) {
      statistics ??= await device.open(statisticsGraph(plan, technique, batch, device).bytes);
      const session = statistics;
      await running.estimate(batches, batchStatistics, async (given) => {
        setImages(given);
        await session.run(
          { [names.images]: images, ...weightsOnly() },
          { [names.scores]: scores, ...statisticsOutputs },
        );
      });
    },

    async classify(given, signal) {
      evaluator ??= await openEvaluator(plan, technique, device, evaluationBatch);
      return evaluator.classify(given, evaluationFeeds(graph, state(), technique), signal);
    },

    state,

    restore: (saved) => restoreInto(state(), saved),

    async close() {
      for (const opened of [training, statistics, evaluator]) await opened?.close();
    },
  };
}

function countCorrect(scores: Float32Array, labels: Uint16Array, classes: number): number {
  let correct = 0;
  for (let n = 0; n * classes < scores.length; n++) if (argmax(scores, n, classes) === labels[n]) correct++;
  return correct;
}
