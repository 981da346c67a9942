// Long fuzzing of the model reader and of every engine against the reference: `npm run test:fuzz`, a few minutes.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'packages/runtime/src/fuzz.test.ts'],
  {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, CBNN_FUZZ: '1' },
    stdio: 'inherit',
  },
);
process.exit(status ?? 1);
