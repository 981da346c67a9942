/** Aligned text tables for the terminal. */
import { internalError } from '@cbnn/runtime';

export interface Column {
  readonly header: string;
  /** numbers read best right-aligned; default `left` */
  readonly align?: 'left' | 'right';
}

/**
 * Rows under their headers, columns padded to their widest cell and two spaces apart, no trailing spaces.
 * Every row must have one cell per column. Ends without a line break.
 */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  for (const [i, row] of rows.entries())
    if (row.length !== columns.length)
      throw internalError(`table row ${i + 1}: expected ${columns.length} cells, got ${row.length}`);
  const headers = columns.map((column) => column.header);
  const widths = columns.map((_, i) => Math.max(...[headers, ...rows].map((row) => width(row[i]!))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => {
        const space = ' '.repeat(widths[i]! - width(cell));
        return columns[i]!.align === 'right' ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd();
  return [line(headers), widths.map((size) => '─'.repeat(size)).join('  '), ...rows.map(line)].join('\n');
}

/** Characters, not UTF-16 units. */
const width = (text: string): number => [...text].length;
