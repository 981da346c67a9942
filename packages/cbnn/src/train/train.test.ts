import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, runReference } from '@cbnn/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finishedNetwork } from '../cost/finished-network.js';
import type { ImageSet } from '../data/dataset.js';
import { generateSigns } from '../data/generated.js';
import { preparedSet } from '../data/prepared-set.js';
import { splitValidation } from '../data/split.js';
import { nativePackage } from '../engines/packed-native.js';
import { openPackedOnnx } from '../engines/packed-onnx.js';
import { openDevice } from '../graph/session.js';
import { techniqueNames } from '../nn/plan.js';
import { argmax, errorRate } from '../predictions.js';
import { Random } from '../random.js';
import { techniques } from '../techniques/index.js';
import type { RunConfig } from './config.js';
import { openTrainer } from './open-trainer.js';
import { readMetrics, trainRun } from './run.js';
import { CheckpointWriter, RunFolder, readCheckpoint } from './run-folder.js';
import { checkStart, startOf } from './start.js';
import { train } from './train.js';

const folder = mkdtempSync(join(tmpdir(), 'cbnn-train-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const slices = [0, 1, 2].flatMap((channel) => [4, 5, 6, 7].map((bit) => ({ channel, bit })));
const config: RunConfig = {
  formatVersion: 1,
  dataset: { source: 'signs', limit: null, choices: {}, validation: 60, sha256: '0'.repeat(64) },
  technique: 'bnn',
  recipe: 'modern',
  architecture: '6C3-MP2-9C3-MP2-16FC-12FC',
  firstLayer: 'integer',
  input: {
    height: 32,
    width: 32,
    channels: 3,
    encoding: 'bit-slices',
    slices,
    stretch: { low: 1, high: 99 },
  },
  slicing: 'place-value',
  loss: 'cross-entropy',
  epochs: 3,
  batch: 20,
  schedule: { kind: 'cosine', rates: { binary: 1e-2, float: 5e-3 }, warmup: 5, decay: 0 },
  augmentation: { mirror: false, shift: 2 },
  calibrationBatches: 4,
  seed: 7,
  device: 'cpu',
  threads: 1,
};

const native = (await nativePackage()) !== null;

let images: { dataset: Awaited<ReturnType<typeof generateSigns>>; train: ImageSet; validation: ImageSet };
beforeAll(async () => {
  const dataset = await generateSigns({ trainCount: 300, testCount: 60 });
  images = { dataset, ...splitValidation(dataset, { seed: 1, count: 60 }) };
});

/** The trainer of a finished run with its best weights. */
async function loadTrainer(path: string) {
  const run = new RunFolder(path);
  const trainer = await openTrainer(run.readConfig());
  trainer.restore(readCheckpoint(run.best).state);
  return trainer;
}

const readRun = (run: string): RunConfig => new RunFolder(join(folder, run)).readConfig();
const checkpoint = (run: string): Buffer => readFileSync(join(folder, run, 'checkpoint.safetensors'));

describe('a training run', () => {
  it('gives the same bits twice', async () => {
    await train(config, images, join(folder, 'a'));
    await train(config, images, join(folder, 'b'));
    expect(checkpoint('b').equals(checkpoint('a'))).toBe(true);
  });

  it.each([['cpu', 2], ['wasm', 1], ...(native ? [['native', 2] as const] : [])] as const)(
    'gives the same bits twice on %s with %d threads',
    async (device, threads) => {
      const short: RunConfig = { ...config, device, threads, epochs: 1 };
      for (const run of ['first', 'second']) await train(short, images, join(folder, `${device}-${run}`));
      expect(checkpoint(`${device}-second`).equals(checkpoint(`${device}-first`))).toBe(true);
    },
  );

  it.runIf(native)('gives the same bits on the native step with any number of threads', async () => {
    for (const threads of [1, 3])
      await train(
        { ...config, device: 'native', threads, epochs: 1 },
        images,
        join(folder, `native-${threads}`),
      );
    expect(checkpoint('native-3').equals(checkpoint('native-1'))).toBe(true);
  });

  it.runIf(native)('goes on on another device, and back', async () => {
    const path = join(folder, 'moved');
    const part = async (device: RunConfig['device'], epochs: number) => {
      const controller = new AbortController();
      const running = train({ ...config, device }, images, path, {
        resume: true,
        signal: controller.signal,
        onProgress: ({ phase, epoch, step }) => {
          if (phase === 'training' && epoch > epochs && step === 2) controller.abort();
        },
      });
      await running.catch((error: Error) => expect(error.name).toBe('AbortError'));
    };
    await part('native', 1);
    await part('cpu', 2);
    expect(new RunFolder(path).readConfig().device).toBe('cpu');
    await part('native', 3);
    const lines = readMetrics(path);
    expect(lines.map(({ device }) => device)).toEqual(['native', 'cpu', 'native']);
    expect(lines[0]!.gradients).toHaveLength(4);
    expect(lines[1]!.gradients).toBeUndefined();
    // As good as one that stayed: a moment or a statistic that was lost would show.
    const [stayed] = readMetrics(join(folder, 'a')).slice(-1);
    expect(lines[2]!.loss).toBeLessThan(stayed!.loss * 1.15);
  });

  /** Running averages of batch norm's statistics instead of fresh ones, and the other loss and schedule. */
  const paper: Partial<RunConfig> = {
    ...{ recipe: 'paper', loss: 'squared-hinge', slicing: 'equal', calibrationBatches: 0 },
    schedule: { kind: 'exponential', rates: { binary: 1e-3, float: 1e-3 }, warmup: 0, decay: 1e-3 },
  };

  it.each([
    ['cpu', {}],
    ...(native
      ? ([
          ['native', {}],
          ['native', paper],
        ] as const)
      : []),
  ] as const)(
    'stopped at random steps on %s and resumed ends equal to an unbroken one, %o',
    async (device, change) => {
      const whole: RunConfig = { ...config, ...change, device };
      const stopped = `stopped-${device}-${whole.recipe}`;
      const unbroken = `whole-${device}-${whole.recipe}`;
      await train(whole, images, join(folder, unbroken));
      const random = new Random(5);
      const stops = new Set<string>();
      for (;;) {
        const controller = new AbortController();
        let left = 1 + random.below(9);
        let at = '';
        try {
          await train(whole, images, join(folder, stopped), {
            resume: true,
            signal: controller.signal,
            onProgress: ({ phase, epoch, step }) => {
              // Once in each epoch while it validates, and after some steps.
              const validating = phase === 'validating' && !stops.has(`validating ${epoch}`);
              if (at || (!validating && (phase === 'validating' || --left > 0))) return;
              at = validating ? `validating ${epoch}` : `${epoch}, step ${step}`;
              controller.abort();
              stops.add(at);
            },
          });
          break;
        } catch (error) {
          expect((error as Error).name).toBe('AbortError');
          const { position } = readCheckpoint(new RunFolder(join(folder, stopped)).checkpoint);
          // At once: not a step more was done, and nothing that was done is lost.
          if (!at.startsWith('validating')) expect(`${position.epoch + 1}, step ${position.step}`).toBe(at);
        }
      }
      expect(stops.size).toBeGreaterThan(3);
      expect([...stops].filter((at) => at.startsWith('validating'))).toHaveLength(whole.epochs);
      expect(checkpoint(stopped).equals(checkpoint(unbroken))).toBe(true);
    },
  );

  it.each(techniqueNames.filter((name) => !techniques[name].integerSums && !techniques[name].afterTraining))(
    'learns by %s, and answers from its file as from its weights',
    async (technique) => {
      const { firstLayers, input, startsFrom, prunes } = techniques[technique];
      const own: RunConfig = {
        ...config,
        technique,
        firstLayer: firstLayers[0],
        input: { ...config.input, encoding: input, ...(input === '8-bit' && { slices: [] }) },
        slicing: 'equal',
        ...(startsFrom && { from: startOf(join(folder, `by-${startsFrom}`)) }),
        ...(prunes && { pruning: { target: 0.6, rounds: 3, layers: [0.2, 0.5, 0.6, 0.5] } }),
      };
      const path = join(folder, `by-${technique}`);
      await trainRun(own, images, path, 'data');
      const lines = readMetrics(path);
      // Weights drawn at random need longer than this to show it.
      if (technique !== 'binaryconnect-stochastic' && technique !== 'pruned') {
        expect(lines.at(-1)!.loss).toBeLessThan(lines[0]!.loss);
        // Guessing among twelve classes errs by 91.7 %.
        expect(lines.at(-1)!.trainError).toBeLessThan(90);
      }
      const prepared = preparedSet(images.dataset.test, own.input);
      const trainer = await loadTrainer(path);
      const expected = await trainer.classify(prepared);
      await trainer.close();
      const network = finishedNetwork(path);
      expect([...(await network.predict(images.dataset.test, 1))]).toEqual([...expected]);
      expect(network.bytes).toBe(statSync(join(path, 'network.safetensors')).size);
      expect(network.bytes - network.cost.bytes).toBeLessThan(3000);
    },
  );

  it('rounds a trained network to fixed point, and answers from its file', async () => {
    const own: RunConfig = {
      ...readRun('by-float'),
      technique: 'fixed-point',
      from: startOf(join(folder, 'by-float')),
    };
    const float = finishedNetwork(join(folder, 'by-float'));
    const answers = await float.predict(images.dataset.test, 1);
    const agreement: number[] = [];
    for (const bits of [2, 4, 8, 16]) {
      const path = join(folder, `fixed-${bits}`);
      const config = { ...own, precision: { weights: bits, activations: bits } };
      const { validationError } = await trainRun(config, images, path, 'data');
      const network = finishedNetwork(path);
      expect(network.bytes - network.cost.bytes).toBeLessThan(4000);
      expect(network.cost.layers.every(({ weightBits }) => weightBits === bits)).toBe(true);
      const found = await network.predict(images.validation, 1);
      expect(errorRate(found, images.validation.labels)).toBe(validationError);
      const tested = await network.predict(images.dataset.test, 1);
      agreement.push(tested.reduce((sum, label, n) => sum + Number(label === answers[n]), 0) / tested.length);
      // Finished, it is only written again.
      rmSync(join(path, 'network.safetensors'));
      await trainRun(config, images, path, 'data', { resume: true });
      expect(finishedNetwork(path).bytes).toBe(network.bytes);
    }
    // The more bits, the more often it answers as the network that it was made of.
    expect(agreement[3]).toBeGreaterThan(0.97);
    expect(agreement[2]).toBeGreaterThan(0.9);
    expect(agreement[0]).toBeLessThan(agreement[2]!);
  });

  it('prunes in rounds, stopped or not', async () => {
    const own: RunConfig = { ...readRun('by-pruned'), from: startOf(join(folder, 'by-float')) };
    const { state } = readCheckpoint(join(folder, 'by-pruned', 'checkpoint.safetensors'));
    for (const [k, share] of own.pruning!.layers.entries()) {
      const mask = state.get(`layers.${k}.mask`)!.data;
      const weights = state.get(`layers.${k}.weights`)!.data;
      expect(mask.filter((kept) => kept === 0).length).toBe(Math.round(share * mask.length));
      for (const [i, kept] of mask.entries()) if (!kept) expect(Math.abs(weights[i]!)).toBe(0);
    }
    // The network that counts is one with all gone that was to go.
    expect(finishedNetwork(join(folder, 'by-pruned')).bytes).toBeLessThan(
      0.6 * finishedNetwork(join(folder, 'by-float')).bytes,
    );
    const path = join(folder, 'pruned-again');
    for (const [epoch, step] of [
      [1, 4],
      [2, 1],
    ] as const) {
      const controller = new AbortController();
      const stopped = trainRun(own, images, path, 'data', {
        resume: true,
        signal: controller.signal,
        onProgress: (p) => p.epoch === epoch && p.step === step && controller.abort(),
      });
      await expect(stopped).rejects.toThrow();
    }
    await trainRun(own, images, path, 'data', { resume: true });
    expect(checkpoint('pruned-again').equals(checkpoint('by-pruned'))).toBe(true);
  });

  it('draws the same weights at random after a stop', async () => {
    const own: RunConfig = {
      ...config,
      technique: 'binaryconnect-stochastic',
      firstLayer: 'binary',
      epochs: 1,
    };
    await train(own, images, join(folder, 'drawn'));
    const controller = new AbortController();
    const stopped = train(own, images, join(folder, 'drawn-again'), {
      signal: controller.signal,
      onProgress: ({ step }) => step === 5 && controller.abort(),
    });
    await expect(stopped).rejects.toThrow();
    await train(own, images, join(folder, 'drawn-again'), { resume: true });
    expect(checkpoint('drawn-again').equals(checkpoint('drawn'))).toBe(true);
  });

  it('begins only with a finished run of the same network, unchanged', async () => {
    const start = startOf(join(folder, 'by-float'));
    const own: RunConfig = {
      ...readRun('by-float'),
      technique: 'ttq',
      from: start,
    };
    checkStart(own);
    expect(() => checkStart({ ...own, architecture: '6C3-MP2-12FC' })).toThrow(
      'expected a run with architecture 6C3-MP2-12FC, got 6C3-MP2-9C3',
    );
    expect(() => checkStart({ ...own, from: startOf(join(folder, 'by-bwn')) })).toThrow(
      'expected a run with technique float, got bwn',
    );
    expect(() => checkStart({ ...own, input: { ...own.input, stretch: null } })).toThrow('input stretch');
    const sliced = { ...own.input, encoding: 'bit-slices' as const };
    expect(() => checkStart({ ...own, input: sliced })).toThrow('input encoding');
    expect(() => checkStart({ ...own, input: { ...own.input, code: 'gray' } })).toThrow(
      'expected a run with code gray, got binary',
    );
    expect(() => checkStart({ ...own, dataset: { ...own.dataset, sha256: 'f'.repeat(64) } })).toThrow(
      'on the same training and validation images',
    );
    expect(() => startOf(join(folder, 'a'))).toThrow('expected a finished run, got an interrupted one');
    expect(() => startOf(join(folder, 'nowhere'))).toThrow('no config.json there');
    await expect(
      trainRun(
        { ...own, from: { ...start, sha256: '1'.repeat(64) } },
        images,
        join(folder, 'other-start'),
        'data',
      ),
    ).rejects.toThrow('its weights have changed');
  });

  it('refuses a folder that already holds a run', async () => {
    await expect(train(config, images, join(folder, 'a'))).rejects.toThrow(/already exists; add --resume/);
  });

  it.each([
    ['modern', config],
    ['paper', { ...config, ...paper, ...(native && { device: 'native' as const }) }],
  ])(
    'packs to a model that equals the graph in evaluation mode, image by image: %s',
    async (name, config) => {
      const path = join(folder, `packed-${name}`);
      await trainRun(config, images, path, 'data');
      const model = decodeModel(readFileSync(join(path, 'model.safetensors')));
      const trainer = await loadTrainer(path);
      const raw = images.dataset.test;
      const prepared = preparedSet(raw, config.input);
      const graph = await trainer.classify(prepared);
      const engine = await openPackedOnnx(model, await openDevice('cpu', 1), 32);
      const packed = await engine.scores(prepared.pixels, raw.count);
      const size = 32 * 32 * 3;
      for (let n = 0; n < raw.count; n++) {
        const reference = runReference(model, raw.pixels.subarray(n * size, (n + 1) * size));
        expect(Array.from(packed.subarray(n * 12, (n + 1) * 12))).toEqual(Array.from(reference.scores));
        expect(argmax(packed, n, 12)).toBe(graph[n]);
      }
      await engine.close();
      await trainer.close();
    },
  );

  it('reads the epochs of a run whose last line was cut off as it was written', () => {
    const path = join(folder, 'cut');
    mkdirSync(path);
    writeFileSync(new RunFolder(path).metrics, '{"epoch":1}\n{"epo');
    expect(readMetrics(path)).toEqual([{ epoch: 1 }]);
  });

  it('does not name a best epoch whose weights could not be written, stopped or not', async () => {
    const path = join(folder, 'unwritten');
    mkdirSync(new RunFolder(path).best, { recursive: true });
    const controller = new AbortController();
    const stopped = train(config, images, path, {
      signal: controller.signal,
      onProgress: ({ epoch, step }) => epoch === 2 && step === 1 && controller.abort(),
    });
    await expect(stopped).rejects.toThrow('best.safetensors: cannot be written');
    expect(existsSync(new RunFolder(path).checkpoint)).toBe(false);
  });

  it.runIf(native)('stays what it was when it is finished and asked to go on elsewhere', async () => {
    const path = join(folder, 'packed-modern');
    const again = await trainRun({ ...config, device: 'native' }, images, path, 'data', { resume: true });
    expect(again.engine).toContain('cpu: ONNX Runtime');
    expect(new RunFolder(path).readConfig().device).toBe('cpu');
  });

  it('tells which checkpoint could not be written, leaves nothing half-written, and can try again', async () => {
    const writer = new CheckpointWriter();
    const blocked = join(folder, 'blocked', 'checkpoint.safetensors');
    mkdirSync(blocked, { recursive: true });
    const position = { epoch: 0, step: 1, lossSum: 0, correct: 0, best: null, metricsLines: 0 };
    const state = new Map([['x', { shape: [1], data: Float32Array.of(2) }]]);
    await writer.write(blocked, state, position);
    await expect(writer.finish()).rejects.toThrow(`${blocked}: cannot be written`);
    expect(readdirSync(join(folder, 'blocked'))).toEqual(['checkpoint.safetensors']);
    const free = join(folder, 'blocked', 'other.safetensors');
    await writer.write(free, state, position);
    await writer.finish();
    expect(readCheckpoint(free)).toEqual({ state, position });
    // What names the best epoch waits for its weights, and is not written without them.
    await writer.write(blocked, state, position);
    await writer.write(free, state, { ...position, best: { epoch: 1, validationError: 0 } });
    await expect(writer.finish()).rejects.toThrow('cannot be written');
    expect(readCheckpoint(free).position.best).toBeNull();
  });
});

const program = join(import.meta.dirname, '..', '..', 'bin', 'cbnn.js');

describe.skipIf(!existsSync(join(import.meta.dirname, '..', '..', 'dist')))('the program', () => {
  const options =
    '--arch 6C3-MP2-9C3-MP2-12FC --epochs 2 --limit 800 --threads 1 --stretch off --resume --checkpoint-seconds 0';
  /** Resolves to how it ended; killed as soon as `when` holds. */
  const run = (out: string, when?: () => boolean): Promise<number | NodeJS.Signals | null> =>
    new Promise((resolve) => {
      const child = spawn(
        process.execPath,
        [program, 'train', 'signs', ...options.split(' '), '--out', out],
        {
          stdio: 'ignore',
        },
      );
      const watch = setInterval(() => when?.() && child.kill('SIGKILL'), 5);
      child.once('exit', (code, signal) => {
        clearInterval(watch);
        resolve(signal ?? code);
      });
    });
  const writtenSince = (path: string, time: number) => existsSync(path) && statSync(path).mtimeMs > time;

  it('killed with SIGKILL and resumed ends equal to an unbroken run', async () => {
    expect(await run(join(folder, 'whole'))).toBe(0);
    const killed = new RunFolder(join(folder, 'killed'));
    // Before its first step, then twice right after, or in the middle of, writing a checkpoint between two steps.
    expect(await run(killed.path, () => existsSync(killed.config))).toBe('SIGKILL');
    for (let kill = 0; kill < 2; kill++) {
      const begun = Date.now();
      expect(await run(killed.path, () => writtenSince(killed.checkpoint, begun))).toBe('SIGKILL');
    }
    expect(readCheckpoint(killed.checkpoint).position).toMatchObject({ epoch: 0 });
    writeFileSync(killed.file('checkpoint.safetensors.123.tmp'), 'half a checkpoint');
    expect(await run(killed.path)).toBe(0);
    expect(checkpoint('killed').equals(checkpoint('whole'))).toBe(true);
    expect(readdirSync(killed.path).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  }, 180_000);
});
