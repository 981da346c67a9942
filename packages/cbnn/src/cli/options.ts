/** Parsers of option values: each refuses with what it expected and what came. */
import { InvalidArgumentError } from 'commander';
import { nearest } from '../suggest.js';

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError(`expected a whole number of 1 or more, got "${text}".`);
  return value;
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < 0)
    throw new InvalidArgumentError(`expected a whole number of 0 or more, got "${text}".`);
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError(`expected a number above 0, got "${text}".`);
  return value;
}

export function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1))
    throw new InvalidArgumentError(`expected a number between 0 and 1, got "${text}".`);
  return value;
}

/** Several of `names`, with commas between. */
export function listOf<Name extends string>(names: readonly Name[]): (text: string) => Name[] {
  return (text) => text.split(',').map(oneOf(names));
}

/** One of `names`, or an error with the nearest. */
export function oneOf<Name extends string>(names: readonly Name[]): (text: string) => Name {
  return (text) => {
    const found = names.find((name) => name === text);
    if (found) return found;
    const close = nearest(text, names);
    throw new InvalidArgumentError(
      `expected one of ${names.join(', ')}, got "${text}".${close ? ` Did you mean ${close}?` : ''}`,
    );
  };
}
