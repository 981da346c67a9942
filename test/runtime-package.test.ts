/** The runtime as others install it: its tarball on a plain page, bundled by Vite and by esbuild, and in Node. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { parseArchitecture } from '@cbnn/runtime';
import { build as esbuild } from 'esbuild';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromium, type Pages, servePages } from '../scripts/chromium.mjs';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
const isBuilt = existsSync(join(root, 'packages', 'runtime', 'dist', 'node'));
const golden = join(root, 'test', 'golden');
const models = readdirSync(golden)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -'.json'.length));

/** Kilobytes of what a page downloads: load() and all it uses, minified, gzipped. */
const MOST_KILOBYTES = 20;

/** A project that has installed the packed packages, with what its bundlers made. */
const project = mkdtempSync(join(tmpdir(), 'cbnn-package-'));
const bundles = new Map<string, string | Uint8Array>();
let pages: Pages;
let pageScript = '';

/** Runs every golden model, single images and a batch on workers, and says which it ran and what differs. */
const page = (script: string, engine = 'auto', isModule = true) => `<!doctype html><title>cbnn</title>
${isModule ? '' : `<script src="${script}"></script>`}
<script type="module">
${isModule ? `import { load } from '${script}'` : 'const { load } = cbnn'};
const lines = [];
// A clock on which every image takes a second: a batch is always worth workers, whatever the machine.
let seconds = 0;
performance.now = () => 1000 * seconds++;
try {
  for (const name of ${JSON.stringify(models)}) {
    const classifier = await load('/golden/' + name + '.safetensors', { engine: '${engine}', threads: 2 });
    const { cases } = await (await fetch('/golden/' + name + '.json')).json();
    const images = cases.map(({ pixels }) => Uint8Array.from(pixels));
    const batch = await classifier.classifyBatch(Array.from({ length: 400 }, () => images).flat());
    for (const [n, { scores }] of cases.entries()) {
      const found = await classifier.classify(images[n]);
      for (const one of [found, ...batch.filter((_, i) => i % cases.length === n)])
        if (one.scores.join() !== scores.join()) lines.push(name + ': ' + one.scores.join() + ' instead of ' + scores.join());
    }
    classifier.close();
    lines.push(name + ' on ' + classifier.engine);
  }
} catch (error) { lines.push(String(error)); }
if (crossOriginIsolated) lines.push('isolated');
await fetch('/result', { method: 'POST', body: lines.join('\\n') });
</script>`;

/** A bundle in a single file, for a page without modules: what it exports is in `cbnn`. */
async function oneFile(contents: string): Promise<string> {
  const { outputFiles } = await esbuild({
    stdin: { contents, resolveDir: project },
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'cbnn',
    write: false,
    // It says that workers cannot be found from there.
    logLevel: 'error',
  });
  return outputFiles[0]!.text;
}

describe.skipIf(!isBuilt)('the packed runtime', () => {
  beforeAll(async () => {
    const pack = async (name: string): Promise<string> => {
      const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], {
        cwd: join(root, 'packages', name),
      });
      return join(project, (JSON.parse(stdout) as [{ filename: string }])[0].filename);
    };
    const tarballs = [await pack('runtime'), await pack('native')];
    writeFileSync(join(project, 'package.json'), '{ "private": true }');
    await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...tarballs], {
      cwd: project,
    });

    const input = join(project, 'entry.js');
    writeFileSync(input, "export { load } from '@cbnn/runtime';");
    const result = await build({
      configFile: false,
      logLevel: 'silent',
      root: project,
      base: '/vite/',
      build: { write: false, rolldownOptions: { input, preserveEntrySignatures: 'strict' } },
    });
    const [first] = Array.isArray(result) ? result : [result];
    if (!first || !('output' in first)) throw new Error('Vite gave no output');
    for (const file of first.output) {
      bundles.set(`/vite/${file.fileName}`, file.type === 'chunk' ? file.code : file.source);
      if (file.type === 'chunk' && file.isEntry) pageScript = `/vite/${file.fileName}`;
    }
    const { outputFiles } = await esbuild({
      entryPoints: [input],
      bundle: true,
      minify: true,
      format: 'esm',
      splitting: true,
      outdir: '/esbuild',
      write: false,
    });
    for (const { path, contents } of outputFiles) bundles.set(path, contents);
    bundles.set('/script.js', await oneFile("export { load } from '@cbnn/runtime';"));
    pages = await servePages((path) => {
      if (path === '/plain.html') return page('/dist/index.js');
      if (path === '/vite.html') return page(pageScript);
      if (path === '/esbuild.html') return page('/esbuild/entry.js');
      if (path === '/script.html') return page('/script.js', 'auto', false);
      if (path === '/webgpu.html') return page('/dist/index.js', 'webgpu');
      const [, folder, file] = /^\/(dist|golden)\/([\w./-]+)$/.exec(path) ?? [];
      if (!folder || !file || file.includes('..')) return bundles.get(path) ?? null;
      const full = join(folder === 'dist' ? join(project, 'node_modules/@cbnn/runtime/dist') : golden, file);
      return existsSync(full) ? readFileSync(full) : null;
    });
  }, 120_000);
  afterAll(() => {
    pages?.close();
    rmSync(project, { recursive: true, force: true });
  });

  // A script for workers is a file of its own: esbuild does not take it along, and the batch runs without.
  it.skipIf(!chromium).each([
    ['plain', ', batches on 2 workers'],
    ['vite', ', batches on 2 workers'],
    ['esbuild', '; batches here, as workers fail: its worker cannot be started'],
    ['script', "; batches here, as workers fail: Failed to construct 'URL': Invalid URL"],
  ])('gives the golden scores on a page, %s%s', async (name, batches) => {
    const lines = (await pages.visit(`/${name}.html`)).split('\n');
    const engine = `wasm: WebAssembly with SIMD; the native engine runs in Node${batches}`;
    expect(lines).toEqual(models.map((model) => `${model} on ${engine}`));
  });

  it.skipIf(!chromium)('gives them in shared memory where the page is cross-origin isolated', async () => {
    const lines = (await pages.visit('/plain.html', { isolated: true })).split('\n');
    const engine = 'wasm: WebAssembly with SIMD; the native engine runs in Node, batches on 2 workers';
    expect(lines).toEqual([...models.map((model) => `${model} on ${engine}`), 'isolated']);
  });

  it.skipIf(!chromium)(
    'gives the golden scores on WebGPU, on a software adapter',
    { timeout: 120_000 },
    async () => {
      const flags = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
      const lines = (await pages.visit('/webgpu.html', { flags, milliseconds: 110_000 })).split('\n');
      expect(lines).toEqual(models.map((model) => expect.stringMatching(`^${model} on webgpu: `)));
    },
  );

  it('is small, and mentions nothing of Node', () => {
    // What a page loads at once: bundlers put what their parts share into files of their own.
    const atOnce = (script: string, seen = new Set<string>()): string => {
      if (seen.has(script)) return '';
      seen.add(script);
      const content = bundles.get(script)!;
      const code = typeof content === 'string' ? content : new TextDecoder().decode(content);
      const shared = [...code.matchAll(/(?:from|import) ?"(\.\/[\w.-]+\.js)"/g)];
      const files = shared.map(([, file]) => new URL(file!, `http://page${script}`).pathname);
      return [code, ...files.map((file) => atOnce(file, seen))].join('\n');
    };
    for (const script of [pageScript, '/esbuild/entry.js']) {
      const text = atOnce(script);
      const kilobytes = gzipSync(text, { level: 9 }).length / 1000;
      console.log(
        `browser bundle ${script}: ${kilobytes.toFixed(1)} KB, minified and gzipped, engine included`,
      );
      expect(kilobytes).toBeLessThan(MOST_KILOBYTES);
      expect(text).toContain('WebAssembly');
      expect(text).not.toMatch(/node:|require\(|process\.|\.node\b|worker_threads/);
    }
  });

  // What is loaded when it is needed, esbuild wraps there, and forgets to start where it is not.
  it.each([
    ['kernelShapes', [{ height: 8, width: 8, channels: 3 }, parseArchitecture('8C3-MP2-5FC')]],
    ['parseArchitecture', ['8C3-MP2-5FC']],
    ['decodeModel', [readFileSync(join(golden, `${models[0]}.safetensors`))]],
  ] as const)('has %s alone in a bundle of one file', async (name, given) => {
    const cbnn = runInNewContext(`${await oneFile(`export { ${name} } from '@cbnn/runtime';`)}; cbnn`, {
      ...{ Uint8Array, Int8Array, Int32Array, DataView, TextDecoder, TextEncoder },
    });
    const expected = (await import('@cbnn/runtime'))[name] as (...values: unknown[]) => unknown;
    expect(JSON.stringify(cbnn[name](...given))).toBe(JSON.stringify(expected(...given)));
  });

  it.each([
    ['import', '--input-type=module', "import { load } from '@cbnn/runtime';"],
    ['require', '--input-type=commonjs', "const { load } = require('@cbnn/runtime');"],
  ])(
    'is there in Node by %s, on the native engine where it is there, and on workers',
    async (_, type, first) => {
      const script = `${first}
      const { readFileSync } = ${type.endsWith('module') ? "await import('node:fs')" : "require('node:fs')"};
      (async () => {
        for (const name of ${JSON.stringify(models)}) {
          const { cases } = JSON.parse(readFileSync('${golden}/' + name + '.json', 'utf8'));
          const expected = cases.map(({ scores }) => scores.join()).join();
          for (const engine of ['auto', 'wasm']) {
            const classifier = await load(readFileSync('${golden}/' + name + '.safetensors'), { engine, threads: 2 });
            const images = cases.map(({ pixels }) => Uint8Array.from(pixels));
            const found = await classifier.classifyBatch(Array.from({ length: 400 }, () => images).flat());
            if (found.map(({ scores }) => scores.join()).join() !== Array(400).fill(expected).join()) console.log(name + ' differs on ' + engine);
            console.log(classifier.engine);
          }
        }
      })();`;
      const { stdout } = await run(process.execPath, [type, '-e', script], { cwd: project });
      const native = readdirSync(join(project, 'node_modules/@cbnn/native')).includes('prebuilds');
      const lines = new Set(stdout.trim().split('\n'));
      expect([...lines].sort()).toEqual([
        native
          ? expect.stringMatching(/^native: \w+, the fastest that this processor has; batches on 2 threads$/)
          : expect.stringMatching(/^wasm: .*; @cbnn\/native has nothing that runs on/),
        'wasm: WebAssembly with SIMD, batches on 2 workers',
      ]);
    },
  );

  it('runs on WebAssembly where the native package is missing, or has nothing for this machine', async () => {
    const script = `import { load } from '@cbnn/runtime';
      import { readFileSync } from 'node:fs';
      const { engine } = await load(readFileSync('${golden}/${models[0]}.safetensors'));
      console.log(engine);`;
    const engineNow = async (): Promise<string> =>
      (await run(process.execPath, ['--input-type=module', '-e', script], { cwd: project })).stdout.trim();
    const native = join(project, 'node_modules/@cbnn/native');
    rmSync(join(native, 'prebuilds'), { recursive: true, force: true });
    expect(await engineNow()).toMatch(/^wasm: .*; @cbnn\/native has nothing that runs on/);
    rmSync(native, { recursive: true });
    expect(await engineNow()).toBe('wasm: WebAssembly with SIMD; @cbnn/native is not installed');
  });
});
