/** The few pieces all sections of the HTML report are built from. */
import { type Insert, type Markup, markup, trusted } from './markup.js';

export interface Section {
  /** also the address of the section on the page */
  readonly id: string;
  readonly title: string;
  /** shorter, for the navigation */
  readonly short: string;
  readonly lead?: Insert;
  readonly body: Markup;
}

/**
 * A figure of this package on a white card, whatever the page's colours. Inside HTML an SVG needs no namespace, and
 * without it the page names no address at all. `natural` keeps small figures from growing, `fixed` those whose text
 * would get too small from shrinking too: they scroll.
 */
export function figureCard(svg: string, size: 'fill' | 'natural' | 'fixed' = 'fill'): Markup {
  const inline = svg
    .replace(' xmlns="http://www.w3.org/2000/svg"', size === 'fill' ? '' : ` class="${size}"`)
    .trimEnd();
  return markup`<figure class="card"><div class="canvas">${trusted(inline)}</div></figure>`;
}

export interface HtmlColumn {
  readonly header: string;
  readonly align?: 'left' | 'right' | 'wrap';
}

export interface HtmlRow {
  readonly cells: readonly Insert[];
  readonly chosen?: boolean;
}

export function htmlTable(
  columns: readonly HtmlColumn[],
  rows: readonly HtmlRow[],
  footer?: readonly Insert[],
): Markup {
  const cell = (content: Insert, i: number) => {
    const align = columns[i]?.align ?? 'left';
    return align === 'left' ? markup`<td>${content}</td>` : markup`<td class="${align}">${content}</td>`;
  };
  const headers = columns.map(
    ({ header, align }) =>
      markup`<th scope="col" class="${align === 'right' ? 'right' : 'left'}">${header}</th>`,
  );
  const body = rows.map(
    ({ cells, chosen }) => markup`<tr${chosen ? markup` class="chosen"` : ''}>${cells.map(cell)}</tr>`,
  );
  const foot = footer && markup`<tfoot><tr>${footer.map(cell)}</tr></tfoot>`;
  return markup`<div class="scroll"><table><thead><tr>${headers}</tr></thead><tbody>${body}</tbody>${foot}</table></div>`;
}

export const details = (summary: string, content: Markup): Markup =>
  markup`<details class="card"><summary>${summary}</summary>${content}</details>`;

export const grid = (...content: readonly Insert[]): Markup => markup`<div class="grid">${content}</div>`;

export const tag = (text: string, tone: 'good' | 'warn' | 'accent'): Markup =>
  markup`<span class="tag ${tone}">${text}</span>`;
