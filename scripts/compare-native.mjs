// The built native engine against the reference engine: golden vectors and random models, layer by layer; its engine of real sums
// and its training steps against the plain ones, and the weights that training ends with against hashes that every processor must
// give. For machines that have no test runner, such as an emulated one (test-emulated.mjs, test-avx512.mjs).
//   node ... scripts/compare-native.mjs [models, default 300] [instruction sets, by how their names begin, default all that this processor has]
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  NativeEngine,
  NativeTrainer,
  nativeKernels,
  nativeRefusal,
  RealEngine,
  RealTrainer,
  realTrainingKernels,
  runRealReference,
  trainingKernels,
} from '../packages/native/dist/index.js';
import {
  compareRealTraining,
  realTrainingCase,
  TRAINED_REAL_HASH,
  trainedRealHash,
} from '../packages/native/src/testing/compare-real-training.ts';
import {
  compareTraining,
  THREADS,
  TRAINED_HASH,
  trainedHash,
  trainingCase,
} from '../packages/native/src/testing/compare-training.ts';
import { realCase } from '../packages/native/src/testing/real-case.ts';
import { decodeModel, parseArchitecture, runReference } from '../packages/runtime/dist/index.js';
import { awkwardShapes } from '../packages/runtime/src/testing/awkward-shapes.ts';
import { extremeCase, extremes } from '../packages/runtime/src/testing/extreme-model.ts';
import { randomCase } from '../packages/runtime/src/testing/random-model.ts';

const [models = '300', only] = process.argv.slice(2);
const chosen = (names) => names.filter((name) => !only || name.startsWith(only));
const engineSets = chosen(nativeKernels());
const trainingSets = chosen(trainingKernels());
const realSets = chosen(realTrainingKernels());

assert.ok(Number.isInteger(Number(models)), `expected the number of models as an integer, got ${models}`);
assert.equal(nativeRefusal(), null);
for (const sets of [engineSets, trainingSets])
  assert.notEqual(sets.length, 0, `this processor has no ${only}`);
const golden = new URL('../test/golden/', import.meta.url);

/** Models and images: golden ones, random ones, awkward shapes, and sums as large as they can be. */
function* cases(count) {
  for (const file of readdirSync(golden).filter((name) => name.endsWith('.json'))) {
    const images = JSON.parse(readFileSync(new URL(file, golden), 'utf8')).cases.map((one) =>
      Uint8Array.from(one.pixels),
    );
    const model = decodeModel(readFileSync(new URL(file.replace('.json', '.safetensors'), golden)));
    yield { name: file, model, images };
  }
  for (let seed = 0; seed < count; seed++) yield { name: `seed ${seed}`, ...randomCase(seed) };
  for (const [layers, height, width] of awkwardShapes)
    yield {
      name: layers,
      ...randomCase(height, { layers: parseArchitecture(layers), input: { height, width } }),
    };
  for (const extreme of extremes) yield { name: `extremes ${extreme}`, ...extremeCase(...extreme) };
}

/** Both of what can be computed in two. */
const ways = [
  { convolutions: 'looked-up', firstLayer: 'tables' },
  { convolutions: 'counted', firstLayer: 'permutations' },
];

for (const kernels of engineSets) {
  let compared = 0;
  for (const { name, model, images } of cases(Number(models))) {
    const engines = ways.map((way) => NativeEngine.create(model, { kernels, ...way }));
    const scores = new Int32Array(model.classes.length);
    for (const image of images) {
      const expected = runReference(model, image);
      for (const engine of engines) {
        engine.run(image, scores);
        for (const [k, bits] of engine.hiddenBits().entries())
          assert.equal(
            Buffer.compare(bits, expected.trace[k].bits),
            0,
            `${kernels}, ${name}: bits of layer ${k + 1}`,
          );
        assert.deepEqual([...scores], [...expected.scores], `${kernels}, ${name}`);
      }
    }
    compared++;
  }
  console.log(
    `${process.arch}, ${kernels}: ${compared} models, every bit and score equals the reference engine's`,
  );
}

for (let seed = 0; seed < Number(models); seed++) {
  const { network, images } = realCase(seed);
  const scores = new Float32Array(network.shapes.at(-1).output.channels);
  for (const planes of images) {
    const expected = Float32Array.from(runRealReference(network, planes).scores);
    for (const kernels of engineSets) {
      RealEngine.create(network, { kernels }).run(planes, scores);
      assert.deepEqual(scores, expected, `${kernels}, real sums, seed ${seed}`);
    }
  }
}
console.log(`${process.arch}, ${engineSets.join(', ')}: real sums, every score equals the plain one`);

const variants = trainingSets.flatMap((kernels) =>
  ['looked-up', 'counted'].map((convolutions) => ({ kernels, convolutions, threads: 2 })),
);
const networks = Math.ceil(Number(models) / 5);
const create = (options) => NativeTrainer.create(options);
for (let seed = 0; seed < networks; seed++)
  await compareTraining(trainingCase(seed, 1 + (seed % 7)), variants, create);
await compareTraining(
  trainingCase(1, 5, '33C3-40C5S2-MP2-20FC-5FC', { height: 17, width: 22 }),
  variants,
  create,
);
console.log(
  `${process.arch}, training on ${trainingSets.join(', ')}: two steps of ${networks + 1} networks, every bit equals the plain step's`,
);

const createReal = (options) => RealTrainer.create(options);
if (realSets.length > 0) {
  const realVariants = realSets.map((kernels) => ({ kernels, threads: 2 }));
  for (let seed = 0; seed < networks; seed++)
    await compareRealTraining(realTrainingCase(seed, 1 + (seed % 7)), realVariants, createReal);
  console.log(
    `${process.arch}, training in bfloat16 on ${realSets.join(', ')}: a step of ${networks} networks, every bit equals the plain step's`,
  );
}

/** On a single processor, where threads that wait keep it from those that work, up to two. */
const counts = THREADS.filter((threads) => threads <= 2 || availableParallelism() > 1);
for (const threads of counts) {
  for (const kernels of trainingSets)
    assert.equal(
      await trainedHash({ kernels, threads }, create),
      TRAINED_HASH,
      `${kernels}, ${threads} threads`,
    );
  for (const kernels of realSets)
    assert.equal(
      await trainedRealHash({ kernels, threads }, createReal),
      TRAINED_REAL_HASH,
      `${kernels}, ${threads} threads, in bfloat16`,
    );
}
console.log(`${process.arch}: training ends with the weights it must, on ${counts.join(', ')} threads`);
