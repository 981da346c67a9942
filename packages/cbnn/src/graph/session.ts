/**
 * Runs ONNX graphs on whichever ONNX Runtime is there: `cpu` (native, onnxruntime-node), `wasm` (onnxruntime-web,
 * everywhere) or `webgpu` (onnxruntime-node's WebGPU provider). Tensors go in and out as Float32Array.
 */
import { configError } from '@cbnn/runtime';
import type { InferenceSession, Tensor } from 'onnxruntime-common';

export const deviceNames = ['auto', 'cpu', 'wasm', 'webgpu'] as const;
export type DeviceName = (typeof deviceNames)[number];

/** A runtime that was found, and why it was taken. */
export interface Device {
  readonly name: Exclude<DeviceName, 'auto'>;
  /** e.g. `cpu: ONNX Runtime 1.30.0 native, 2 threads` */
  readonly description: string;
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

/** Opens `name`; `auto` prefers native, then wasm. Throws a config error when the device is not there. */
export async function openDevice(name: DeviceName, threads: number): Promise<Device> {
  if (name === 'wasm') return wasmDevice(threads);
  const native = await importNative();
  if (native) return nativeDevice(native.ort, native.version, name === 'webgpu' ? 'webgpu' : 'cpu', threads);
  if (name === 'auto') return wasmDevice(threads);
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

function nativeDevice(ort: Ort, version: string, name: 'cpu' | 'webgpu', threads: number): Device {
  return {
    name,
    description:
      name === 'cpu'
        ? `cpu: ONNX Runtime ${version} native, ${threads} thread${threads === 1 ? '' : 's'}`
        : `webgpu: ONNX Runtime ${version} native WebGPU provider`,
    open: (model) =>
      openSession(
        ort,
        model,
        {
          executionProviders: [name],
          intraOpNumThreads: threads,
          interOpNumThreads: 1,
          executionMode: 'sequential',
          graphOptimizationLevel: 'all',
          logSeverityLevel: 3,
        },
        name === 'cpu',
      ),
  };
}

async function wasmDevice(threads: number): Promise<Device> {
  const ort = await import('onnxruntime-web/wasm');
  ort.env.wasm.numThreads = threads;
  return {
    name: 'wasm',
    description: `wasm: ONNX Runtime ${ort.env.versions.web ?? ort.env.versions.common} WebAssembly, ${threads} thread${threads === 1 ? '' : 's'}`,
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
  const session = await ort.InferenceSession.create(model, options);
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
      const results = await session.run(tensors(feeds), wanted);
      for (const [name, { data }] of Object.entries(outputs)) {
        const result = results[name]!.data;
        if (result !== data) data.set(result as Float32Array);
      }
    },
    close: () => session.release(),
  };
}
