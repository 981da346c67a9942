/**
 * Settings of a contender that are numbers, each of some techniques alone:
 *
 *     fixed-point+4-bit     bits of weights and of activations (of others, `8-bit` is the plain image)
 *     pruned+sparsity-95    percent of weights that pruning takes away, or that ttq leaves 0
 *     pruned+one-shot       in one round
 *     bnn+rate-1e-2         peak learning rate, of latent weights where there are any
 */
import { configError } from '@cbnn/runtime';
import type { TechniqueName } from '../nn/plan.js';
import { techniques } from '../techniques/index.js';
import type { RunOptions } from '../train/options.js';

type Numbers = Pick<
  RunOptions,
  'weightBits' | 'activationBits' | 'sparsity' | 'rounds' | 'rate' | 'floatRate'
>;

/** What they look like, for who looks for a setting. */
export const numberForms =
  'rate-1e-2, of fixed-point 4-bit, of pruned and ttq sparsity-95, of pruned one-shot';
export const ONE_SHOT = 'one-shot';

const [LEAST_BITS, MOST_BITS] = [2, 16];
const [LEAST_PERCENT, MOST_PERCENT] = [1, 99];

/** What `part` sets of `technique`; null where it is no number, or one of its input. Throws a config error for numbers that cannot be. */
export function numbersOf(technique: TechniqueName, part: string, word: string): Numbers | null {
  const { afterTraining, hasSparsity, prunes, latentWeights } = techniques[technique];
  const only = (has: boolean | undefined, who: string) => {
    if (!has) throw configError(`${word}: only ${who} ${part}, not ${technique}`);
  };
  const bits = /^(.*)-bit$/.exec(part)?.[1];
  if (bits !== undefined && !(part === '8-bit' && !afterTraining)) {
    const number = wholeOf(bits);
    if (number !== null) only(afterTraining, 'fixed-point has');
    if (!afterTraining) return null;
    if (number === null || number < LEAST_BITS || number > MOST_BITS)
      throw configError(`${word}: expected ${LEAST_BITS}-bit to ${MOST_BITS}-bit, got "${part}"`);
    return { weightBits: number, activationBits: number };
  }
  const percent = /^sparsity-(.*)$/.exec(part)?.[1];
  if (percent !== undefined) {
    only(hasSparsity, 'pruned and ttq have');
    const number = wholeOf(percent);
    if (number === null || number < LEAST_PERCENT || number > MOST_PERCENT)
      throw configError(
        `${word}: expected a whole percentage, sparsity-${LEAST_PERCENT} to sparsity-${MOST_PERCENT}, got "${part}"`,
      );
    return { sparsity: number / 100 };
  }
  const rate = /^rate-(.*)$/.exec(part)?.[1];
  if (rate !== undefined) {
    if (afterTraining) throw configError(`${word}: ${technique} follows training, so it has no ${part}`);
    const number = Number(rate);
    if (!/^[\d.]+(e-\d+)?$/.test(rate) || !(number > 0 && number <= 1))
      throw configError(`${word}: expected a rate above 0, at most 1, as rate-1e-2, got "${part}"`);
    return latentWeights ? { rate: number } : { floatRate: number };
  }
  if (part !== ONE_SHOT) return null;
  only(prunes, 'pruned has');
  return { rounds: 1 };
}

const wholeOf = (text: string): number | null => (/^(0|[1-9]\d*)$/.test(text) ? Number(text) : null);

/** In words, of `numbersOf`. */
export const numbersText = (
  { weightBits, sparsity, rounds, rate, floatRate }: Numbers,
  technique: TechniqueName,
): string[] => [
  ...(weightBits === undefined ? [] : [`${weightBits} bits`]),
  ...(sparsity === undefined
    ? []
    : [
        `${Math.round(100 * sparsity)} % of weights ${techniques[technique].prunes ? 'taken away' : 'are 0'}`,
      ]),
  ...(rounds === undefined ? [] : ['in one round']),
  ...((rate ?? floatRate) === undefined ? [] : [`peak rate ${rate ?? floatRate}`]),
];
