// Long fuzzing of the model reader, of every engine against the reference, of the training step and of real sums against plain loops:
// `npm run test:fuzz`, a quarter of an hour. Where GCC is, the native package is built with the address and undefined-behaviour sanitizers for it, which end it at a bad access.
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const compiler = process.env.CC ?? 'cc';
const library = (name) =>
  spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout?.trim() ?? '';
const libraries = ['libasan.so', 'libubsan.so'].map(library);
const sanitize = process.platform === 'linux' && libraries.every((path) => path.includes('/'));
const build = (...flags) =>
  execFileSync(process.execPath, ['scripts/build-native.mjs', ...flags], { stdio: 'inherit' });
console.log(sanitize ? `native engine with sanitizers (${compiler})` : 'native engine without sanitizers');
const run = (files, env) =>
  spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...files], {
    env: { ...process.env, CBNN_FUZZ: '1', ...env },
    stdio: 'inherit',
  }).status ?? 1;
let status;
try {
  if (sanitize) build('--debug');
  status = run(
    [
      'packages/runtime/src/fuzz.test.ts',
      'packages/native/src/trainer.test.ts',
      'packages/native/src/real.test.ts',
      'packages/native/src/real-trainer.test.ts',
    ],
    sanitize && { LD_PRELOAD: libraries.join(' '), ASAN_OPTIONS: 'detect_leaks=0' },
  );
} finally {
  if (sanitize) build();
}
// Drivers are not ours to run under sanitizers. CBNN_TEST_WEBGPU=1 says that there is one.
if (process.env.CBNN_TEST_WEBGPU === '1') status ||= run(['packages/runtime/src/webgpu/engine.test.ts'], {});
process.exit(status);
