/** Made-up results with the shapes of real ones, for tests of figures and reports. */
import type { InputSpec, LayerSpec, Slice } from '@cbnn/runtime';
import type { CompactionResult, CompactionTry } from '../../compact/result.js';
import { modelCost, type NetworkCost, networkCost, uniformStorage } from '../../cost/cost.js';
import { blankModel } from '../../cost/testing/blank-model.js';
import { Random } from '../../random.js';
import type { NoiseScope, SensitivityPoint, SensitivityResult } from '../../sensitivity/result.js';
import { confusionMatrix } from '../confusion.js';
import type { EpochMetrics, ReportData } from '../data.js';
import type { Picture } from '../picture.js';

export const CLASSES = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');

export const slicesFrom = (lowest: number, channels = 3): Slice[] =>
  Array.from({ length: channels }, (_, channel) =>
    Array.from({ length: 8 - lowest }, (_, i) => ({ channel, bit: lowest + i })),
  ).flat();

/** A shaded ball before a graded sky: low bits look like noise, high bits like shapes. */
export function samplePicture(size = 32, seed = 1): Picture {
  const random = new Random(seed);
  const pixels = new Uint8Array(size * size * 3);
  const [cx, cy, r] = [size * (0.4 + 0.2 * random.uniform()), size * 0.55, size * 0.3];
  const tint = [random.uniform(), random.uniform(), random.uniform()];
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const d = Math.hypot(x - cx, y - cy) / r;
      const light = Math.max(0, 1 - Math.hypot(x - cx + r / 2, y - cy + r / 2) / (1.7 * r));
      for (let c = 0; c < 3; c++) {
        const sky = [120, 160, 220][c]! * (0.7 + (0.3 * y) / size);
        const ball = 60 + 180 * light * (0.4 + 0.6 * tint[c]!);
        pixels[(y * size + x) * 3 + c] = Math.min(255, (d < 1 ? ball : sky) + random.normal() * 6 + 8);
      }
    }
  return { height: size, width: size, channels: 3, pixels };
}

export function sampleSensitivity(kept: readonly Slice[] = slicesFrom(0)): SensitivityResult {
  const cleanError = 13.42;
  const points: SensitivityPoint[] = [];
  const add = (scope: NoiseScope, channel: number | null, bit: number, increase: number) => {
    const slices = kept.filter(
      (slice) =>
        (channel === null || slice.channel === channel) &&
        (scope === 'lowest' || scope === 'channel-lowest' ? slice.bit <= bit : slice.bit === bit),
    );
    if (slices.length === 0) return;
    const half = 0.25 + Math.abs(increase) * 0.06;
    const error = cleanError + increase;
    points.push({
      scope,
      channel,
      bit,
      slices,
      error,
      increase,
      interval: [increase - half, increase + half],
      errorBySeed: [error - 0.1, error, error + 0.1],
    });
  };
  const cost = (bit: number) => [0.02, -0.05, 0.04, 0.3, 1.1, 4.2, 14.5, 38][bit]!;
  for (let bit = 0; bit < 8; bit++) {
    add('slice', null, bit, cost(bit));
    add('lowest', null, bit, Math.min(75, cost(bit) * 1.4 + (bit > 4 ? 6 : 0)));
    for (let channel = 0; channel < 3; channel++) {
      const share = [0.35, 0.5, 0.28][channel]!;
      add('channel-slice', channel, bit, cost(bit) * share);
      add('channel-lowest', channel, bit, Math.min(60, cost(bit) * share * 1.5));
    }
  }
  return {
    dataset: 'CIFAR-10',
    split: 'validation',
    images: 5000,
    noiseSeeds: [1, 2, 3],
    channels: 3,
    channelNames: ['red', 'green', 'blue'],
    keptSlices: kept,
    cleanError,
    points,
  };
}

export function sampleCompaction(): CompactionResult {
  const one = (
    id: number,
    convWidth: number,
    denseWidth: number,
    lowest: number,
    bytes: number,
    macs: number,
    drop: number,
    accepted: boolean,
  ): CompactionTry => ({
    id,
    run: `try-${id}`,
    convWidth,
    denseWidth,
    architecture: `${128 * convWidth}C3-...-${1024 * denseWidth}FC-10FC`,
    slices: slicesFrom(lowest),
    bytes,
    macs,
    weights: bytes * 8,
    validationError: 13.42 + drop,
    drop,
    interval: [drop - 0.45, drop + 0.45],
    limit: drop + 0.38,
    accepted,
    reason: id === 1 ? 'halve every width' : 'between the last two',
  });
  return {
    dataset: 'CIFAR-10',
    maxDrop: 1,
    finished: true,
    shrink: 'separate',
    acceptance: 'confident',
    retraining: { epochs: 10, rateFactor: 0.2 },
    validationImages: 5000,
    baseline: {
      convWidth: 1,
      denseWidth: 1,
      architecture: '128C3-128C3-MP2-256C3-256C3-MP2-512C3-512C3-MP2-1024FC-1024FC-10FC',
      slices: slicesFrom(0),
      bytes: 1_786_000,
      macs: 641_700_000,
      weights: 14_046_208,
      validationError: 13.42,
    },
    tries: [
      one(1, 0.5, 0.5, 4, 452_000, 160_400_000, 0.42, true),
      one(2, 0.25, 0.25, 4, 118_000, 42_000_000, 3.9, false),
      one(3, 0.5, 0.25, 4, 301_000, 159_300_000, 0.5, true),
      one(4, 0.375, 0.25, 4, 212_000, 92_000_000, 1.3, false),
      one(5, 0.75, 0.5, 4, 742_000, 352_000_000, 0.1, true),
      one(6, 0.5, 0.25, 5, 297_000, 155_800_000, 1.02, false),
    ],
    chosen: 3,
    test: { baselineError: 13.9, compactError: 14.31, interval: [0.02, 0.81], images: 10_000 },
  };
}

export function sampleMetrics(epochs: number): EpochMetrics[] {
  const random = new Random(5, epochs);
  return Array.from({ length: epochs }, (_, i) => ({
    epoch: i + 1,
    loss: 0.3 + 1.7 * Math.exp(-i / (epochs / 4)) + 0.02 * random.uniform(),
    trainError: 8 + 55 * Math.exp(-i / (epochs / 4)) + 0.5 * random.uniform(),
    validationError: 13 + 48 * Math.exp(-i / (epochs / 5)) + 1.2 * random.uniform(),
    rate: 0.01 * (1 - i / epochs),
  }));
}

/** Predictions that are right four times in five, else a near class. */
export function sampleConfusion(classes: number, images = 60 * classes): Uint32Array {
  const random = new Random(9, classes);
  const labels = Array.from({ length: images }, () => random.below(classes));
  const predictions = labels.map((label) =>
    random.uniform() < 0.8
      ? label
      : (label + 1 + random.below(random.uniform() < 0.5 ? 2 : classes - 1)) % classes,
  );
  return confusionMatrix(labels, predictions, classes);
}

/** The paper's network with its widths times `width`, keeping bits from `lowest` up. */
export function sampleCost(width: number, lowest: number, float = false): NetworkCost {
  const slices = slicesFrom(lowest);
  const input: InputSpec = {
    height: 32,
    width: 32,
    channels: 3,
    encoding: 'bit-slices',
    slices,
    shifts: slices.map(() => 0),
    stretch: null,
  };
  const layers: LayerSpec[] = [128, 128, 0, 256, 256, 0, 512, 512, 0].map((channels) =>
    channels === 0
      ? { kind: 'pool', size: 2 }
      : { kind: 'conv', channels: channels * width, kernel: 3, stride: 1, padding: 'same' },
  );
  for (const units of [1024 * width, 1024 * width, 10]) layers.push({ kind: 'dense', units });
  return float
    ? networkCost(input, layers, uniformStorage(layers, 32))
    : modelCost(blankModel(input, layers));
}

export function sampleReport(): ReportData {
  const kept = slicesFrom(4);
  const before = sampleCost(1, 0);
  const after = sampleCost(0.5, 4);
  const summary = { images: 5000, split: 'validation' } as const;
  return {
    title: 'CIFAR-10, half width',
    dataset: 'CIFAR-10',
    created: '2 March 2026',
    caveats: ['60 epochs instead of the 500 of the paper', 'one training seed'],
    networks: {
      before: {
        ...summary,
        label: 'baseline',
        architecture: '128C3-128C3-MP2-256C3-256C3-MP2-512C3-512C3-MP2-1024FC-1024FC-10FC',
        error: 13.42,
        interval: [12.5, 14.39],
        weights: before.weights,
        macs: before.macs,
        bytes: before.bytes + 900,
        isPacked: true,
        slices: [24, 24],
      },
      after: {
        ...summary,
        label: 'compact',
        architecture: '64C3-64C3-MP2-128C3-128C3-MP2-256C3-256C3-MP2-512FC-512FC-10FC',
        error: 13.92,
        interval: [12.99, 14.91],
        weights: after.weights,
        macs: after.macs,
        bytes: after.bytes + 900,
        isPacked: true,
        slices: [12, 24],
      },
    },
    drop: { interval: [0.05, 0.95], images: 5000, split: 'validation' },
    training: [
      { label: 'baseline', metrics: sampleMetrics(60) },
      { label: 'compact', metrics: sampleMetrics(12) },
    ],
    slices: { picture: samplePicture(), channelNames: ['red', 'green', 'blue'], kept },
    sensitivity: sampleSensitivity(),
    compaction: sampleCompaction(),
    costs: [
      { label: 'baseline', cost: before },
      { label: 'compact', cost: after },
    ],
    confusion: { classes: CLASSES, matrix: sampleConfusion(10), network: 'compact', split: 'test' },
    mistakes: Array.from({ length: 12 }, (_, i) => ({
      picture: samplePicture(32, i + 2),
      truth: CLASSES[i % 10]!,
      predicted: CLASSES[(i * 3 + 1) % 10]!,
    })),
    reproduction: {
      commands: [
        'cbnn train cifar10 --width 1 --seed 1 --out runs/baseline',
        'cbnn sensitivity runs/baseline',
        'cbnn compact runs/baseline --max-drop 1 --shrink separate --accept confident',
        'cbnn report runs/baseline',
      ],
      seed: 1,
      device: 'CPU, 8 threads',
      versions: { cbnn: '0.1.0', node: '20.20.2', 'onnxruntime-node': '1.30.0' },
    },
  };
}
