// A packed model on the WebGPU engine, through npm's package webgpu: milliseconds an image by batch and by images of one submission,
// and what share that is of what xor, countOneBits and addition reach in registers, measured on the same adapter.
//   node bench/webgpu.mjs model.safetensors [--batches 1,32,256,1024] [--submissions 32,256,1024] [--seconds 1]
// (run `npm run setup` first)
// Answers are checked against the reference engine.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { create } from 'webgpu';
import { modelShapes } from '../packages/runtime/dist/bounds.js';
import { decodeModel, formatArchitecture, runReference } from '../packages/runtime/dist/index.js';
import { productsOf } from '../packages/runtime/dist/shapes.js';
import { WebGpuEngine } from '../packages/runtime/dist/webgpu/engine.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batches: { type: 'string', default: '1,32,256,1024' },
    submissions: { type: 'string', default: '32,256,1024' },
    seconds: { type: 'string', default: '1' },
  },
});
const [path] = positionals;
if (!path) {
  console.error('webgpu: expected a model file');
  process.exit(1);
}
const [batches, submissions] = [values.batches, values.submissions].map((list) =>
  list.split(',').map(Number),
);
const model = decodeModel(readFileSync(path));
const { height, width, channels } = model.input;
const size = height * width * channels;
const most = Math.max(...batches);
const pixels = Uint8Array.from({ length: most * size }, (_, i) => (i * 7919) % 251);
const expected = [0, most - 1].map(
  (n) => runReference(model, pixels.subarray(n * size, (n + 1) * size)).scores,
);
const macs = productsOf(modelShapes(model));
const gpu = create([]);
if (!(await gpu.requestAdapter())) {
  console.error('webgpu: no adapter here; a Vulkan driver is needed (VK_ICD_FILENAMES says which)');
  process.exit(1);
}

/** Milliseconds of `run`: the median of calls during `--seconds`. */
async function median(run) {
  await run();
  const times = [];
  const end = performance.now() + 1000 * Number(values.seconds);
  while (performance.now() < end || times.length < 3) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

const limit = await measureLimit();
for (const images of submissions) {
  const engine = await WebGpuEngine.create(model, gpu, { images });
  for (const batch of batches) {
    const some = pixels.subarray(0, batch * size);
    const classes = model.classes.length;
    const scores = await engine.run(some, batch);
    for (const n of [0, ...(batch === most ? [most - 1] : [])])
      if (expected[n && 1].some((score, c) => score !== scores[n * classes + c]))
        throw new Error(`wrong scores: batch ${batch}, submissions of ${images}`);
    for (const prepared of [false, true]) {
      const ms = (await median(() => engine.run(some, batch, { prepared }))) / batch;
      const gmacs = macs / ms / 1e6;
      const stretch = prepared ? 'stretched before' : 'stretch included';
      console.log(JSON.stringify({ images, batch, stretch, ms, gmacs, share: gmacs / limit }));
    }
  }
  console.log(
    JSON.stringify({ adapter: engine.adapter, limit, architecture: formatArchitecture(model.layers) }),
  );
  engine.close();
}
process.exit(0);

/** 10^9 products of +-1 a second with both operands in registers: eight independent chains, in many invocations. */
async function measureLimit() {
  const adapter = await gpu.requestAdapter();
  const device = await adapter.requestDevice();
  const [turns, chains, passes] = [256, 8, 8];
  const each = (line) => Array.from({ length: chains }, (_, i) => line(i)).join(' ');
  const code = `
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  ${each((i) => `var x${i} = id.x * ${2 * i + 3}u; var n${i} = 0u;`)}
  for (var t = 0u; t < ${turns}u; t++) { ${each((i) => `n${i} += countOneBits(x${i} ^ t); x${i} += n${i};`)} }
  out[id.x % 65536u] = ${Array.from({ length: chains }, (_, i) => `n${i}`).join(' + ')};
}`;
  const out = device.createBuffer({ size: 4 * 65536, usage: 0x80 | 0x04 });
  const read = device.createBuffer({ size: 4, usage: 0x01 | 0x08 });
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const bindings = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: out } }],
  });
  const run = async (groups, times) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindings);
    for (let i = 0; i < times; i++) pass.dispatchWorkgroups(groups);
    pass.end();
    encoder.copyBufferToBuffer(out, 0, read, 0, 4);
    device.queue.submit([encoder.finish()]);
    await read.mapAsync(1);
    read.unmap();
  };
  // As much work as takes the adapter some milliseconds; the difference of two lengths leaves out what a submission costs.
  for (let groups = 64; ; groups *= 2) {
    const few = await median(() => run(groups, 1));
    const ms = ((await median(() => run(groups, 1 + passes))) - few) / passes;
    if (ms < 2 && groups < 32768) continue;
    device.destroy();
    return (groups * 256 * turns * chains * 32) / ms / 1e6;
  }
}
