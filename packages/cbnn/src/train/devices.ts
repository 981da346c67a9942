/** What can train: the native step, and the ONNX graph on one of ONNX Runtime's devices. */
import { configError } from '@cbnn/runtime';
import { openDevice } from '../graph/session.js';
import { planOf, type RunConfig } from './config.js';
import { isNativeFastest, nativeTrainingRefusal, networkRefusal, type Trained } from './native-trainer.js';

export const trainingDevices = ['auto', 'native', 'cpu', 'wasm', 'webgpu'] as const;
export type TrainingDevice = (typeof trainingDevices)[number];

/**
 * The device that `name` stands for: `auto` is the native step where it trains that here faster than others, then ONNX Runtime's
 * native CPU kernels, then its WebAssembly, with a note why. Throws a config error where what was asked for is not there.
 */
export async function chooseDevice(
  name: TrainingDevice,
  trained: Trained,
  onNote?: (note: string) => void,
): Promise<RunConfig['device']> {
  if (name !== 'auto' && name !== 'native') return (await openDevice(name, 1)).name;
  const refusal = await nativeTrainingRefusal(trained);
  if (refusal === null && (name === 'native' || (await isNativeFastest(trained)))) return 'native';
  if (name === 'native') throw configError(`device native: ${refusal}; choose --device auto`);
  const other = (await openDevice('auto', 1)).name;
  onNote?.(insteadOfNative(refusal ?? 'it is not faster here for this technique', other));
  return other;
}

const insteadOfNative = (why: string, device: string): string =>
  `device native: ${why}; trained on ${device} instead`;

/**
 * `config`, on a device that can train its network: where the native step was chosen and the network is too large for it, `auto`
 * goes on to ONNX Runtime, and says why; `native` throws a config error.
 */
export async function onFittingDevice(
  config: RunConfig,
  asked: TrainingDevice,
  onNote?: (note: string) => void,
): Promise<RunConfig> {
  if (config.device !== 'native') return config;
  const refusal = await networkRefusal(planOf(config), config.batch);
  if (refusal === null) return config;
  if (asked === 'native') throw configError(`device native: ${refusal}; choose --device auto`);
  const { name } = await openDevice('auto', 1);
  onNote?.(insteadOfNative(refusal, name));
  return { ...config, device: name };
}
