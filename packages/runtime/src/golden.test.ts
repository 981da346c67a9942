import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeModel, encodeModel } from './model-file.js';
import { type GoldenFile, goldenCase, goldenModels } from './testing/golden.js';

const folder = new URL('../../../test/golden/', import.meta.url);
const at = (file: string) => new URL(file, folder);

const { CBNN_MAKE_GOLDEN } = process.env;
if (CBNN_MAKE_GOLDEN === '1')
  for (const [name, [about, { model, images }]] of Object.entries(goldenModels)) {
    const file: GoldenFile = { about, cases: images.map((pixels) => goldenCase(model, pixels)) };
    writeFileSync(at(`${name}.json`), `${JSON.stringify(file)}\n`);
    writeFileSync(at(`${name}.safetensors`), encodeModel(model));
  }

const names = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -'.json'.length));

it('there is a file for every golden model', () => {
  expect(names.sort()).toEqual(Object.keys(goldenModels).sort());
});

describe.each(names)('golden model %s', (name) => {
  const bytes = new Uint8Array(readFileSync(at(`${name}.safetensors`)));
  const golden: GoldenFile = JSON.parse(readFileSync(at(`${name}.json`), 'utf8'));
  const model = decodeModel(bytes);

  it('gives the same sums, bits and scores as ever', () => {
    expect(golden.cases.length).toBeGreaterThan(0);
    for (const expected of golden.cases)
      expect(goldenCase(model, Uint8Array.from(expected.pixels))).toEqual(expected);
  });

  it('is written with the same bytes as ever', () => {
    expect(Buffer.compare(encodeModel(model), bytes)).toBe(0);
  });
});
