/**
 * HTML and SVG text that cannot be injected into.
 *
 * The `markup` tag escapes everything that is put into a template unless it is itself `Markup`. Class names, commands
 * and error texts are user data; with the tag, forgetting to escape one is not possible.
 */

/** Text that is already HTML or SVG. */
export class Markup {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

/** What a template accepts: text is escaped, `Markup` is taken as it is, lists are joined, nothing is skipped. */
export type Insert = string | number | Markup | false | null | undefined | readonly Insert[];

export function markup(parts: TemplateStringsArray, ...inserts: readonly Insert[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + render(inserts[i - 1]) + part));
}

/** For text this program wrote itself (a style sheet, a rendered figure); never for user data. */
export const trusted = (text: string): Markup => new Markup(text);

function render(insert: Insert): string {
  if (insert instanceof Markup) return insert.text;
  if (insert === null || insert === undefined || insert === false) return '';
  if (typeof insert === 'object') return insert.map(render).join('');
  return escapeText(String(insert));
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** `text` safe between tags and inside quoted attributes, in HTML and in XML. */
export function escapeText(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/** `text` with the characters no XML document may hold (control characters, lone surrogates) replaced by U+FFFD. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\t\n\r]|\p{Cs}|[\uFFFE\uFFFF]/gu, '\uFFFD');
}
