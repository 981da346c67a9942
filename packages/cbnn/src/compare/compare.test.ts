/** A comparison from the beginning to its page: stopped, resumed, refused. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { addCompareCommand } from '../cli/compare-command.js';
import { addTrainCommand } from '../cli/train-command.js';
import { finishedNetwork } from '../cost/finished-network.js';
import { smallImages } from '../data/testing/small-images.js';
import { nativePackage } from '../engines/packed-native.js';
import type { VariationName } from '../nn/plan.js';
import { processor } from '../processor.js';
import { reportComparison } from '../report/compare-report.js';
import { formatCount } from '../report/format.js';
import { precisionFigure } from '../report/precision-figure.js';
import type { RunOptions } from '../train/options.js';
import { prepareRun } from '../train/prepare.js';
import { loadRunImages } from '../train/run.js';
import { RunFolder, readJson } from '../train/run-folder.js';
import type { TrainingResult } from '../train/train.js';
import { compare, type SharedOptions } from './compare.js';
import { precisionOf } from './precision.js';
import type { CompareResult } from './result.js';
import type { Standing } from './standing.js';

const folder = mkdtempSync(join(tmpdir(), 'cbnn-compare-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const out = join(folder, 'small');
const PRUNED = 'pruned+one-shot+sparsity-50';
const hasNative = (await nativePackage()) !== null;

const shared: SharedOptions = {
  data: smallImages(folder),
  dataDir: folder,
  size: 8,
  architecture: '16C3-MP2-32C3-MP2-96FC-3FC',
  validation: 10,
  stretch: 'off',
  threads: 1,
};

/** What the command line makes of a command. */
function parsed(add: (program: Command) => void, command: string) {
  const program = new Command();
  add(program);
  const [, verb, ...words] = command.split(' ');
  const parser = program.commands.find((one) => one.name() === verb)!;
  const { operands, unknown } = parser.parseOptions(words);
  expect(unknown).toEqual([]);
  const { checkpointSeconds: _, ...flags } = parser.opts();
  return { operands, flags: flags as Record<string, unknown> };
}

describe('a comparison', () => {
  it('is stopped, goes on where it was, and has what each technique takes', async () => {
    const controller = new AbortController();
    const options = {
      contenders: ['bnn+compact', 'fixed-point', 'fixed-point+4-bit', 'ttq', PRUNED, 'bnn+approx-sign'],
      epochs: 2,
      signal: controller.signal,
    };
    const shown: Record<string, string>[] = [];
    /** `training 1/2 5.0`, of each that is not waiting for its first epoch */
    const onStanding = (standings: readonly Standing[]) => {
      const about = standings.map(({ name, state, epochs, validationError }) => [
        name,
        [
          state,
          epochs ? `${epochs.done}/${epochs.all}` : '-',
          validationError === null ? 'unknown' : 'known',
        ].join(' '),
      ]);
      shown.push(Object.fromEntries(about.filter(([, text]) => !/^waiting (0.2|-) unknown$/.test(text!))));
    };
    const stopped = compare(shared, out, {
      ...options,
      onStanding,
      onTraining: (name, { epoch }) => name === 'float' && epoch === 2 && controller.abort(),
    });
    await expect(stopped).rejects.toThrow();
    expect(existsSync(new RunFolder(join(out, 'bnn')).result)).toBe(true);
    expect(existsSync(join(out, 'compare.json'))).toBe(false);
    const done = 'done 2/2 known';
    expect(shown).toEqual([
      { bnn: 'training 0/2 unknown' },
      { bnn: done, 'bnn+compact': 'training 0/2 unknown' },
      { bnn: done, 'bnn+compact': done, float: 'training 0/2 unknown' },
    ]);

    await expect(compare(shared, out, options)).rejects.toThrow('already exists; add --resume');
    for (const [change, message] of [
      [{ epochs: 3 }, 'was begun with epochs 2, got 3'],
      [{ epochs: 2, budget: 60 }, 'leave --budget or --epochs out'],
      [{ budget: 60 }, 'was begun with epochs 2, got a budget of 60 s; leave the option out'],
      [
        { contenders: ['bnn'] },
        `was begun with techniques bnn,bnn+compact,float,fixed-point,fixed-point+4-bit,ttq,${PRUNED},bnn+approx-sign, got bnn`,
      ],
    ] as const)
      await expect(compare(shared, out, { ...change, resume: true })).rejects.toThrow(message);

    await expect(compare({ ...shared, width: 0.5 }, out, { resume: true })).rejects.toThrow(
      'holds a run of another configuration',
    );
    const trained: string[] = [];
    // What is left out is what it was begun with.
    const result = await compare({ data: shared.data, dataDir: folder }, out, {
      resume: true,
      turnSeconds: 0.02,
      onStanding,
      onTraining: (name) => trained.push(name),
    });
    // What was finished before is not shown as if it were trained again.
    expect(shown.slice(3, 5)).toEqual([
      { bnn: done, 'bnn+compact': done, float: 'training 1/2 known' },
      { bnn: done, 'bnn+compact': done, float: done, 'fixed-point': 'training - unknown' },
    ]);
    expect(shown).toHaveLength(3 + 7);
    expect(shown.at(-1)).toMatchObject({ 'fixed-point': 'done - known', 'bnn+approx-sign': done });
    // bnn was finished before.
    expect(new Set(trained)).toEqual(new Set(['float', 'ttq', PRUNED, 'bnn+approx-sign']));
    const { threads } = result;
    expect(result.stretchTried).toBe(false);
    expect(threads).toEqual({ training: 1, timing: Math.min(8, availableParallelism()) });
    expect(result.cpu).toBe(processor());
    expect(result.techniques.map(({ name, epochs }) => [name, epochs])).toEqual([
      ['bnn', 2],
      ['bnn+compact', 4],
      ['float', 2],
      ['fixed-point', 2],
      ['fixed-point+4-bit', 2],
      ['ttq', 4],
      [PRUNED, 4],
      ['bnn+approx-sign', 2],
    ]);
    for (const { run, bytes, test, times, technique } of result.techniques) {
      expect(bytes).toBe(finishedNetwork(join(out, run)).bytes);
      expect(test.low).toBeLessThanOrEqual(test.error);
      expect(test.high).toBeGreaterThanOrEqual(test.error);
      // On all threads, though it was trained on one.
      expect(times.map(({ batch, threads }) => [batch, threads])).toEqual([
        [1, 1],
        [32, 1],
        // The native engine has those of Node's pool at most.
        ...(threads.timing > 1
          ? [[32, ['bnn', 'pruned'].includes(technique) ? expect.any(Number) : threads.timing]]
          : []),
      ]);
      for (const { executor, fast, median, slow, others } of times) {
        const own = {
          bnn: /^(native|wasm|ONNX)/,
          'fixed-point': /^ONNX Runtime .*, (float32|int8)$/,
          pruned: /sparse|float32$/,
        };
        expect(executor).toMatch(own[technique as keyof typeof own] ?? /^ONNX Runtime .*, float32$/);
        const competes = technique === 'fixed-point' || (technique === 'pruned' && hasNative);
        expect(others.length).toBe(competes ? 1 : 0);
        for (const other of others) expect(other.median).toBeGreaterThanOrEqual(median);
        expect(fast).toBeGreaterThan(0);
        expect(fast).toBeLessThanOrEqual(median);
        expect(median).toBeLessThanOrEqual(slow);
      }
    }
    const [bnn, compact, float, fixed, narrow, ttq, pruned] = result.techniques;
    expect(compact!.bytes).toBeLessThan(bnn!.bytes);
    expect(compact!.run).toMatch(/^bnn.compact.try-/);
    expect(fixed).toMatchObject({ weightBits: 8, activationBits: 8 });
    expect(narrow).toMatchObject({
      weightBits: 4,
      activationBits: 4,
      title: expect.stringMatching(/; 4 bits$/),
    });
    expect(narrow!.bytes).toBeLessThan(fixed!.bytes);
    expect(pruned!.title).toMatch(/; 50 % of weights taken away; in one round$/);
    const { pruning } = new RunFolder(join(out, PRUNED)).readConfig();
    expect(pruning).toMatchObject({ target: 0.5, rounds: 1 });
    // What is counted dense is as much as that of the float network; what is left is what pruning left.
    expect([pruned!.macs, pruned!.weights]).toEqual([float!.macs, float!.weights]);
    const left = pruned!.nonzeroWeights / pruned!.weights;
    expect(left).toBeGreaterThan(0.45);
    expect(left).toBeLessThan(0.55);
    expect(float!.nonzeroWeights / float!.weights).toBeGreaterThan(0.99);
    expect(bnn!.nonzeroWeights).toBeGreaterThan(0.9 * bnn!.weights);
    expect(bnn!.nonzeroWeights).toBeLessThanOrEqual(bnn!.weights);
    expect(fixed!.bytes).toBeLessThan(float!.bytes / 3);
    expect(bnn!.bytes).toBeLessThan(ttq!.bytes);
    expect(ttq!.bytes).toBeLessThan(float!.bytes / 4);
    expect(JSON.parse(readFileSync(join(out, 'compare.json'), 'utf8'))).toEqual(result);

    const page = readFileSync(await reportComparison(result, out), 'utf8');
    for (const text of ['error-bytes', 'error-milliseconds', 'fig5-runtime'])
      expect(existsSync(join(out, 'figures', `${text}.png`))).toBe(true);
    const figure = readFileSync(join(out, 'figures', 'fig5-runtime.svg'), 'utf8');
    for (const { name, title, test, times } of result.techniques) {
      for (const one of times) expect(figure).toContain(`${name}, batch ${one.batch}, ${one.threads} thread`);
      for (const { executor, median } of times.flatMap(({ others }) => others))
        expect(page).toContain(`${executor}: ${median.toPrecision(3)}`);
      expect(page).toContain(title);
      expect(page).toContain(`<td>${name}</td>`);
      expect(page).toContain(`${test.error.toFixed(2)} %`);
    }
    expect(page).not.toMatch(/(src|href)="http/);
    // Who goes on from a trained network is marked, and nobody else.
    const pareto = readFileSync(join(out, 'figures', 'error-bytes.svg'), 'utf8');
    const marked = [...pareto.matchAll(/>([^<>]+) \(2x epochs\)</g)].map(([, name]) => name);
    expect(marked.sort()).toEqual(['bnn+compact', PRUNED, 'ttq']);
    expect(pareto).toContain('2 epochs (more where marked), seed 1');
    expect(page).toContain(`goes on: bnn+compact (4), ttq (4), ${PRUNED} (4); their errors`);
    expect(page).toContain(`>${formatCount(pruned!.nonzeroWeights)} (50 %)<`);
    expect(page).toContain('bits of a weight between first and last layer');
    expect(page).toContain('<td>ttq</td><td class="right">4</td>');
    expect(page).toContain('<td>fixed-point</td><td class="right">2</td>');
    expect(page).toContain('augmentation, contrast stretch off: 2 epochs');
    const tried = { ...result, stretch: true, stretchTried: true };
    expect(readFileSync(await reportComparison(tried, join(folder, 'tried')), 'utf8')).toContain(
      'contrast stretch on, chosen once, by two short trainings of bnn: 2 epochs',
    );
  }, 120_000);

  it('says by which commands each is obtained again', async () => {
    const { techniques, command } = JSON.parse(
      readFileSync(join(out, 'compare.json'), 'utf8'),
    ) as CompareResult;
    const all = parsed(addCompareCommand, command);
    expect(all.operands).toEqual([shared.data]);
    expect(all.flags).toEqual({
      ...{ out, techniques: techniques.map(({ name }) => name), epochs: 2, arch: shared.architecture },
      ...{ stretch: 'off', batch: 4, size: 8, validation: 10, threads: 1 },
    });
    for (const { name, run, commands, engine, rates } of techniques) {
      const folder = new RunFolder(join(out, run));
      const config = folder.readConfig();
      expect(engine).toBe((readJson(folder.result) as TrainingResult).engine);
      if (name === 'bnn+compact') {
        expect(commands.map((one) => one.split(' ').slice(0, 3))).toEqual(
          ['sensitivity', 'compact'].map((verb) => ['cbnn', verb, join(out, 'bnn')]),
        );
        expect(commands[1]).toMatch(/--accept estimate --tries \d --rate-factor 0.5$/);
        expect(rates).toEqual({ latent: 0.0015, real: 0.0025 });
        continue;
      }
      expect(commands).toHaveLength(1);
      const { operands, flags } = parsed(addTrainCommand, commands[0]!);
      expect(flags['out']).toBe(join(out, name));
      const {
        arch,
        with: variations,
        ...rest
      } = flags as Partial<RunOptions> & {
        readonly arch: string;
        readonly with?: VariationName[];
      };
      // The real thing: layers that are pruned are measured once more.
      const prepared = await prepareRun({
        ...{ ...rest, data: operands[0]!, dataDir: folder.path, architecture: arch },
        ...(variations && { variations }),
      });
      expect(prepared.config, name).toEqual(config);
      const { binary, float } = config.schedule.rates;
      if (/^fixed-point/.test(name)) expect(rates).toBeNull();
      else expect(rates).toEqual({ latent: /^bnn/.test(name) ? binary : null, real: float });
    }
    const page = readFileSync(join(out, 'report.html'), 'utf8');
    expect(page).toContain(`<pre>${command}</pre>`);
    for (const { name, commands } of techniques)
      expect(page).toContain([`# ${name}`, ...commands].join('\n'));
  }, 30_000);

  it('rounds its float network to fewer and fewer bits', async () => {
    const path = join(out, 'float');
    const images = await loadRunImages(path);
    const found = await precisionOf(path, images, { widths: [2, 8, 16] });
    expect(found.points.map(({ narrowed: kind, bits }) => `${kind} ${bits}`)).toEqual(
      ['both', 'weights', 'activations'].flatMap((kind) => [2, 8, 16].map((bits) => `${kind} ${bits}`)),
    );
    const at = (bits: number) => found.points.find((p) => p.narrowed === 'both' && p.bits === bits)!;
    expect(Math.abs(at(16).error.error - found.float.error)).toBeLessThan(5);
    expect(precisionFigure(found)).toContain('Error against bits');
    await expect(precisionOf(path, images, { widths: [1] })).rejects.toThrow('expected 2 to 16, got 1');
    await expect(precisionOf(join(out, 'bnn'), images)).rejects.toThrow(
      'expected a run of technique float, got bnn',
    );
  });

  it('goes on with runs of before the rates of their recipe changed', { timeout: 60_000 }, async () => {
    const file = new RunFolder(join(out, 'ttq')).config;
    const text = readFileSync(file, 'utf8');
    const stored = JSON.parse(text) as { schedule: { rates: { float: number } } };
    const before = stored.schedule.rates.float;
    stored.schedule.rates.float = before / 2;
    writeFileSync(file, JSON.stringify(stored));
    const trained: string[] = [];
    const result = await compare({ data: shared.data, dataDir: folder }, out, {
      resume: true,
      turnSeconds: 0.01,
      onTraining: (name) => trained.push(name),
    });
    expect(trained).toEqual([]);
    expect(result.techniques.find(({ name }) => name === 'ttq')!.rates!.real).toBe(before / 2);
    writeFileSync(file, text);
  });

  it('fits its epochs into the budget, or says what it needs', async () => {
    const notes: string[] = [];
    const begun = join(folder, 'budget');
    const controller = new AbortController();
    const running = compare({ ...shared, stretch: 'auto' }, begun, {
      contenders: ['bnn', 'float'],
      budget: 60,
      signal: controller.signal,
      onNote: (note) => notes.push(note),
      onTraining: () => controller.abort(),
    });
    await expect(running).rejects.toThrow();
    const { epochs, stretchTried } = JSON.parse(readFileSync(join(begun, 'begun.json'), 'utf8'));
    expect(stretchTried).toBe(true);
    expect(epochs).toBeGreaterThan(1);
    expect(notes.join('\n')).toContain(`${epochs} epochs each`);
    const resumed = (more: { budget?: number }) =>
      compare({ data: shared.data, dataDir: folder }, begun, {
        ...{ ...more, resume: true, signal: AbortSignal.abort() },
      });
    await expect(resumed({ budget: 7200 })).rejects.toThrow(
      `was begun with a budget of 60 s, which made ${epochs} epochs, got a budget of 7200 s`,
    );
    // The same command again goes on.
    for (const more of [{}, { budget: 60 }]) await expect(resumed(more)).rejects.toThrow('aborted');
    await expect(
      compare(shared, join(folder, 'hurried'), { contenders: ['bnn', 'float'], budget: 0.001 }),
    ).rejects.toThrow(/an epoch of all of them takes \d+ s here; expected at least \d+ s/);
    expect(existsSync(join(folder, 'hurried', 'begun.json'))).toBe(false);
  }, 60_000);
});
