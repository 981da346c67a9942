/** The processor that times are measured on. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** What tells generations apart: some clouds give all processors of a maker one name. */
const MARKS = ['cpu family', 'model', 'CPU implementer', 'CPU part'] as const;

/** `AMD EPYC (family 25, model 17)` of a name and the text of /proc/cpuinfo, `unknown` where neither says anything. */
export function describeProcessor(name: string | undefined, cpuinfo: string): string {
  const marks = MARKS.flatMap((mark) => {
    const value = new RegExp(`^${mark}\\s*:\\s*(\\S+)`, 'm').exec(cpuinfo)?.[1];
    return value === undefined ? [] : [`${mark.replace(/^cpu /i, '')} ${value}`];
  });
  const known = name?.trim() || 'unknown';
  return marks.length > 0 ? `${known} (${marks.join(', ')})` : known;
}

export function processor(): string {
  let cpuinfo = '';
  try {
    cpuinfo = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    // Linux alone has it.
  }
  return describeProcessor(cpus()[0]?.model, cpuinfo);
}
