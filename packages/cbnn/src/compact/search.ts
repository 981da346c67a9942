/**
 * The search for the smallest network within the bound, as a pure function of what was tried so far.
 *
 * `paper`: one width multiplier for all layers. `separate`: dense layers first (they hold two thirds of the paper's
 * network and cost little accuracy), then convolutions, then dense layers once more between the last two widths.
 * On an axis, widths are halved until a try is rejected; then the gap between the smallest accepted and the largest
 * rejected width is bisected while its ends differ by more than a factor of `RESOLUTION`.
 */

/** Widths relative to the baseline. */
export interface Widths {
  readonly conv: number;
  readonly dense: number;
}

export interface TriedWidths extends Widths {
  readonly accepted: boolean;
}

/** Two widths closer than this factor are not told apart. */
const RESOLUTION = 1.3;
/** Nothing narrower is tried. */
const NARROWEST = 1 / 16;

/** The next widths to try, or null when the search is over. */
export function nextWidths(
  shrink: 'paper' | 'separate',
  tried: readonly TriedWidths[],
): (Widths & { readonly reason: string }) | null {
  if (shrink === 'paper') {
    const width = nextOnAxis(
      tried.map(({ conv, accepted }) => ({ width: conv, accepted })),
      true,
    );
    return width === null ? null : { conv: width, dense: width, reason: 'all layers' };
  }
  // What is accepted stays so with wider layers of the other kind, what is rejected with narrower ones: so a try counts
  // on more axes than its own.
  const along = (axis: keyof Widths, other: keyof Widths, fixed: number) =>
    tried
      .filter((t) => (t.accepted ? t[other] <= fixed : t[other] >= fixed))
      .map((t) => ({ width: t[axis], accepted: t.accepted }));

  const coarse = nextOnAxis(along('dense', 'conv', 1), false);
  if (coarse !== null) return { conv: 1, dense: coarse, reason: 'narrower dense layers' };
  const dense = smallestAccepted(along('dense', 'conv', 1));
  const conv = nextOnAxis(along('conv', 'dense', dense), true);
  if (conv !== null) return { conv, dense, reason: 'narrower convolutions' };
  const convWidth = smallestAccepted(along('conv', 'dense', dense));
  const fine = nextOnAxis([...along('dense', 'conv', convWidth), { width: dense, accepted: true }], true);
  return fine === null ? null : { conv: convWidth, dense: fine, reason: 'dense layers once more' };
}

const smallestAccepted = (tried: readonly { width: number; accepted: boolean }[]): number =>
  Math.min(1, ...tried.filter((t) => t.accepted).map((t) => t.width));

function nextOnAxis(tried: readonly { width: number; accepted: boolean }[], bisect: boolean): number | null {
  const accepted = smallestAccepted(tried);
  const rejected = Math.max(0, ...tried.filter((t) => !t.accepted && t.width < accepted).map((t) => t.width));
  if (rejected === 0) return accepted / 2 >= NARROWEST ? accepted / 2 : null;
  if (!bisect || accepted / rejected < RESOLUTION) return null;
  return (accepted + rejected) / 2;
}
