/** What figures call slices, by the code that they are bits of; no code is plain binary. */
import { type InputCode, thermometerThresholds } from '@cbnn/runtime';

/** In a sentence, e.g. `the Gray code of a value`. */
export const codeTitles: Readonly<Record<InputCode, string>> = {
  gray: 'Gray code',
  thermometer: 'thermometer code',
};

/** One bit, e.g. `bit 3`, or what it says of a value. */
export const bitLabel = (bit: number, code?: InputCode): string =>
  code === 'thermometer' ? `≥ ${thermometerThresholds[bit]}` : `bit ${bit}`;

/** What slice 1 is. */
export const firstSliceLabel = (code?: InputCode): string => {
  if (code === 'thermometer') return 'finest threshold';
  return code ? `least significant bit of ${codeTitles[code]}` : 'least significant bit';
};
