import { describe, expect, test } from 'vitest';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatInteger,
  formatInterval,
  formatPercent,
  formatRatio,
  signed,
} from './format.js';
import { escapeText, markup, trusted } from './markup.js';
import { textTable } from './table.js';

describe('formats', () => {
  test.each([
    [formatBytes(0), '0 B'],
    [formatBytes(812), '812 B'],
    [formatBytes(999), '999 B'],
    [formatBytes(1000), '1.00 KB'],
    [formatBytes(110_000), '110 KB'],
    [formatBytes(43_120), '43.1 KB'],
    [formatBytes(999_499), '999 KB'],
    [formatBytes(999_501), '1.00 MB'],
    [formatBytes(1_755_776), '1.76 MB'],
    [formatCount(40_200_000), '40.2 M'],
    [formatCount(1_283_400_000), '1.28 G'],
    [formatCount(9_996), '10.0 k'],
    [formatCount(17), '17'],
    [formatInteger(14_046_208), '14,046,208'],
    [formatInteger(-1234), '−1,234'],
    [formatInteger(999), '999'],
    [formatPercent(11.4), '11.40 %'],
    [formatPercent(2.5, 1), '2.5 %'],
    [signed(0.31), '+0.31'],
    [signed(-0.2), '−0.20'],
    [signed(-0.001), '0.00'],
    [formatInterval([-0.12, 0.45]), '[−0.12, +0.45]'],
    [formatRatio(14_022_016, 3_521_024), '3.98×'],
    [formatRatio(1, 0), 'n/a'],
    [formatDuration(95), '95 s'],
    [formatDuration(720), '12 min'],
    [formatDuration(12_000), '3 h 20 min'],
  ])('%s is written as %s', (text, expected) => {
    expect(text).toBe(expected);
  });
});

describe('text tables', () => {
  test('align numbers to the right and words to the left', () => {
    const table = textTable(
      [{ header: 'layer' }, { header: 'bytes', align: 'right' }, { header: 'note' }],
      [
        ['128C3', '3,456', 'integer'],
        ['10FC', '80', ''],
      ],
    );
    expect(table.split('\n')).toEqual([
      'layer  bytes  note',
      '─────  ─────  ───────',
      '128C3  3,456  integer',
      '10FC      80',
    ]);
  });

  test('stand without rows', () => {
    expect(textTable([{ header: 'a' }], [])).toBe('a\n─');
  });

  test('refuse a row of another length', () => {
    expect(() => textTable([{ header: 'a' }], [['1', '2']])).toThrow('table row 1: expected 1 cells, got 2');
  });
});

describe('markup', () => {
  test('escapes text and keeps markup', () => {
    const name = `<img src=x onerror="alert('1')"> & co`;
    expect(markup`<p title="${name}">${markup`<b>${name}</b>`}</p>`.text).toBe(
      '<p title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt; &amp; co">' +
        '<b>&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt; &amp; co</b></p>',
    );
  });

  test('joins lists and leaves out what is nothing', () => {
    expect(markup`${[markup`<i></i>`, 'a<', 0]}${null}${undefined}${false}`.text).toBe('<i></i>a&lt;0');
  });

  test('trusts only what is said to be trusted', () => {
    expect(markup`${trusted('<svg/>')}${'<svg/>'}`.text).toBe('<svg/>&lt;svg/&gt;');
  });

  test('replaces characters that XML cannot hold, and keeps line breaks', () => {
    expect(escapeText('a\u0000b\u001bc\nd\te\uD800f')).toBe('a\uFFFDb\uFFFDc\nd\te\uFFFDf');
    expect(escapeText('naïve 猫 🐈')).toBe('naïve 猫 🐈');
  });
});
