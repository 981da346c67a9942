/**
 * Who takes part in a comparison: a technique, and what is set otherwise than it usually is, in one word:
 *
 *     bnn                        the technique as it is
 *     bnn+8-bit+binary-first     on the plain image, binary weights in the first layer
 *     bnn+recu+taught            trained with a variation, by the comparison's own float network
 *     bnn+compact                the smallest network that a compaction of bnn finds
 *     fixed-point+4-bit          numbers.ts: bits, sparsity, rounds and rates
 */
import { configError } from '@cbnn/runtime';
import { type TechniqueName, techniqueNames, variationNames } from '../nn/plan.js';
import { type RecipeName, recipes } from '../nn/recipes.js';
import { unknownName } from '../suggest.js';
import { techniqueOf, techniques } from '../techniques/index.js';
import { type RunOptions, teacherOptions } from '../train/options.js';
import { numberForms, numbersOf, ONE_SHOT } from './numbers.js';

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

export interface Contender {
  readonly name: string;
  readonly technique: TechniqueName;
  readonly options: Pick<
    RunOptions,
    | 'input'
    | 'code'
    | 'slicing'
    | 'firstLayer'
    | 'slices'
    | 'variations'
    | 'weightBits'
    | 'activationBits'
    | 'sparsity'
    | 'rounds'
    | 'rate'
    | 'floatRate'
  >;
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
  /** What is usual under `recipe` needs no word. */
  contender: (row: string, column: string, recipe: RecipeName): string =>
    [
      'bnn',
      ...[row, column].filter((part) => part !== recipes[recipe].slicing && part !== 'integer-first'),
    ].join('+'),
} as const;

export const gridContenders = (recipe: RecipeName): string[] =>
  inputGrid.rows.flatMap((row) =>
    inputGrid.columns.map((column) => inputGrid.contender(row, column, recipe)),
  );

const settingNames = Object.keys(SETTINGS) as (keyof typeof SETTINGS)[];
const sliceNames = [1, 2, 3, 4, 5, 6, 7, 8].map((count) => `top${count}`);
/** In the order that a name has them. */
const partNames: readonly string[] = [...settingNames, ...sliceNames, ...variationNames, ...STEPS];

/** Throws a config error for a word that is no technique and its settings; the name of what it returns has them in one order. */
export function contenderOf(word: string): Contender {
  const [first, ...given] = word.split('+');
  const technique = techniqueNames.find((known) => known === first);
  if (!technique) throw unknownName('technique', first!, [...techniqueNames]);
  const numbers = new Map<string, Partial<RunOptions>>();
  for (const part of given) {
    const own = numbersOf(technique, part, word);
    if (own) numbers.set(part, own);
    else if (!partNames.includes(part))
      throw unknownName(
        `setting of ${technique}`,
        part,
        [...settingNames, ONE_SHOT, ...STEPS, ...variationNames],
        `slices such as top4; ${numberForms}`,
      );
  }
  const parts = partNames.filter((part) => given.includes(part) && !numbers.has(part));
  const options: { -readonly [K in keyof Contender['options']]: Contender['options'][K] } = {};
  const set = (more: Contender['options']): void => {
    for (const key of Object.keys(more))
      if (key in options) throw configError(`${word}: sets ${key} twice; leave one out`);
    Object.assign(options, more);
  };
  const inputs = parts.filter(
    (part) => settingNames.some((name) => name === part) || sliceNames.includes(part),
  );
  for (const part of inputs)
    set(sliceNames.includes(part) ? { slices: part } : SETTINGS[part as keyof typeof SETTINGS]);
  for (const own of numbers.values()) set(own);
  const variations = variationNames.filter((name) => parts.includes(name));
  if (variations.length > 0) options.variations = variations;
  const has = (step: (typeof STEPS)[number]): boolean => parts.includes(step);
  const beyond = parts.filter((part) => !inputs.includes(part));
  if (technique !== 'bnn' && beyond.length > 0)
    throw configError(`${word}: only bnn has ${beyond.join(', ')}, not ${technique}`);
  if (variations.length > 0) techniqueOf({ technique, variations });
  const named = (technique: TechniqueName, own: readonly string[]): string => [technique, ...own].join('+');
  const ownNumbers = [...numbers.keys()].sort();
  const start = has('two-step') ? 'binary-activations' : techniques[technique].startsFrom;
  return {
    name: named(technique, [...parts, ...ownNumbers]),
    technique,
    options,
    ...(start && { from: named(start, inputs) }),
    ...(has('taught') && { teacher: named('float', teacherParts(options)) }),
    ...(has('compact') && {
      compacts: named(technique, [...parts.filter((part) => part !== 'compact'), ...ownNumbers]),
    }),
  };
}

/** What a teacher of `options` has set, in words. */
function teacherParts(options: Contender['options']): string[] {
  const { input, code } = teacherOptions(options);
  return [input, code].filter((part) => part !== undefined);
}

/** Those named and those that they build on, each after what it builds on. Throws config errors. */
export function contendersOf(names: readonly string[]): Contender[] {
  const all = new Map<string, Contender>();
  const add = (word: string): void => {
    const contender = contenderOf(word);
    if (all.has(contender.name)) return;
    for (const other of [contender.from, contender.teacher, contender.compacts]) if (other) add(other);
    all.set(contender.name, contender);
  };
  for (const name of names) add(name);
  return [...all.values()];
}
