// Makes a fresh clone ready: installs the locked dependencies and builds, each only when something has changed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`node: expected 20.19 or newer, got ${process.versions.node}`);
  process.exit(1);
}

function run(command, args) {
  const { status } = spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' });
  if (status !== 0) {
    console.error(`setup: \`${command} ${args.join(' ')}\` failed`);
    process.exit(status ?? 1);
  }
}

const lock = readFileSync('package-lock.json', 'utf8');
const stamp = 'node_modules/.cbnn-lock';
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  writeFileSync(stamp, lock);
}
const packages = ['packages/runtime/tsconfig.node.json', 'packages/native', 'packages/cbnn'];
run(process.execPath, ['node_modules/typescript/bin/tsc', '-b', ...packages]);
run(process.execPath, ['scripts/build-native.mjs']);
