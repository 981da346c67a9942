/** Data flows one way: a folder imports only from those before it in ARCHITECTURE.md's list. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const source = import.meta.dirname;
const architecture = readFileSync(join(source, '..', '..', '..', 'ARCHITECTURE.md'), 'utf8');
/** The folders in the order of the flow, as ARCHITECTURE.md lists them. */
const flow = architecture
  .slice(architecture.indexOf('packages/cbnn '))
  .split('\n')
  .map((line) => /^ {6}([a-z]+(?:, [a-z]+)*) {2,}/.exec(line)?.[1])
  .filter((names) => names !== undefined)
  .flatMap((names) => names.split(', '));

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !/(^|\/)testing\//.test(file),
);

it('every folder is in the flow, and the other way round', () => {
  const folders = new Set(files.filter((file) => file.includes('/')).map((file) => file.split('/')[0]!));
  expect([...folders].sort()).toEqual([...flow].sort());
});

it('no import points against the flow', () => {
  const against: string[] = [];
  for (const file of files) {
    const folder = file.includes('/') ? file.split('/')[0]! : null;
    const text = readFileSync(join(source, file), 'utf8');
    for (const [, target] of text.matchAll(/from '(?:\.\.\/)+([a-z]+)\/[^']+'/g)) {
      // Files beside the folders are small tools that use none of them; index.ts only exports.
      const allowed =
        folder !== null &&
        (target === folder || flow.indexOf(target!) < flow.indexOf(folder) || !flow.includes(target!));
      if (!allowed && file !== 'index.ts') against.push(`${file} uses ${target}`);
    }
  }
  expect(against).toEqual([]);
});
