/** The runtime as others load it: in a browser as it is and bundled by Vite, and in Node by import and by require. */
import { execFile, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'packages', 'runtime', 'dist');
const golden = join(root, 'test', 'golden');
const models = readdirSync(golden)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -'.json'.length));
const chromium = [process.env['CBNN_CHROMIUM'], '/usr/bin/chromium', '/usr/bin/google-chrome'].find(
  (path) => path !== undefined && existsSync(path),
);

/** Kilobytes of what a page downloads: load() and all it uses, minified, gzipped. */
const MOST_KILOBYTES = 20;

/** Bundles what a page needs that only loads and classifies. */
async function bundle(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'cbnn-bundle-'));
  try {
    const input = join(folder, 'entry.js');
    writeFileSync(input, `export { load } from ${JSON.stringify(join(dist, 'index.js'))};`);
    const result = await build({
      configFile: false,
      logLevel: 'silent',
      root: folder,
      build: { write: false, rolldownOptions: { input, preserveEntrySignatures: 'strict' } },
    });
    const [first] = Array.isArray(result) ? result : [result];
    if (!first || !('output' in first)) throw new Error('Vite gave no output');
    return first.output[0].code;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs every golden model, and says which it ran and what differs. */
const page = (script: string) => `<!doctype html><title>cbnn</title>
<script type="module">
import { load } from '${script}';
const lines = [];
try {
  for (const name of ${JSON.stringify(models)}) {
    const classifier = await load('/golden/' + name + '.safetensors');
    const { cases } = await (await fetch('/golden/' + name + '.json')).json();
    for (const { pixels, scores } of cases) {
      const found = await classifier.classify(Uint8Array.from(pixels));
      if (found.scores.join() !== scores.join()) lines.push(name + ': ' + found.scores.join() + ' instead of ' + scores.join());
    }
    lines.push(name + ' on ' + classifier.engine);
  }
} catch (error) { lines.push(String(error)); }
await fetch('/result', { method: 'POST', body: lines.join('\\n') });
</script>`;

let server: Server | undefined;
let address: string;
let bundled: string;
/** Tells what a page has found. */
const answered = new EventEmitter();

describe.skipIf(!existsSync(dist))('the runtime', () => {
  beforeAll(async () => {
    bundled = await bundle();
    const types: Record<string, string> = {
      '.js': 'text/javascript',
      '.html': 'text/html',
      '.json': 'application/json',
    };
    const content = (path: string): string | Uint8Array | null => {
      if (path === '/plain.html') return page('/dist/index.js');
      if (path === '/bundled.html') return page('/bundle.js');
      if (path === '/bundle.js') return bundled;
      const [, folder, file] = /^\/(dist|golden)\/([\w./-]+)$/.exec(path) ?? [];
      const full =
        folder && file && !file.includes('..') ? join(folder === 'dist' ? dist : golden, file) : null;
      return full && existsSync(full) ? readFileSync(full) : null;
    };
    server = createServer((request, response) => {
      if (request.url === '/result') {
        text(request).then((body) => answered.emit('result', body));
        response.end();
        return;
      }
      const body = content(request.url ?? '');
      response.writeHead(body === null ? 404 : 200, {
        'content-type': types[extname(request.url ?? '')] ?? 'application/octet-stream',
      });
      response.end(body ?? '');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server?.close());

  it.skipIf(!chromium).each(['plain', 'bundled'])('gives the golden scores on a %s page', async (name) => {
    const profile = mkdtempSync(join(tmpdir(), 'cbnn-chromium-'));
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`];
    const browser = spawn(chromium!, [...flags, `${address}/${name}.html`], {
      stdio: 'ignore',
      // A group of its own, so that all of its processes can be ended.
      detached: true,
    });
    try {
      const [result] = (await once(answered, 'result', { signal: AbortSignal.timeout(30_000) })) as [string];
      expect(result.split('\n')).toEqual(models.map((model) => `${model} on wasm: WebAssembly with SIMD`));
    } finally {
      process.kill(-browser.pid!, 'SIGKILL');
      await once(browser, 'exit');
      rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
    }
  });

  it('is small, and mentions nothing of Node', () => {
    const kilobytes = gzipSync(bundled, { level: 9 }).length / 1000;
    console.log(`browser bundle: ${kilobytes.toFixed(1)} KB, minified and gzipped, engine included`);
    expect(kilobytes).toBeLessThan(MOST_KILOBYTES);
    expect(bundled).not.toMatch(/node:|require\(|process\.|\.node\b/);
  });

  it.each([
    ['import', '--input-type=module', "import { load } from '@cbnn/runtime';"],
    ['require', '--input-type=commonjs', "const { load } = require('@cbnn/runtime');"],
  ])('is there in Node by %s', async (_, type, first) => {
    const [name] = models;
    const script = `${first}
      const { readFileSync } = ${type.endsWith('module') ? "await import('node:fs')" : "require('node:fs')"};
      const { cases: [one] } = JSON.parse(readFileSync('test/golden/${name}.json', 'utf8'));
      load(readFileSync('test/golden/${name}.safetensors'))
        .then((classifier) => classifier.classify(Uint8Array.from(one.pixels)))
        .then(({ scores }) => console.log(scores.join() === one.scores.join()));`;
    const { stdout } = await promisify(execFile)(process.execPath, [type, '-e', script], { cwd: root });
    expect(stdout).toBe('true\n');
  });
});
