/**
 * How long a packed model takes on every engine that is here, beside ONNX Runtime's float32 on the same architecture. The
 * engines take turns, so that a machine that changes its pace changes it for all; answers are checked first.
 */
import { availableParallelism, cpus } from 'node:os';
import {
  formatArchitecture,
  internalError,
  type PackedModel,
  runReference,
  WasmEngine,
  wasmRefusal,
} from '@cbnn/runtime';
import { type Device, openDevice } from '../graph/session.js';
import { Random } from '../random.js';
import { VERSION } from '../version.js';
import { openFloatNetwork } from './float-network.js';

export interface BenchOptions {
  /** turns of every engine; 5 by default */
  readonly rounds?: number;
  /** seconds of a turn; 0.3 by default */
  readonly seconds?: number;
  /** threads of engines that can use several, beside 1; all by default */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** turns done, of all */
  readonly onProgress?: (done: number, total: number, engine: string) => void;
}

/** Milliseconds an image of one engine. */
export interface EngineTime {
  readonly engine: string;
  /** whether its answers are those of the model, bit for bit (they were compared) */
  readonly exact: boolean;
  readonly threads: number;
  /** images per call */
  readonly batch: number;
  readonly median: number;
  /** a tenth of the calls was faster, and a tenth slower */
  readonly fast: number;
  readonly slow: number;
  readonly calls: number;
  /** how many times as fast as float32 with the same threads and batch */
  readonly ratio: number;
}

export interface BenchResult {
  readonly architecture: string;
  /** slices, or `8-bit` */
  readonly input: string;
  readonly cpu: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly times: readonly EngineTime[];
}

interface Contender {
  readonly engine: string;
  readonly exact: boolean;
  readonly threads: number;
  readonly batch: number;
  run(): unknown;
  close?(): Promise<void>;
}

/** Images whose answers are compared with the reference engine's. */
const CHECKED = 3;
/** A camera's or a server's backlog: large batches hide what a call costs. */
const LARGE_BATCH = 32;

/** Times `model`. Throws an internal error when an exact engine gives other scores than the reference engine. */
export async function benchModel(model: PackedModel, options: BenchOptions = {}): Promise<BenchResult> {
  const { rounds = 5, seconds = 0.3, threads = availableParallelism(), signal, onProgress } = options;
  const contenders: Contender[] = [];
  let version = 'none';
  const times = new Map<Contender, number[]>();
  try {
    if (wasmRefusal(model) === null) contenders.push(await openWasm(model));
    for (const count of new Set([1, threads])) {
      const device = await openDevice('auto', count);
      version = device.version;
      // ONNX Runtime's WebAssembly build has one thread, whatever is asked for.
      if (device.threads === count)
        for (const batch of [1, LARGE_BATCH]) contenders.push(await openFloat(model, device, batch));
    }
    for (let round = 0; round < rounds; round++)
      for (const i of contenders.keys()) {
        // Another one begins each round.
        const contender = contenders[(i + round) % contenders.length]!;
        signal?.throwIfAborted();
        const calls = await turn(contender.run, seconds);
        times.set(contender, [...(times.get(contender) ?? []), ...calls]);
        onProgress?.(round * contenders.length + i + 1, rounds * contenders.length, contender.engine);
      }
  } finally {
    for (const { close } of contenders) await close?.();
  }
  const measured = contenders.map((contender) => {
    const { engine, exact, threads: used, batch } = contender;
    const sorted = (times.get(contender) ?? []).toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]! / batch;
    return {
      engine,
      exact,
      threads: used,
      batch,
      median: at(0.5),
      fast: at(0.1),
      slow: at(0.9),
      calls: sorted.length,
    };
  });
  const { input } = model;
  return {
    architecture: formatArchitecture(model.layers),
    input: input.encoding === '8-bit' ? '8-bit' : `${input.slices.length} of ${8 * input.channels} slices`,
    cpu: cpus()[0]?.model ?? 'unknown',
    versions: { cbnn: VERSION, node: process.versions.node, 'ONNX Runtime': version },
    times: measured.map((one) => {
      const float = measured.find(
        ({ exact, threads: used, batch }) => !exact && used === one.threads && batch === one.batch,
      )!;
      return { ...one, ratio: float.median / one.median };
    }),
  };
}

/**
 * Calls for `seconds`, at least three times; milliseconds of each. A third of that goes before and does not count: caches
 * fill, clocks rise, and the threads of the engine before stop spinning.
 */
async function turn(run: () => unknown, seconds: number): Promise<number[]> {
  const calls = async (duration: number, least: number): Promise<number[]> => {
    const times: number[] = [];
    const end = performance.now() + 1000 * duration;
    while (times.length < least || performance.now() < end) {
      const begun = performance.now();
      await run();
      times.push(performance.now() - begun);
    }
    return times;
  };
  await calls(seconds / 3, 1);
  return calls(seconds, 3);
}

/** Throws an internal error when its scores are not the reference engine's. */
async function openWasm(model: PackedModel): Promise<Contender> {
  const engine = await WasmEngine.create(model);
  const { height, width, channels } = model.input;
  const random = new Random(2);
  const scores = new Int32Array(model.classes.length);
  let image = new Uint8Array(0);
  for (let n = 0; n < CHECKED; n++) {
    image = Uint8Array.from({ length: height * width * channels }, () => random.below(256));
    engine.run(image, scores);
    const expected = runReference(model, image).scores;
    if (expected.some((score, c) => score !== scores[c]))
      throw internalError('bench: the wasm engine gives other scores than the reference engine');
  }
  return { engine: 'wasm', exact: true, threads: 1, batch: 1, run: () => engine.run(image, scores) };
}

async function openFloat(model: PackedModel, device: Device, batch: number): Promise<Contender> {
  const { threads } = device;
  const network = await openFloatNetwork(model, device, batch);
  return { engine: `float32, ONNX Runtime ${device.name}`, exact: false, threads, batch, ...network };
}
