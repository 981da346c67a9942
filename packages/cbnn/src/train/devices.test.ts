/** Which device trains what, and that a network which the native step cannot take finds another. */
import { allSlices } from '@cbnn/runtime';
import { describe, expect, it } from 'vitest';
import { nativePackage } from '../engines/packed-native.js';
import { openDevice } from '../graph/session.js';
import type { RunConfig } from './config.js';
import { chooseDevice, onFittingDevice } from './devices.js';
import { isNativeFastest } from './native-trainer.js';

const native = (await nativePackage()) !== null;
const other = (await openDevice('auto', 1)).name;

/** Of images of `side` x `side`, as far as choosing a device reads it. */
const configFor = (side: number, device: RunConfig['device'], batch: number): RunConfig => {
  const slices = allSlices(3);
  return {
    technique: 'bnn',
    architecture: '8C3-2FC',
    firstLayer: 'integer',
    slicing: 'place-value',
    loss: 'cross-entropy',
    input: { height: side, width: side, channels: 3, encoding: 'bit-slices', slices, stretch: null },
    batch,
    device,
  } as unknown as RunConfig;
};

describe('the device', () => {
  it('is the native step for bits, and what is fastest for others', async () => {
    const bits = native && (await isNativeFastest({ technique: 'bnn' }));
    expect(await chooseDevice('auto', { technique: 'bnn' })).toBe(bits ? 'native' : other);
    const float = native && (await isNativeFastest({ technique: 'float' }));
    expect(await chooseDevice('auto', { technique: 'float' })).toBe(float ? 'native' : other);
    const notes: string[] = [];
    const after = { technique: 'fixed-point' } as const;
    expect(await chooseDevice('auto', after, (note) => notes.push(note))).toBe(other);
    expect(notes).toEqual([
      `device native: technique fixed-point has no native step; trained on ${other} instead`,
    ]);
    expect(await chooseDevice('cpu', { technique: 'bnn' })).toBe('cpu');
  });

  it('is not plain C, which is slower than ONNX Runtime', async () => {
    const plain = { trainingKernels: () => ['portable'], realTrainingKernels: () => ['portable'] };
    const vectors = { trainingKernels: () => ['neon', 'portable'], realTrainingKernels: () => ['neon'] };
    expect(await isNativeFastest({ technique: 'bnn' }, plain)).toBe(false);
    expect(await isNativeFastest({ technique: 'float' }, plain)).toBe(false);
    expect(await isNativeFastest({ technique: 'bnn' }, vectors)).toBe(true);
  });

  it('named outright is that or an error', async () => {
    await expect(chooseDevice('native', { technique: 'fixed-point' })).rejects.toThrow(
      'technique fixed-point has no native step',
    );
  });

  it.runIf(native)(
    'changes for a network that is too large for the native step, with a note why',
    async () => {
      const notes: string[] = [];
      const large = configFor(3000, 'native', 4);
      expect((await onFittingDevice(large, 'auto', (note) => notes.push(note))).device).toBe(other);
      expect(notes).toEqual([
        expect.stringMatching(/^device native: .*3000x3000x8.*; trained on \w+ instead$/),
      ]);
      await expect(onFittingDevice(large, 'native')).rejects.toThrow('choose --device auto');
      const small = configFor(30, 'native', 4);
      expect(await onFittingDevice(small, 'auto', (note) => notes.push(note))).toBe(small);
      expect(notes).toHaveLength(1);
    },
  );
});
