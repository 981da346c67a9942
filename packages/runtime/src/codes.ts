/**
 * Input codes: what becomes of a value before its bits are taken as slices. Plain binary is the value itself and needs no table;
 * section 6 of docs/model-format.md has the others.
 *
 *     gray          v XOR floor(v / 2): values that are neighbours differ in one bit (Gray, US patent 2632058, 1953)
 *     thermometer   bit b is 1 where v reaches the threshold of b: nine levels, a step of 32 apart (Zhang et al., FracBNN,
 *                   FPGA 2021, with eight planes)
 */
/** Beside plain binary, which is the absence of a code. */
export const codeNames = ['gray', 'thermometer'] as const;
export type InputCode = (typeof codeNames)[number];

/**
 * Of each bit, the least significant first. The lower a bit, the finer the steps that it tells apart: without the lowest
 * bits a coarser thermometer is left, evenly spaced again with seven, four and three of them. (Networks on four slices: 49.7 %
 * validation error on the highest bits, 54.4 % on the highest thresholds; means of 3 seeds, CIFAR-10, 9,000 training images, 8 epochs,
 * width 0.5.)
 */
export const thermometerThresholds: readonly number[] = [16, 144, 208, 80, 240, 48, 176, 112];

const tableOf = (code: (value: number) => number): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, value) => code(value));

const tables: Readonly<Record<InputCode, Uint8Array>> = {
  gray: tableOf((value) => value ^ (value >> 1)),
  thermometer: tableOf((value) =>
    thermometerThresholds.reduce((bits, threshold, bit) => bits + (value >= threshold ? 2 ** bit : 0), 0),
  ),
};

/** What each of the 256 values becomes. */
export const codeTable = (code: InputCode): Uint8Array => tables[code];
