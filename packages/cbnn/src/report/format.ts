/**
 * Numbers as people read them, the same in the terminal, in figures and in the HTML report.
 * 1 KB is 1000 bytes everywhere. A minus sign is the real one (U+2212), as wide as a plus sign.
 */

const UNITS = ['', 'k', 'M', 'G', 'T'] as const;

/** Three significant digits, without an exponent: 1.28, 40.2, 641. */
function threeDigits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

/** `value` in the largest unit that leaves at least 1 of it, after rounding. */
function scaled(value: number): { readonly digits: string; readonly unit: string } {
  let power = 0;
  while (power < UNITS.length - 1 && Math.abs(value) >= 999.5) {
    value /= 1000;
    power++;
  }
  const digits = power === 0 ? String(Math.round(value)) : threeDigits(value);
  return { digits, unit: UNITS[power]! };
}

/** `812 B`, `43.1 KB`, `1.76 MB` */
export function formatBytes(bytes: number): string {
  const { digits, unit } = scaled(bytes);
  return `${digits} ${unit.toUpperCase()}B`;
}

/** `10 240` as `10.2 k`, `40.2 M`, `1.28 G`: MACs, weights, operations */
export function formatCount(count: number): string {
  const { digits, unit } = scaled(count);
  return unit === '' ? digits : `${digits} ${unit}`;
}

/** A formatted number for an axis, without zeros that say nothing: `1.00 MB` becomes `1 MB`. */
export const tickText = (text: string): string =>
  text.replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '');

/** All digits in groups of three: `14,046,208`. */
export function formatInteger(value: number): string {
  return minus(
    Math.round(value)
      .toString()
      .replace(/\B(?=(\d{3})+$)/g, ','),
  );
}

/** Percent, given in percent: `11.40 %`. */
export function formatPercent(percent: number, digits = 2): string {
  return `${minus(percent.toFixed(digits))} %`;
}

/** `+0.31`, `−0.20`, `0.00` */
export function signed(value: number, digits = 2): string {
  const text = value.toFixed(digits);
  if (Number(text) === 0) return (0).toFixed(digits);
  return value > 0 ? `+${text}` : minus(text);
}

/** `[−0.12, +0.45]` */
export function formatInterval(interval: readonly [number, number], digits = 2): string {
  return `[${signed(interval[0], digits)}, ${signed(interval[1], digits)}]`;
}

/** How many times smaller: `3.98×`. */
export function formatRatio(before: number, after: number): string {
  return after > 0 ? `${threeDigits(before / after)}×` : 'n/a';
}

/** `95 s`, `12 min`, `3 h 20 min` */
export function formatDuration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const minus = (text: string): string => text.replace(/^-/, '\u2212');
