// The packed runtime in Deno and in Bun, as somebody there would install it: `npm run test:runtimes`. Both come from npm.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { npmInstall } from './npm-install.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const golden = join(root, 'test', 'golden');
if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  console.error('test-runtimes: expected Linux on x64 or arm64, for which npm has both');
  process.exit(1);
}
const deno = `@deno/linux-${process.arch}-glibc`;
const bun = `@oven/bun-linux-${process.arch === 'x64' ? 'x64' : 'aarch64'}`;

/** Every golden model, in batches large enough for workers; prints the engines that ran, or what differs. */
const program = `
import { readFileSync, readdirSync } from 'node:fs';
import { load } from '@cbnn/runtime';
const folder = ${JSON.stringify(golden)};
const engines = new Set();
for (const name of readdirSync(folder).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5)))
  for (const engine of ['auto', 'wasm', 'reference']) {
    const { cases } = JSON.parse(readFileSync(folder + '/' + name + '.json', 'utf8'));
    const classifier = await load(readFileSync(folder + '/' + name + '.safetensors'), { engine, threads: 2 });
    const images = cases.map(({ pixels }) => Uint8Array.from(pixels));
    const many = engine === 'reference' ? images : Array.from({ length: 400 }, () => images).flat();
    for (const [n, { scores }] of (await classifier.classifyBatch(many)).entries())
      if (scores.join() !== cases[n % cases.length].scores.join()) throw new Error(name + ' differs on ' + engine);
    engines.add(classifier.engine);
    classifier.close();
  }
console.log([...engines].map((engine) => '  ' + engine).join('\\n'));
`;

const folder = mkdtempSync(join(tmpdir(), 'cbnn-runtimes-'));
try {
  for (const name of ['runtime', 'native'])
    execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], {
      cwd: join(root, 'packages', name),
      stdio: 'ignore',
    });
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  writeFileSync(join(folder, 'program.js'), program);
  const tarballs = readdirSync(folder).filter((file) => file.endsWith('.tgz'));
  npmInstall(folder, ...tarballs.map((file) => `./${file}`), deno, bun);
  for (const [name, binary, args] of [
    ['Deno', join('node_modules', deno, 'deno'), ['run', '-A', '--node-modules-dir=manual', 'program.js']],
    ['Bun', join('node_modules', bun, 'bin', 'bun'), ['run', 'program.js']],
  ]) {
    const version = execFileSync(join(folder, binary), ['--version'], { encoding: 'utf8' }).split('\n')[0];
    const output = execFileSync(join(folder, binary), args, {
      cwd: folder,
      encoding: 'utf8',
      timeout: 120_000,
    });
    console.log(`${name} ${version.replace(/^deno /, '')}: golden scores on\n${output.trimEnd()}`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
