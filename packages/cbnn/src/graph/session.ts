/**
 * Runs ONNX graphs on whichever ONNX Runtime is there: `cpu` (native, onnxruntime-node), `wasm` (onnxruntime-web,
 * everywhere) or `webgpu` (onnxruntime-node's WebGPU provider). Tensors go in and out as Float32Array.
 */
import { CbnnError, configError } from '@cbnn/runtime';
import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { blockProbe } from './operations/convolve.js';

export const deviceNames = ['auto', 'cpu', 'wasm', 'webgpu'] as const;
export type DeviceName = (typeof deviceNames)[number];

/** A runtime that was found, and why it was taken. */
export interface Device {
  readonly name: Exclude<DeviceName, 'auto'>;
  /** e.g. `cpu: ONNX Runtime 1.30.0 native, 2 threads` */
  readonly description: string;
  /** ONNX Runtime's */
  readonly version: string;
  /** that it uses, which may be fewer than were asked for */
  readonly threads: number;
  /** channels per block of its blocked convolutions (operations/convolve.ts); 0 where there are none */
  readonly channelBlock: number;
  open(model: Uint8Array): Promise<Session>;
}

export type Feeds = Readonly<
  Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>
>;

export interface Session {
  /** Writes every output named in `outputs` into its array. */
  run(feeds: Feeds, outputs: Feeds): Promise<void>;
  readonly outputNames: readonly string[];
  close(): Promise<void>;
}

interface Ort {
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof Tensor;
}

/**
 * Opens `name`; `auto` prefers native, then wasm. Throws a config error when the device is not there. Its threads wait awake for more
 * work, for tens of milliseconds; `asleep` where threads of the native step want the processors next: behind a teacher that step took
 * 53 ms in place of 33 (W = 32, batch 100, two cores).
 */
export async function openDevice(
  name: DeviceName,
  threads: number,
  waits: 'awake' | 'asleep' = 'awake',
): Promise<Device> {
  if (name === 'wasm') return wasmDevice();
  const native = await importNative();
  if (native)
    return await nativeDevice(
      native.ort,
      native.version,
      name === 'webgpu' ? 'webgpu' : 'cpu',
      threads,
      waits,
    );
  if (name === 'auto') {
    const wasm = await wasmDevice();
    const hint = 'onnxruntime-node, which is not installed here, trains several times faster';
    return {
      ...wasm,
      description: `${wasm.description} (${hint}: npm install --ignore-scripts onnxruntime-node)`,
    };
  }
  throw configError(
    `device ${name}: onnxruntime-node is not installed; install it with \`npm install --ignore-scripts onnxruntime-node\`, or choose --device wasm`,
  );
}

async function importNative(): Promise<{ ort: Ort; version: string } | null> {
  try {
    const module = await import('onnxruntime-node');
    return { ort: module, version: module.env.versions.node ?? module.env.versions.common };
  } catch {
    return null;
  }
}

async function nativeDevice(
  ort: Ort,
  version: string,
  name: 'cpu' | 'webgpu',
  threads: number,
  waits: 'awake' | 'asleep',
): Promise<Device> {
  const open = (model: Uint8Array) =>
    openSession(
      ort,
      model,
      {
        executionProviders: [name],
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        ...(waits === 'asleep' && { extra: { session: { intra_op: { allow_spinning: '0' } } } }),
        executionMode: 'sequential',
        graphOptimizationLevel: 'all',
        logSeverityLevel: 3,
      },
      name === 'cpu',
    );
  return {
    name,
    version,
    threads,
    description:
      name === 'cpu'
        ? `cpu: ONNX Runtime ${version} native, ${threads} thread${threads === 1 ? '' : 's'}`
        : `webgpu: ONNX Runtime ${version} native WebGPU provider`,
    channelBlock: name === 'cpu' ? await findChannelBlock(open) : 0,
    open,
  };
}

/** Asks the runtime itself: its block depends on the CPU, and a wrong one gives wrong sums. */
async function findChannelBlock(open: Device['open']): Promise<number> {
  for (const block of [16, 8]) {
    let session: Session | null = null;
    try {
      session = await open(blockProbe(block));
      const difference = Float32Array.of(Number.NaN);
      const x = new Float32Array(2 * block * 9);
      await session.run(
        { x: { shape: [1, 2 * block, 3, 3], data: x } },
        { difference: { shape: [], data: difference } },
      );
      if (difference[0] === 0) return block;
    } catch {
      return 0; // this build has no blocked convolutions
    } finally {
      await session?.close();
    }
  }
  return 0;
}

/** One thread, whatever was asked for: with more, this build fetches its worker from a file: address, which Node refuses. */
async function wasmDevice(): Promise<Device> {
  const ort = await import('onnxruntime-web/wasm');
  ort.env.wasm.numThreads = 1;
  const version = ort.env.versions.web ?? ort.env.versions.common;
  return {
    name: 'wasm',
    version,
    threads: 1,
    channelBlock: 0,
    description: `wasm: ONNX Runtime ${version} WebAssembly, 1 thread`,
    open: (model) =>
      openSession(
        ort,
        model,
        {
          executionProviders: ['wasm'],
          graphOptimizationLevel: 'all',
          logSeverityLevel: 3,
        },
        false,
      ),
  };
}

async function openSession(
  ort: Ort,
  model: Uint8Array,
  options: InferenceSession.SessionOptions,
  writesInPlace: boolean,
): Promise<Session> {
  let session: InferenceSession;
  try {
    session = await ort.InferenceSession.create(model, options);
  } catch (cause) {
    const provider = String(options.executionProviders?.[0]);
    throw new CbnnError(
      'config',
      `device ${provider}: ONNX Runtime cannot run there: ${cause instanceof Error ? cause.message : String(cause)}; choose another --device`,
      { cause },
    );
  }
  const tensors = (feeds: Feeds): Record<string, Tensor> =>
    Object.fromEntries(
      Object.entries(feeds).map(([name, { data, shape }]) => [name, new ort.Tensor('float32', data, shape)]),
    );
  return {
    outputNames: session.outputNames,
    async run(feeds, outputs) {
      // The native runtime writes into the arrays given. The wasm one takes such arrays and leaves them as they are,
      // so there only the names are passed and the results copied.
      const wanted = writesInPlace ? tensors(outputs) : Object.keys(outputs);
      // The wasm runtime computes before it returns: let timers and signals have their turn between two runs.
      if (!writesInPlace) await new Promise(setImmediate);
      const results = await session.run(tensors(feeds), wanted);
      for (const [name, { data }] of Object.entries(outputs)) {
        const result = results[name]!.data;
        if (result !== data) data.set(result as Float32Array);
      }
    },
    close: () => session.release(),
  };
}
