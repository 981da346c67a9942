/** Every gradient rule, through whole training steps on toy networks, against the independent float64 oracle. */
import { describe, expect, it } from 'vitest';
import { Random } from '../random.js';
import { oracleAdam, oracleStep } from '../testing/oracle.js';
import {
  type ToyNetwork,
  toyBatch,
  toyLayers,
  toyNetworks,
  toyParameters,
  wideToyNetwork,
} from '../testing/toy-networks.js';
import { expectStep, openToy, TOY_BATCH, TOY_RATE, worst } from '../testing/toy-step.js';
import { names } from './names.js';
import { BATCH_NORM_EPSILON } from './operations/batch-norm.js';
import type { DeviceName } from './session.js';

/** How far a central difference reaches: float32 losses tell slopes to 1e-4 with it. */
const PROBE = 1e-3;

/** WebGPU needs a Vulkan driver; CBNN_TEST_WEBGPU=1 says there is one (software is enough). */
const devices: DeviceName[] = [
  'cpu',
  'wasm',
  ...(process.env['CBNN_TEST_WEBGPU'] ? (['webgpu'] as const) : []),
];

/** WebGPU convolves 9 channels into 4 wrongly (see onnx-trainer.ts, which refuses such plans there). */
const usableOn = (device: DeviceName, toys: readonly ToyNetwork[]) =>
  toys.filter(({ input }) => device !== 'webgpu' || input.channels !== 9);

describe.each(devices)('one training step on %s equals the float64 oracle', (device) => {
  const usable = usableOn(device, [...toyNetworks, wideToyNetwork]);
  it.each(usable.map((toy) => [toy.name, toy] as const))('%s', async (_, toy) => {
    const layers = toyLayers(toy, 'relu');
    const parameters = toyParameters(layers, 1);
    const { images, labels } = toyBatch(toy, TOY_BATCH, 2);
    const { graph, place, step, close } = await openToy(device, toy);
    const outputs = await step(images, labels, parameters);
    await close();
    const [first, ...others] = layers;
    const expected = oracleStep(
      [{ ...first!, place: place ? Float64Array.from(place) : null }, ...others],
      toy.loss,
      BATCH_NORM_EPSILON,
      images,
      labels,
      parameters,
    );
    // Where a value lies this close to a kink, float32 may fall on the other side: then the seeds must change.
    expect(expected.margin).toBeGreaterThan(1e-5);
    expectStep(outputs, expected);
    for (const [layer, sums] of expected.sums.entries()) {
      const actual = outputs[names.sums(layer)]!.data;
      if (toy.first === 'real') expect(worst(actual, sums)).toBeLessThan(1e-5);
      else expect(Array.from(actual, (sum) => sum + 0)).toEqual(Array.from(sums)); // Ceil can return -0
      expect(worst(outputs[names.mean(layer)]!.data, expected.statistics[layer]!.mean)).toBeLessThan(1e-5);
      expect(worst(outputs[names.variance(layer)]!.data, expected.statistics[layer]!.variance)).toBeLessThan(
        1e-5,
      );
    }
    for (const { name, role: any, kernelLayer, group, rateScale } of graph.parameters) {
      const role = any as 'weights' | 'gamma' | 'beta';
      const actual = outputs[names.gradient(name)]!.data;
      const next = parameters[kernelLayer]![role].slice();
      // Adam divides by the gradient's magnitude: feed it the same gradient, so that only Adam is compared here.
      oracleAdam(
        next,
        Float64Array.from(actual),
        new Float64Array(next.length),
        new Float64Array(next.length),
        1,
        TOY_RATE * rateScale,
        group === 'binary',
      );
      expect(worst(outputs[names.next(name)]!.data, next), `update of ${name}`).toBeLessThan(1e-5);
    }
  });
});

/**
 * The provider's own loss, moved along a random direction in one tensor at a time, against its own gradient: no oracle in
 * between. Only where the loss is smooth: everywhere in real networks, after the last sign in binary ones.
 */
describe.each(devices)('gradients on %s are the slopes of its own loss', (device) => {
  // The software adapter that WebGPU is tested on is slow: one network of each kind there.
  const firstOf = (isReal: boolean) => toyNetworks.find(({ first }) => (first === 'real') === isReal)!;
  const toys = device === 'webgpu' ? [firstOf(true), firstOf(false)] : toyNetworks;
  it.each(usableOn(device, toys).map((toy) => [toy.name, toy] as const))('%s', async (_, toy) => {
    const layers = toyLayers(toy, 'relu');
    const start = toyParameters(layers, 41);
    const { images, labels } = toyBatch(toy, TOY_BATCH, 42);
    const { graph, step, close } = await openToy(device, toy);
    const outputs = await step(images, labels, start);
    const smooth = graph.parameters.filter(
      ({ role, kernelLayer }) =>
        toy.first === 'real' || (kernelLayer === layers.length - 1 && role !== 'weights'),
    );
    expect(smooth.length).toBe(toy.first === 'real' ? 3 * layers.length : 2);
    for (const { name, role: any, kernelLayer } of smooth) {
      const role = any as 'weights' | 'gamma' | 'beta';
      const gradient = outputs[names.gradient(name)]!.data;
      // Along the gradient itself, disturbed so that single entries count: the slope is then far from zero.
      const size = Math.hypot(...gradient);
      const random = new Random(43, kernelLayer);
      const direction = gradient.map((g) => (g / size) * (0.5 + random.uniform()));
      const lossAt = async (distance: number) => {
        const moved = start.map((own, layer) =>
          layer === kernelLayer
            ? { ...own, [role]: own[role].map((value, i) => value + distance * direction[i]!) }
            : own,
        );
        return (await step(images, labels, moved))[names.loss]!.data[0]!;
      };
      const slope = ((await lossAt(PROBE)) - (await lossAt(-PROBE))) / (2 * PROBE);
      const expected = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      expect(Math.abs(slope - expected) / expected, `slope along ${name}`).toBeLessThan(0.01);
    }
    await close();
  });
});
