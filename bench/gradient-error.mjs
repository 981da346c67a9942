/**
 * What the native step's 8 bits, or its bfloat16, cost a trained network's gradients: |native - float32| / |float32| in per cent, weights of each layer, on
 * training images at the run's checkpoint. The float32 gradients are the ONNX graph's.
 *
 *     node bench/gradient-error.mjs runs/my-run [--batches 4] [--data-dir data]
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { preparedSet } from '../packages/cbnn/dist/data/prepared-set.js';
import { loadDataset } from '../packages/cbnn/dist/data/registry.js';
import { openDevice } from '../packages/cbnn/dist/graph/session.js';
import { techniques } from '../packages/cbnn/dist/techniques/index.js';
import { TrainingBatches } from '../packages/cbnn/dist/train/batches.js';
import { parseConfig, planOf } from '../packages/cbnn/dist/train/config.js';
import { createNativeTrainer } from '../packages/cbnn/dist/train/native-trainer.js';
import { createOnnxTrainer } from '../packages/cbnn/dist/train/onnx-trainer.js';
import { createRealTrainer } from '../packages/cbnn/dist/train/real-trainer.js';
import { readCheckpoint } from '../packages/cbnn/dist/train/run-folder.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { batches: { type: 'string', default: '4' }, 'data-dir': { type: 'string' } },
});
const [run] = positionals;
const config = parseConfig(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')), 'config.json');
const plan = planOf(config);
const dataset = await loadDataset(config.dataset.source, { dataDir: values['data-dir'], limit: 2000 });
const source = new TrainingBatches(
  preparedSet(dataset.train, config.input),
  config.batch,
  config.augmentation,
  5,
);
const batches = Array.from({ length: Number(values.batches) }, (_, i) => source.get(0, i));

/** Weights stay as they are; estimators that change with training are at its end. */
const rates = { binary: 0, float: 0, progress: 1 };

/** The run's weights, and Adam's moments at 0: after one step they are the gradient. */
const start = new Map(
  [...readCheckpoint(join(run, 'checkpoint.safetensors')).state]
    .filter(([name]) => !name.startsWith('native.'))
    .map(([name, { shape, data }]) => [
      name,
      { shape, data: name.startsWith('adam.') ? new Float32Array(data.length) : data },
    ]),
);

async function gradients(trainer) {
  const found = [];
  for (const [i, batch] of batches.entries()) {
    // The first of two equal steps measures the native step's units, as they are in the middle of a run.
    trainer.restore(start);
    await trainer.step(batch, rates, 2 * i + 1);
    const units = [...trainer.state()].filter(([name]) => name.startsWith('native.'));
    trainer.restore(
      new Map([...start, ...units.map(([name, { shape, data }]) => [name, { shape, data: data.slice() }])]),
    );
    await trainer.step(batch, rates, 2 * i + 2);
    found.push(
      [...trainer.state()]
        .filter(([name]) => name.startsWith('adam.m.') && name.endsWith('weights'))
        .map(([, { data }]) => data.slice()),
    );
  }
  return found;
}

const options = { batch: config.batch, seed: 1, threads: 2 };
const expected = await gradients(await createOnnxTrainer(plan, await openDevice('cpu', 2), options));
const inIntegers = techniques[plan.technique].nativeStep === 'integers';
const native = await gradients(await (inIntegers ? createNativeTrainer : createRealTrainer)(plan, options));
const errors = expected[0].map((_, layer) => {
  let error = 0;
  let size = 0;
  for (const [b, layers] of expected.entries())
    for (const [i, value] of layers[layer].entries()) {
      error += (native[b][layer][i] - value) ** 2;
      size += value ** 2;
    }
  return 100 * Math.sqrt(error / size);
});
console.log(
  `${run}: error of weight gradients in per cent, layer by layer, ${batches.length} batches of ${config.batch}`,
);
console.log(errors.map((error) => error.toFixed(1)).join('  '));
