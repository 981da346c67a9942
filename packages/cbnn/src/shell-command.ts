/** Commands of this program as a shell takes them. */

type Value = string | number | null | undefined;
/** An option of a command; left out without a value, or when the value is the default. */
export type CommandOption = readonly [name: string, value: Value, usual?: Value];

export function shellCommand(verb: string, subject: string, options: readonly CommandOption[]): string {
  const words = options.flatMap(([name, value, usual]) =>
    value === null || value === undefined || value === usual ? [] : [`--${name}`, String(value)],
  );
  return ['cbnn', verb, subject, ...words].map(quoted).join(' ');
}

/** A word as a shell takes it: in single quotes unless it has nothing that a shell would read. */
const quoted = (word: string): string =>
  /^[\w./:,=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
