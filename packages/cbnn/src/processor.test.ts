import { cpus } from 'node:os';
import { expect, it } from 'vitest';
import { describeProcessor, processor } from './processor.js';

const lines = (...all: string[]) => all.map((line) => `${line}\n`).join('');

it('a processor is named with what tells its generation', () => {
  const zen4 = lines(
    'vendor_id\t: AuthenticAMD',
    'cpu family\t: 25',
    'model\t\t: 17',
    'model name\t: AMD EPYC',
  );
  expect(describeProcessor('AMD EPYC', zen4)).toBe('AMD EPYC (family 25, model 17)');
  // Of a machine that counts its cores alone by their numbers.
  const arm = lines('processor\t: 0', 'CPU implementer\t: 0x41', 'CPU part\t: 0xd0c');
  expect(describeProcessor('unknown', arm)).toBe('unknown (implementer 0x41, part 0xd0c)');
  expect(describeProcessor('Apple M2', '')).toBe('Apple M2');
  expect(describeProcessor(undefined, '')).toBe('unknown');
  expect(processor()).toContain(cpus()[0]!.model.trim());
});
