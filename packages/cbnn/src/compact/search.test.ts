import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextWidths, type TriedWidths } from './search.js';

/** Plays the search against a rule that says which widths are good enough. */
function search(shrink: 'paper' | 'separate', good: (conv: number, dense: number) => boolean): TriedWidths[] {
  const tried: TriedWidths[] = [];
  for (;;) {
    const next = nextWidths(shrink, tried);
    if (!next) return tried;
    tried.push({ conv: next.conv, dense: next.dense, accepted: good(next.conv, next.dense) });
    if (tried.length > 60) throw new Error('the search does not end');
  }
}

const best = (tried: readonly TriedWidths[]) => tried.filter((t) => t.accepted).at(-1);

describe('the search for widths', () => {
  it('halves all layers together under --shrink paper, then bisects the last gap', () => {
    const tried = search('paper', (conv) => conv >= 0.4);
    expect(tried.map((t) => t.conv)).toEqual([0.5, 0.25, 0.375, 0.4375]);
    expect(tried.every((t) => t.conv === t.dense)).toBe(true);
  });

  it('narrows dense layers first, then convolutions', () => {
    const tried = search('separate', (conv, dense) => conv >= 0.45 && dense >= 0.2);
    expect(tried[0]).toMatchObject({ conv: 1, dense: 0.5 });
    expect(tried[1]).toMatchObject({ conv: 1, dense: 0.25 });
    expect(tried[2]).toMatchObject({ conv: 1, dense: 0.125, accepted: false });
    expect(tried[3]).toMatchObject({ conv: 0.5, dense: 0.25 });
  });

  it('always ends, never repeats itself, and comes within its resolution of a monotone bound', () => {
    const bound = fc.double({ min: 0.07, max: 1, noNaN: true });
    fc.assert(
      fc.property(
        bound,
        bound,
        fc.constantFrom('paper' as const, 'separate' as const),
        (conv, dense, shrink) => {
          const tried = search(shrink, (c, d) => c >= conv && d >= dense);
          expect(new Set(tried.map((t) => `${t.conv} ${t.dense}`)).size).toBe(tried.length);
          // Nothing is tried whose outcome follows from an earlier try.
          for (const [i, t] of tried.entries())
            for (const known of tried.slice(0, i)) {
              const wider = known.conv >= t.conv && known.dense >= t.dense;
              const narrower = known.conv <= t.conv && known.dense <= t.dense;
              expect(known.accepted ? narrower : wider).toBe(false);
            }
          const found = best(tried) ?? { conv: 1, dense: 1 };
          const limit = shrink === 'paper' ? Math.max(conv, dense) : conv;
          expect(found.conv).toBeGreaterThanOrEqual(limit);
          expect(found.conv / limit).toBeLessThan(2);
        },
      ),
    );
  });
});
