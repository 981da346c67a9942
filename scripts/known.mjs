// Known behaviours of the techniques on real images: `CBNN_DATA=data npm run test:known`, with CIFAR-10 in that folder; ten minutes or so.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'packages/cbnn/src/compare/known-behaviour.test.ts'],
  { stdio: 'inherit', env: { ...process.env, CBNN_KNOWN: '1' } },
);
process.exit(status ?? 1);
