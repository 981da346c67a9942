// Before a workspace is packed: builds it, and puts README and LICENSE into it. Runs in the workspace's folder.
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { status } = spawnSync(
  process.execPath,
  ['node_modules/typescript/bin/tsc', '-b', 'packages/runtime', 'packages/cbnn'],
  {
    cwd: root,
    stdio: ['ignore', 2, 2], // standard output belongs to `npm pack --json`
  },
);
if (status !== 0) process.exit(status ?? 1);
for (const name of ['README.md', 'LICENSE']) copyFileSync(`${root}/${name}`, name);
