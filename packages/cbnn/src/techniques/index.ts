import type { Technique } from '../graph/technique.js';
import type { TechniqueName } from '../nn/plan.js';
import { bnn } from './bnn.js';
import { float } from './float.js';

/** Every technique, by the name it is selected with. */
export const techniques: Readonly<Record<TechniqueName, Technique>> = { bnn, float };
