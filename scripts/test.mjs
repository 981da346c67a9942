// Everything that must hold before a change lands: formatter and linter without warnings, types, tests.
// `node scripts/test.mjs --only-tests [vitest arguments]` runs the tests alone.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const onlyTests = process.argv.includes('--only-tests');
const rest = process.argv.slice(2).filter((argument) => argument !== '--only-tests');
const steps = [
  ...(onlyTests
    ? []
    : [
        ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'],
        ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.tests.json'],
      ]),
  ['node_modules/vitest/vitest.mjs', 'run', ...rest],
];
for (const [script, ...args] of steps) {
  const { status } = spawnSync(process.execPath, [script, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
