/**
 * How long a packed model takes on every engine that is here, beside ONNX Runtime's float32 and int8 on the same architecture. The
 * engines take turns, so that a machine that changes its pace changes it for all; answers are checked first.
 */
import { availableParallelism } from 'node:os';
import {
  encodeModel,
  formatArchitecture,
  internalError,
  load,
  modelShapes,
  type PackedModel,
  productsOf,
  runReference,
  startThread,
  Threads,
  WasmEngine,
  wasmRefusal,
} from '@cbnn/runtime';
import { nativePackage, openNative } from '../engines/packed-native.js';
import { openDevice } from '../graph/session.js';
import { processor } from '../processor.js';
import { Random } from '../random.js';
import { VERSION } from '../version.js';
import { openFloatNetwork } from './float-network.js';
import { openInt8Network } from './int8-network.js';
import { type LayerTimes, layerTimes } from './layer-times.js';
import { openTfjsNetwork } from './tfjs-node.js';
import { type Times, takeTurns } from './turns.js';

type Kind = 'packed' | 'float32' | 'int8';

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
  /** `packed`: its answers are those of the model, bit for bit (they were compared); else the same architecture */
  readonly kind: Kind;
  readonly threads: number;
  /** images per call */
  readonly batch: number;
  readonly median: number;
  /** a tenth of the calls was faster, and a tenth slower */
  readonly fast: number;
  readonly slow: number;
  readonly calls: number;
  /** how many times as fast as ONNX Runtime's float32 with the same threads and batch; null where that was not run */
  readonly ratio: number | null;
}

export interface BenchResult {
  readonly architecture: string;
  /** slices, or `8-bit` */
  readonly input: string;
  readonly cpu: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly times: readonly EngineTime[];
  /** of the native engine, on each instruction set that is here */
  readonly layers: readonly LayerTimes[];
}

interface Contender {
  readonly engine: string;
  readonly kind: Kind;
  readonly threads: number;
  readonly batch: number;
  run(): unknown;
  close?(): Promise<void>;
}

/** Images whose answers come from the reference engine; those of the others, from WebAssembly's, where it agrees on these. */
const CHECKED = 3;
/** Products of an image above which the reference engine, hundreds of times as slow, is left out: a second or so. */
const MOST_REFERENCE_PRODUCTS = 1e9;
/** A camera's or a server's backlog: large batches hide what a call costs. */
const LARGE_BATCH = 32;

/** Times `model`. Throws an internal error when an exact engine gives other scores than the reference engine. */
export async function benchModel(model: PackedModel, options: BenchOptions = {}): Promise<BenchResult> {
  const { rounds = 5, seconds = 0.3, threads = availableParallelism(), signal, onProgress } = options;
  const contenders: Contender[] = [];
  const answers = await Answers.of(model);
  let version = 'none';
  let times: Times[];
  try {
    const native = await nativePackage();
    if (native)
      for (const kernels of native.nativeKernels())
        contenders.push(
          ...(await timeNative(model, kernels, Math.min(threads, native.nativeThreads()), answers)),
        );
    if (wasmRefusal(model) === null) contenders.push(...(await openWasm(model, answers, threads)));
    contenders.push(...(await openWebGpu(model, answers)));
    if (productsOf(modelShapes(model)) <= MOST_REFERENCE_PRODUCTS)
      contenders.push(timeReference(model, answers));
    for (const count of new Set([1, threads])) {
      const device = await openDevice('auto', count);
      version = device.version;
      // ONNX Runtime's WebAssembly build has one thread, whatever is asked for.
      if (device.threads === count)
        for (const batch of [1, LARGE_BATCH])
          for (const [kind, open] of [
            ['float32', openFloatNetwork],
            ['int8', openInt8Network],
          ] as const) {
            const engine = `${kind}, ONNX Runtime ${device.name}`;
            const network = await open(model, device, batch);
            contenders.push({ engine, kind, threads: count, batch, ...network });
          }
    }
    for (const batch of [1, LARGE_BATCH]) {
      const network = await openTfjsNetwork(model, batch);
      const engine = 'float32, TensorFlow.js wasm';
      if (network) contenders.push({ engine, kind: 'float32', threads: 1, batch, ...network });
    }
    times = await takeTurns(
      contenders.map(({ run }) => run),
      {
        rounds,
        seconds,
        signal,
        onTurn: (done, total, index) => onProgress?.(done, total, contenders[index]!.engine),
      },
    );
  } finally {
    for (const { close } of contenders) await close?.();
  }
  const measured = contenders.map(({ engine, kind, threads: used, batch }, i) => {
    const own = times[i]!;
    const at = (share: number) => own.at(share) / batch;
    const spread = { median: at(0.5), fast: at(0.1), slow: at(0.9), calls: own.count };
    return { engine, kind, threads: used, batch, ...spread };
  });
  const { input } = model;
  return {
    architecture: formatArchitecture(model.layers),
    input: input.encoding === '8-bit' ? '8-bit' : `${input.slices.length} of ${8 * input.channels} slices`,
    cpu: processor(),
    versions: { cbnn: VERSION, node: process.versions.node, 'ONNX Runtime': version },
    times: measured.map((one) => {
      // The first float32 engine is ONNX Runtime's.
      const float = measured.find(
        ({ kind, threads: used, batch }) => kind === 'float32' && used === one.threads && batch === one.batch,
      );
      return { ...one, ratio: float ? float.median / one.median : null };
    }),
    layers: await layerTimes(model, answers.image(0)),
  };
}

const wrongScores = (engine: string) =>
  internalError(`bench: the engine ${engine} gives other scores than the reference engine`);

/** Images to run, and what an exact engine answers. */
class Answers {
  private constructor(
    private readonly model: PackedModel,
    readonly images: Uint8Array,
    /** of all images, one behind the other; of the first ones where WebAssembly cannot run the model */
    private readonly expected: Int32Array,
  ) {}

  /** Throws an internal error where WebAssembly and the reference engine differ. */
  static async of(model: PackedModel): Promise<Answers> {
    const { height, width, channels } = model.input;
    const size = height * width * channels;
    const random = new Random(2);
    const images = new Uint8Array(LARGE_BATCH * size).map(() => random.below(256));
    const first = Array.from({ length: CHECKED }, (_, n) => images.subarray(n * size, (n + 1) * size));
    const scores = first.flatMap((image) => [...runReference(model, image).scores]);
    const checked = new Answers(model, images, Int32Array.from(scores));
    if (wasmRefusal(model) !== null) return checked;
    const all = (await WasmEngine.create(model)).runAll(images, LARGE_BATCH);
    checked.checkBatch('wasm', all);
    return new Answers(model, images, all);
  }

  /** Image `n`, counted round and round: one image again and again would keep in the caches what it looks up. */
  image(n: number): Uint8Array {
    const size = this.images.length / LARGE_BATCH;
    const i = n % LARGE_BATCH;
    return this.images.subarray(i * size, (i + 1) * size);
  }

  /** Throws an internal error when a batch of all images has other scores than it should. */
  checkBatch(engine: string, scores: Int32Array): void {
    if (this.expected.some((score, i) => score !== scores[i])) throw wrongScores(engine);
  }

  /** Throws an internal error when `run` gives other scores than it should. */
  check(engine: string, run: (image: Uint8Array, scores: Int32Array) => void): void {
    const classes = this.model.classes.length;
    const scores = new Int32Array(this.expected.length);
    for (let at = 0, n = 0; at < scores.length; at += classes)
      run(this.image(n++), scores.subarray(at, at + classes));
    this.checkBatch(engine, scores);
  }
}

function timeReference(model: PackedModel, answers: Answers): Contender {
  let next = 0;
  const run = () => runReference(model, answers.image(next++));
  return { engine: 'reference', kind: 'packed', threads: 1, batch: 1, run };
}

async function openWasm(model: PackedModel, answers: Answers, threads: number): Promise<Contender[]> {
  const engine = await WasmEngine.create(model);
  const classes = model.classes.length;
  const scores = new Int32Array(classes);
  answers.check('wasm', (image, to) => engine.run(image, to));
  let next = 0;
  const about = { engine: 'wasm', kind: 'packed', threads: 1 } as const;
  const all: Contender[] = [{ ...about, batch: 1, run: () => engine.run(answers.image(next++), scores) }];
  // As `load` has it: here on one thread, on workers with more.
  const runHere = () => engine.runAll(answers.images, LARGE_BATCH);
  answers.checkBatch('wasm', runHere());
  all.push({ ...about, batch: LARGE_BATCH, run: runHere });
  if (threads > 1) {
    const size = answers.image(0).length;
    const workers = await Threads.open(startThread, threads, encodeModel(model), size, classes, engine.cost);
    const run = () => workers.run(answers.images, LARGE_BATCH);
    all.push({ ...about, threads, batch: LARGE_BATCH, run, close: async () => workers.end() });
    answers.checkBatch('wasm', await run());
  }
  return all;
}

/** Nothing where the package webgpu, or an adapter, is missing, or the adapter refuses the model. */
async function openWebGpu(model: PackedModel, answers: Answers): Promise<Contender[]> {
  const classifier = await load(encodeModel(model), { engine: 'webgpu' }).catch(() => null);
  if (!classifier) return [];
  // `webgpu, llvmpipe ...`: a software adapter's name tells that it is one.
  const engine = classifier.engine.replace(': ', ', ');
  const all = Array.from({ length: LARGE_BATCH }, (_, n) => answers.image(n));
  const found = await classifier.classifyBatch(all);
  answers.checkBatch(engine, Int32Array.from(found.flatMap(({ scores }) => [...scores])));
  let next = 0;
  const close = async () => classifier.close();
  return [
    {
      engine,
      kind: 'packed',
      threads: 1,
      batch: 1,
      run: () => classifier.classify(answers.image(next++)),
      close,
    },
    { engine, kind: 'packed', threads: 1, batch: LARGE_BATCH, run: () => classifier.classifyBatch(all) },
  ];
}

/** Nothing where it refuses the model. */
async function timeNative(
  model: PackedModel,
  kernels: string,
  threads: number,
  answers: Answers,
): Promise<Contender[]> {
  const native = await openNative(model, kernels);
  if (!native) return [];
  const engine = `native, ${kernels}`;
  const scores = new Int32Array(model.classes.length);
  answers.check(engine, (image, to) => native.run(image, to));
  let next = 0;
  const run = () => native.run(answers.image(next++), scores);
  const all: Contender[] = [{ engine, kind: 'packed', threads: 1, batch: 1, run }];
  for (const count of new Set([1, threads])) {
    const runBatch = () => native.runBatch(answers.images, LARGE_BATCH, { threads: count });
    answers.checkBatch(engine, await runBatch());
    all.push({ engine, kind: 'packed', threads: count, batch: LARGE_BATCH, run: runBatch });
  }
  return all;
}
