// A packed model in headless Chromium: time from load() to the first answer, milliseconds an image, images on workers; and the same
// architecture in float32 on TensorFlow.js (WebAssembly, one thread, random weights) in visits that take turns with its own.
//   node bench/browser.mjs model.safetensors [--workers 2] [--visits 5]         (run `npm run setup` first)
// Every visit is a new browser with an empty profile. Answers are checked against the reference engine.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { decodeModel, formatArchitecture, runReference, WasmEngine } from '../packages/runtime/dist/index.js';
import { chromium, servePages } from '../scripts/chromium.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { workers: { type: 'string', default: '2' }, visits: { type: 'string', default: '5' } },
});
const [path] = positionals;
if (!path || !chromium) {
  console.error(
    path ? 'browser: no Chromium here; CBNN_CHROMIUM says where it is' : 'browser: expected a model file',
  );
  process.exit(1);
}
const file = readFileSync(path);
const model = decodeModel(file);
const { height, width, channels } = model.input;
const size = height * width * channels;
const BATCH = 64;

const page = `<!doctype html><title>cbnn</title><script type="module">
const size = ${size};
const pixels = Uint8Array.from({ length: ${BATCH} * size }, (_, i) => (i * 7919) % 251);
const begun = performance.now();
const { load } = await import('/stdin.js');
const imported = performance.now();
const classifier = await load('/model', { threads: ${values.workers} });
const loaded = performance.now();
const first = await classifier.classify(pixels.subarray(0, size));
const answered = performance.now();
const single = [];
for (let i = 0; i < 300; i++) {
  const start = performance.now();
  await classifier.classify(pixels.subarray((i % ${BATCH}) * size, (i % ${BATCH} + 1) * size));
  single.push(performance.now() - start);
}
let found;
const batch = [];
for (let i = 0; i < 12; i++) {
  const start = performance.now();
  found = await classifier.classifyBatch(pixels);
  batch.push((performance.now() - start) / ${BATCH});
}
await fetch('/result', { method: 'POST', body: JSON.stringify({
  engine: classifier.engine, scores: [...first.scores], batchScores: found.flatMap(({ scores }) => [...scores]),
  imported: imported - begun, loaded: loaded - imported, first: answered - loaded, single, batch }) });
</script>`;
// Both bundled as an application would, and without what it does not use.
const bundle = async (contents, splitting) => {
  const { outputFiles } = await build({
    stdin: { resolveDir: fileURLToPath(new URL('..', import.meta.url)), contents },
    ...{ bundle: true, minify: true, format: 'esm', splitting, outdir: '/', write: false },
  });
  return outputFiles.map(({ path, contents }) => [path, contents]);
};
const scripts = new Map(await bundle("export { load } from '@cbnn/runtime';", true));
const [[, float]] = await bundle(
  `import * as tf from '@tensorflow/tfjs-core';
import { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { tfjsNetwork } from './packages/cbnn/dist/bench/tfjs-network.js';
export async function open(model) {
  setThreadsCount(1);
  setWasmPaths('/tfjs/');
  await tf.setBackend('wasm');
  return tfjsNetwork(tf, model, 1);
}`,
  false,
);
const dist = fileURLToPath(new URL('../packages/runtime/dist', import.meta.url));
const backend = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'));
const floatPage = `<!doctype html><title>float32</title><script type="module">
const model = ${JSON.stringify({ input: model.input, layers: model.layers })};
const begun = performance.now();
const { open } = await import('/float.js');
const imported = performance.now();
const network = await open(model);
const loaded = performance.now();
let first = null;
const single = [];
if (network) {
  await network.run();
  first = performance.now() - loaded;
  for (let i = 0; i < 40; i++) {
    const start = performance.now();
    await network.run();
    single.push(performance.now() - start);
  }
}
await fetch('/result', { method: 'POST', body: JSON.stringify({ imported: imported - begun, loaded: loaded - imported, first, single }) });
</script>`;
const pages = await servePages((asked) => {
  if (asked === '/page.html') return page;
  if (asked === '/float.html') return floatPage;
  if (asked === '/float.js') return float;
  const [, wasm] = /^\/tfjs\/([\w-]+\.wasm)$/.exec(asked) ?? [];
  if (wasm) return readFileSync(join(backend, wasm));
  if (asked === '/model') return file;
  if (scripts.has(asked)) return scripts.get(asked);
  // A worker's script, and what it imports.
  return !asked.includes('..') && existsSync(join(dist, asked)) ? readFileSync(join(dist, asked)) : null;
});
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
// The reference engine's answer to the first image; to all of the batch, the WebAssembly engine's here.
const all = Uint8Array.from({ length: BATCH * size }, (_, i) => (i * 7919) % 251);
const expected = runReference(model, all.subarray(0, size)).scores.join();
const expectedBatch = (await WasmEngine.create(model)).runAll(all, BATCH).join();
if (!expectedBatch.startsWith(`${expected},`)) throw new Error('WebAssembly differs from the reference');
const found = [];
const floats = [];
for (let i = 0; i < Number(values.visits); i++) {
  const one = JSON.parse(await pages.visit('/page.html'));
  if (one.scores.join() !== expected || one.batchScores.join() !== expectedBatch)
    throw new Error('the scores differ from the reference');
  found.push(one);
  floats.push(JSON.parse(await pages.visit('/float.html')));
}
pages.close();
const of = (pick, all = found) => median(all.map(pick)).toFixed(2);
console.log(
  `${cpus()[0].model}, headless Chromium; ${formatArchitecture(model.layers)}, ${(file.length / 1e3).toFixed(0)} KB`,
);
console.log(`engine ${found[0].engine}; medians of ${found.length} visits`);
console.log(
  `script ${of((one) => one.imported)} ms, load() ${of((one) => one.loaded)} ms, first answer after ${of((one) => one.first)} ms`,
);
console.log(
  `one image ${of((one) => median(one.single))} ms, in batches of ${BATCH} on ${values.workers} workers ${of((one) => median(one.batch.slice(2)))} ms`,
);
if (floats[0].first === null) console.log('TensorFlow.js runs no such network');
else
  console.log(
    `float32 on TensorFlow.js, ${(float.length / 1e3).toFixed(0)} KB of script: script ${of((one) => one.imported, floats)} ms, ready ${of((one) => one.loaded, floats)} ms, first answer after ${of((one) => one.first, floats)} ms; one image ${of((one) => median(one.single), floats)} ms`,
  );
