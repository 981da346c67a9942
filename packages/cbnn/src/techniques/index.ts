import { bnn } from './bnn.js';
import { float } from './float.js';
import type { Technique, TechniqueName } from './technique.js';

/** Every technique, by the name it is selected with. */
export const techniques: Readonly<Record<TechniqueName, Technique>> = { bnn, float };
export type { Technique, TechniqueName } from './technique.js';
