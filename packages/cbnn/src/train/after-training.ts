/** Techniques that follow training: a finished network, its scalars taken from its weights and from what it makes of some images. */
import type { ImageSet } from '../data/dataset.js';
import { spreadImages } from '../data/dataset.js';
import { preparedSet } from '../data/prepared-set.js';
import { evaluationFeeds, openEvaluator } from '../graph/evaluator.js';
import { names } from '../graph/names.js';
import { evaluationGraph } from '../graph/network.js';
import { bestStep } from '../graph/operations/fixed-point.js';
import { type Device, openDevice } from '../graph/session.js';
import { parametersOf } from '../graph/technique.js';
import { writeInputPlanes } from '../nn/input-planes.js';
import { inputChannels, type Plan, planShapes } from '../nn/plan.js';
import type { TrainingState } from '../nn/state.js';
import { errorRate } from '../predictions.js';
import { answeringWeights } from '../store/network-file.js';
import { techniques } from '../techniques/index.js';
import { planOf, type RunConfig } from './config.js';
import { CheckpointWriter, type RunFolder } from './run-folder.js';
import type { TrainingResult } from './train.js';

/** Images that activations are looked at on, and values of a layer that are kept of them. */
const CALIBRATION_IMAGES = 200;
const KEPT_VALUES = 200_000;

/** What a trained network has in its layers: its weights as they answer, and a sample of what each layer hands on. */
export interface LayerValues {
  readonly weights: readonly Float32Array[];
  readonly activations: readonly Float32Array[];
}

/** Of the network of full precision behind a fixed-point plan, on some of the training images, as they are. */
export async function layerValues(
  plan: Plan,
  state: TrainingState,
  train: ImageSet,
  device: Device,
): Promise<LayerValues> {
  const { precision: _, ...rest } = plan;
  const real: Plan = { ...rest, technique: 'float' };
  // Spread over the set: folders of images lie in it class by class.
  const images = preparedSet(spreadImages(train, CALIBRATION_IMAGES), plan.input);
  const { count } = images;
  const graph = evaluationGraph(real, techniques.float, count, { ...device, expose: true });
  const shape = [count, inputChannels(plan.input), plan.input.height, plan.input.width];
  const planes = { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) };
  writeInputPlanes(images.pixels, count, plan.input, planes.data);
  const hidden = graph.shapes.slice(0, -1);
  const outputs = Object.fromEntries(
    hidden.map(({ index, kind, output, pooled }) => {
      const map = kind === 'conv' ? [pooled.height, pooled.width] : [];
      const size = [count, output.channels, ...map];
      return [
        names.activations(index),
        { shape: size, data: new Float32Array(size.reduce((a, b) => a * b, 1)) },
      ];
    }),
  );
  const session = await device.open(graph.bytes);
  await session.run({ [names.images]: planes, ...evaluationFeeds(graph, state, techniques.float) }, outputs);
  await session.close();
  return {
    weights: await answeringWeights(real, state),
    activations: hidden.map(({ index }) => sample(outputs[names.activations(index)]!.data)),
  };
}

/** Evenly spread over the values. */
function sample(values: Float32Array): Float32Array {
  const step = Math.max(1, Math.ceil(values.length / KEPT_VALUES));
  return values.filter((_, i) => i % step === 0);
}

/** The state of a fixed-point network: that of the trained one, and the steps that lose least of its values. */
export function fixedPointState(plan: Plan, state: TrainingState, values: LayerValues): TrainingState {
  const all = new Map(state);
  const { weights, activations } = plan.precision!;
  for (const shape of planShapes(plan))
    for (const { name, role, shape: size } of parametersOf(techniques['fixed-point'], plan, shape)) {
      if (role !== 'weightStep' && role !== 'activationStep') continue;
      const step =
        role === 'weightStep'
          ? bestStep(values.weights[shape.index]!, weights)
          : bestStep(values.activations[shape.index]!, activations);
      all.set(name, { shape: size, data: Float32Array.of(step) });
    }
  return all;
}

/** Percent of `images` that the network in `state` is wrong about. */
export async function evaluatedError(
  plan: Plan,
  state: TrainingState,
  images: ImageSet,
  device: Device,
): Promise<number> {
  const technique = techniques[plan.technique];
  const shapes = planShapes(plan);
  const parameters = shapes.flatMap((shape) => parametersOf(technique, plan, shape));
  const feeds = evaluationFeeds({ parameters, shapes }, state, technique);
  const evaluator = await openEvaluator(plan, technique, device, 200, feeds);
  try {
    const found = await evaluator.classify(preparedSet(images, plan.input));
    return errorRate(found, images.labels);
  } finally {
    await evaluator.close();
  }
}

/** Writes the best state of a run whose technique follows training. */
export async function finishTraining(
  config: RunConfig,
  images: { readonly train: ImageSet; readonly validation: ImageSet },
  folder: RunFolder,
  start: TrainingState,
): Promise<TrainingResult> {
  const plan = planOf(config);
  const device = await openDevice('auto', config.threads);
  const state = fixedPointState(plan, start, await layerValues(plan, start, images.train, device));
  const validationError = await evaluatedError(plan, state, images.validation, device);
  const { epochs } = config;
  const writer = new CheckpointWriter();
  const best = { epoch: epochs, validationError };
  await writer.write(folder.best, state, {
    epoch: epochs,
    step: 0,
    lossSum: 0,
    correct: 0,
    best,
    metricsLines: 0,
  });
  await writer.finish();
  return { epochs, bestEpoch: epochs, engine: device.description, validationError };
}
