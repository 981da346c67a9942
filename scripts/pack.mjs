// Packs the published workspaces into `packed/`, each with README and LICENSE. `npm run pack`: a script of its own, because
// ignore-scripts (.npmrc) keeps npm from running `prepack`.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
// The native package carries what can be compiled here: for this machine, and for others that there is a compiler for.
for (const flags of [[], ['--target', 'linux-arm64'], ['--target', 'win32-x64']])
  execFileSync(process.execPath, [`${root}scripts/build-native.mjs`, ...flags], { stdio: 'inherit' });
mkdirSync(`${root}packed`, { recursive: true });
for (const name of ['runtime', 'native', 'cbnn']) {
  const folder = `${root}packages/${name}`;
  const copies = ['README.md', 'LICENSE'];
  for (const file of copies) copyFileSync(root + file, `${folder}/${file}`);
  try {
    execFileSync('npm', ['pack', '--pack-destination', `${root}packed`], {
      cwd: folder,
      stdio: 'inherit',
      shell: process.platform === 'win32',
    });
  } finally {
    for (const file of copies) rmSync(`${folder}/${file}`);
  }
}
