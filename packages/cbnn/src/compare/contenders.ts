/**
 * Who takes part in a comparison: a technique, and what is set otherwise than it usually is, in one word:
 *
 *     bnn                        the technique as it is
 *     bnn+8-bit+binary-first     on the plain image, binary weights in the first layer
 *     bnn+recu+taught            trained with a variation, by the comparison's own float network
 *     bnn+compact                the smallest network that a compaction of bnn finds
 */
import { configError } from '@cbnn/runtime';
import { type TechniqueName, techniqueNames, type VariationName, variationNames } from '../nn/plan.js';
import { unknownName } from '../suggest.js';
import { techniqueOf, techniques } from '../techniques/index.js';
import type { RunOptions } from '../train/options.js';

/** What may follow a technique, beside the names of variations and slices such as `top4`. */
const SETTINGS = {
  'bit-slices': { input: 'bit-slices' },
  '8-bit': { input: '8-bit' },
  equal: { slicing: 'equal' },
  'place-value': { slicing: 'place-value' },
  gray: { code: 'gray' },
  thermometer: { code: 'thermometer' },
  'integer-first': { firstLayer: 'integer' },
  'binary-first': { firstLayer: 'binary' },
  'real-first': { firstLayer: 'real' },
} as const satisfies Readonly<Record<string, Partial<RunOptions>>>;

/** What another contender has to be finished for. */
const STEPS = ['two-step', 'taught', 'compact'] as const;
type Step = (typeof STEPS)[number];

export interface Contender {
  readonly name: string;
  readonly technique: TechniqueName;
  readonly options: Pick<RunOptions, 'input' | 'code' | 'slicing' | 'firstLayer' | 'slices' | 'variations'>;
  /** the contender whose weights training begins with */
  readonly from?: string;
  /** whose answers it learns */
  readonly teacher?: string;
  /** that it is the compaction of */
  readonly compacts?: string;
}

/** Everyone, where nobody is named: all techniques but the first half of another, and the compact network. */
export const usualContenders: readonly string[] = [
  ...techniqueNames.filter((name) => name !== 'binary-activations'),
  'bnn+compact',
];

/** The paper's figure 6: what enters the first layer, and what its weights are. */
export const inputGrid = {
  rows: ['8-bit', 'equal', 'place-value'],
  columns: ['integer-first', 'binary-first'],
  contender: (row: string, column: string): string =>
    ['bnn', row === 'place-value' ? '' : row, column === 'integer-first' ? '' : column]
      .filter((part) => part !== '')
      .join('+'),
} as const;

export const gridContenders = (): string[] =>
  inputGrid.rows.flatMap((row) => inputGrid.columns.map((column) => inputGrid.contender(row, column)));

/** Throws a config error for a word that is no technique and its settings. */
export function contenderOf(name: string): Contender {
  const [first, ...rest] = name.split('+');
  const technique = techniqueNames.find((known) => known === first);
  if (!technique) throw unknownName('technique', first!, [...techniqueNames]);
  const variations: VariationName[] = [];
  const options: { -readonly [K in keyof Contender['options']]: Contender['options'][K] } = {};
  const steps: Step[] = [];
  for (const part of rest) {
    const variation = variationNames.find((known) => known === part);
    const step = STEPS.find((known) => known === part);
    if (variation) variations.push(variation);
    else if (step) steps.push(step);
    else if (part in SETTINGS) Object.assign(options, SETTINGS[part as keyof typeof SETTINGS]);
    else if (/^top[1-8]$/.test(part)) options.slices = part;
    else
      throw unknownName(
        `setting of ${technique}`,
        part,
        [...Object.keys(SETTINGS), ...STEPS, ...variationNames],
        'slices such as top4',
      );
  }
  if (variations.length > 0) options.variations = variations;
  // What the steps alone leave: the contender that they build on.
  const without = (step: Step) => [first, ...rest.filter((part) => part !== step)].join('+');
  if (technique !== 'bnn' && (steps.length > 0 || variations.length > 0))
    throw configError(`${name}: only bnn has ${[...steps, ...variations].join(', ')}, not ${technique}`);
  techniqueOf({ technique, ...(variations.length > 0 && { variations }) });
  const { startsFrom } = techniques[technique];
  const ends = rest.filter((part) => part in SETTINGS || options.slices === part);
  const from = steps.includes('two-step') ? ['binary-activations', ...ends].join('+') : startsFrom;
  return {
    name,
    technique,
    options,
    ...(from && { from }),
    ...(steps.includes('taught') && { teacher: 'float' }),
    ...(steps.includes('compact') && { compacts: without('compact') }),
  };
}

/** Those named and those that they build on, each after what it builds on. Throws config errors. */
export function contendersOf(names: readonly string[]): Contender[] {
  const all = new Map<string, Contender>();
  const add = (name: string): void => {
    if (all.has(name)) return;
    const contender = contenderOf(name);
    for (const other of [contender.from, contender.teacher, contender.compacts]) if (other) add(other);
    all.set(name, contender);
  };
  for (const name of names) add(name);
  return [...all.values()];
}
