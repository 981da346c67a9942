// Compiles @cbnn/native for this machine, or, with `--target`, for another. Straight with the C compiler and the
// Node-API headers from npm: node-gyp would download those of the running Node. Where there is no compiler it says so and
// succeeds: everything runs without the addon, only slower.
//   node scripts/build-native.mjs [--target linux-arm64|win32-x64] [--debug]     CC chooses the compiler; --debug adds the sanitizers
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Compilers of other machines, as Debian names them. */
const CROSS = { 'linux-arm64': 'aarch64-linux-gnu-gcc', 'win32-x64': 'x86_64-w64-mingw32-gcc-posix' };

const here = `${process.platform}-${process.arch}`;
const { values } = parseArgs({ options: { target: { type: 'string' }, debug: { type: 'boolean' } } });
const target = values.target ?? here;
if (target !== here && !(target in CROSS)) {
  console.error(`build-native: expected --target as one of ${Object.keys(CROSS).join(', ')}, got ${target}`);
  process.exit(1);
}
const folder = fileURLToPath(new URL('../packages/native', import.meta.url));
const { include_dir: headers } = createRequire(join(folder, 'package.json'))('node-api-headers');

const cross = target !== here;
const [platform, arch] = target.split('-');
const compiler = process.env.CC ?? (cross ? CROSS[target] : 'cc');
const isWindows = platform === 'win32';
// The C library that it is linked with, as node-gyp-build asks for it.
const isMusl = platform === 'linux' && !cross && !process.report.getReport().header.glibcVersionRuntime;
const libc = platform === 'linux' ? (isMusl ? '.musl' : '.glibc') : '';
const output = join(folder, 'prebuilds', `${platform}-${arch}`, `node.napi${libc}.node`);

/** Instructions that a file may use, where its processor has them; the others get along with what every one has. */
const INSTRUCTIONS = {
  'kernels-avx512.c': [
    ...['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512vpopcntdq'],
    ...['-mbmi', '-mbmi2', '-mpopcnt', '-mprefer-vector-width=512'],
  ],
  'kernels-avx2.c': ['-mavx2', '-mbmi', '-mbmi2', '-mpopcnt'],
  'real/floats-avx512.c': [
    '-mavx512f',
    '-mavx512bw',
    '-mavx512dq',
    '-mavx512vl',
    '-mprefer-vector-width=512',
  ],
  'real/floats-avx2.c': ['-mavx2'],
  'train/dot-avx512.c': [
    ...['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512vnni'],
    ...['-mbmi', '-mbmi2', '-mprefer-vector-width=512'],
  ],
  'train/dot-avxvnni.c': ['-mavx2', '-mavxvnni', '-mbmi', '-mbmi2'],
  'train/dot-avx2.c': ['-mavx2', '-mbmi', '-mbmi2'],
  'train/dot-neon-sdot.c': ['-march=armv8.2-a+dotprod'],
  'train-real/dot-avx512.c': [
    ...['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512bf16'],
    ...['-mbmi', '-mbmi2', '-mprefer-vector-width=512'],
  ],
  'train-real/dot-avx2.c': ['-mavx2', '-mfma', '-mbmi', '-mbmi2'],
};

const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
if ((isWindows && !cross) || !['x64', 'arm64'].includes(arch) || version.status !== 0) {
  // One of an earlier version would not fit the rest.
  rmSync(output, { force: true });
  console.log(`@cbnn/native: no C compiler (${compiler}) here, so the engines are WebAssembly's`);
  process.exit(0);
}
// GCC shares loads between the steps of a loop and packs scalars into vectors, both of which take registers from the counts:
// 0.36 ms became 0.39 and 0.47 for the paper's network. Loops of plain products it should vectorize, which -O2 leaves out.
const gcc = [
  '-fno-predictive-commoning',
  '-fno-tree-slp-vectorize',
  '-ftree-vectorize',
  '-fvect-cost-model=dynamic',
];
// A compiler may be too old for some instructions: then it does without them, and not without the addon.
const OPTIONAL = { 'train/dot-avxvnni.c': 'NO_AVXVNNI', 'train-real/dot-avx512.c': 'NO_AVX512BF16' };
const left = Object.keys(OPTIONAL).filter((file) => {
  const probe = [...INSTRUCTIONS[file], '-E', '-x', 'c', '/dev/null'];
  return arch === 'x64' && spawnSync(compiler, probe).status !== 0;
});
const flags = [
  ...left.map((file) => `-D${OPTIONAL[file]}`),
  ...['-std=gnu11', '-O2', '-fPIC', '-fvisibility=hidden', '-pthread', '-Wall', '-Wextra', '-I', headers],
  // Floats are rounded after every operation, on every processor alike.
  ...['-ffp-contract=off', '-fno-math-errno', '-fno-trapping-math'],
  ...(version.stdout.includes('clang') ? ['-fno-slp-vectorize'] : gcc),
  // Stacks are aligned to 16 bytes there, and GCC takes vectors on them for aligned (its bug 54412): the assembler moves them unaligned.
  ...(isWindows ? ['-Wa,-muse-unaligned-vector-move'] : []),
  ...(values.debug ? ['-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'] : []),
];
const sources = join(folder, 'csrc');
const all = readdirSync(sources, { recursive: true }).sort();
const files = all.filter((file) => file.endsWith('.c') && !left.includes(file));
const hash = createHash('sha256')
  .update(version.stdout)
  .update(JSON.stringify([flags, INSTRUCTIONS]));
for (const file of all.filter((name) => /\.[ch]$/.test(name))) hash.update(readFileSync(join(sources, file)));
const stamp = `${output}.sha256`;
const digest = hash.digest('hex');
if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) process.exit(0);

rmSync(output, { force: true });
const objects = mkdtempSync(join(tmpdir(), 'cbnn-native-'));
const object = (file) => join(objects, `${file.replaceAll(/[\\/]/g, '-')}.o`);
try {
  const run = (args, tool = compiler) => {
    const { status, stderr, error } = spawnSync(tool, args, { encoding: 'utf8' });
    if (status === 0) {
      if (stderr) console.error(stderr);
      return;
    }
    throw new Error(`\`${tool} ${args.join(' ')}\` failed\n${stderr ?? error?.message}`);
  };
  for (const file of files) {
    const own = (INSTRUCTIONS[file] ?? []).filter(
      (flag) => (arch === 'arm64') === flag.startsWith('-march=armv8'),
    );
    run([...flags, ...own, '-c', join(sources, file), '-o', object(file)]);
  }
  const shared = platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  const libraries = ['-lm'];
  if (isWindows) {
    // What Node hands out, and the compiler's own libraries inside.
    const names = ['js_native_api', 'node_api'].flatMap((file) =>
      readFileSync(join(headers, '..', 'def', `${file}.def`), 'utf8')
        .split('\n')
        .slice(2),
    );
    const definition = join(objects, 'node.def');
    writeFileSync(definition, ['NAME NODE.EXE', 'EXPORTS', ...names].join('\n'));
    const library = join(objects, 'libnode.a');
    run(['-d', definition, '-l', library], CROSS[target].replace('gcc-posix', 'dlltool'));
    libraries.push(library, '-static', '-s');
  }
  const linked = join(objects, 'linked.node');
  const sanitizers = flags.filter((flag) => flag.startsWith('-fsanitize'));
  run([...shared, '-pthread', ...sanitizers, ...files.map(object), ...libraries, '-o', linked]);
  mkdirSync(join(output, '..'), { recursive: true });
  const temporary = `${output}.${process.pid}.tmp`;
  writeFileSync(temporary, readFileSync(linked), { mode: 0o755 });
  renameSync(temporary, output);
  writeFileSync(stamp, digest);
} catch (error) {
  // A compiler without its headers, or one too old for these instructions: everything else works without.
  console.error(`@cbnn/native: ${error.message}\n@cbnn/native is left out: the engines are WebAssembly's`);
  if (cross || values.debug || process.env.CBNN_TEST_NATIVE === '1') process.exitCode = 1;
} finally {
  rmSync(objects, { recursive: true });
}
