/** The commands are read back with the real command line: what it makes of them must be the configuration they came from. */
import { execFileSync } from 'node:child_process';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { addRunCommands } from '../cli/run-commands.js';
import { addTrainCommand } from '../cli/train-command.js';
import type { Dataset, ImageSet } from '../data/dataset.js';
import { splitValidation } from '../data/split.js';
import { sampleCompaction, sampleSensitivity } from '../report/testing/sample.js';
import type { RunConfig } from '../train/config.js';
import { buildConfig, type RunOptions } from '../train/options.js';
import { type MadeRun, reproductionCommands } from './reproduction-commands.js';

const blank = (count: number): ImageSet => ({
  count,
  height: 8,
  width: 8,
  channels: 3,
  pixels: new Uint8Array(count * 192),
  labels: Uint16Array.from({ length: count }, (_, n) => n % 3),
});
const dataset: Dataset = {
  name: 'blank',
  title: 'blank',
  classes: ['a', 'b', 'c'],
  train: blank(120),
  test: blank(3),
  split: 'last',
  validationShare: 0.2,
  augmentation: { mirror: true, shift: 2 },
};

function configOf(options: Omit<RunOptions, 'dataDir'>): RunConfig {
  const { seed = 1, validation } = options;
  const split = splitValidation(dataset, { seed, ...(validation !== undefined && { count: validation }) });
  return buildConfig({ dataDir: 'data', ...options }, dataset, split, 'cpu');
}

const commandsOf = (config: RunConfig, more: Partial<MadeRun> = {}) =>
  reproductionCommands({ path: 'runs/a', config, dataDir: '/data', validationImages: 5000, ...more });

/** The words that a shell makes of a command. */
const shellWords = (command: string): string[] =>
  execFileSync('sh', ['-c', `printf '%s\\0' ${command}`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1);

/** What the command line makes of a command. */
function parse(command: string) {
  const program = new Command();
  addTrainCommand(program);
  addRunCommands(program);
  const [cbnn, verb, ...words] = shellWords(command);
  const parser = program.commands.find((one) => one.name() === verb)!;
  const { operands, unknown } = parser.parseOptions(words);
  expect([cbnn, unknown]).toEqual(['cbnn', []]);
  return { operands, flags: parser.opts() };
}

describe('the training command', () => {
  test.each<[string, Omit<RunOptions, 'dataDir' | 'data'>]>([
    ['defaults', {}],
    ['a network of its own', { architecture: '4C3-MP2-3FC', convWidth: 2, seed: 0, epochs: 3, batch: 8 }],
    ['fewer images', { limit: 100, validation: 30, threads: 3 }],
    ['kept slices', { slices: '0:4-7,1:7,2:0', slicing: 'equal', firstLayer: 'binary' }],
    ['Gray code', { code: 'gray', slices: 'top5' }],
    ['plain binary', { code: 'binary' }],
    ['8-bit input', { input: '8-bit', firstLayer: 'binary' }],
    ['rates', { rate: 0.02, floatRate: 0.0005, stretch: 'on' }],
    ["the paper's recipe", { recipe: 'paper', stretch: 'on' }],
    ['full precision', { technique: 'float', floatRate: 0.1 }],
    ['full precision on slices', { technique: 'float', input: 'bit-slices', slices: 'top2' }],
  ])('gives the same configuration: %s', (_, options) => {
    const config = configOf({ data: 'signs', architecture: '4C3-MP2-3FC', ...options });
    const { operands, flags } = parse(commandsOf(config)[0]!);
    const { arch, out, ...rest } = flags as RunOptions & { arch: string; out: string };
    expect(configOf({ ...rest, data: operands[0]!, architecture: arch })).toEqual(config);
    expect(out).toBe('runs/a');
    // a trial must not choose again what has been chosen
    expect(rest.stretch).toBe(options.stretch ?? 'off');
  });

  test('leaves out what the defaults say', () => {
    expect(commandsOf(configOf({ data: 'signs', threads: 2, batch: 20 }))[0]).toBe(
      'cbnn train signs --out runs/a --arch 32C3-32C3-MP2-64C3-64C3-MP2-128C3-128C3-MP2-256FC-256FC-3FC --stretch off --batch 20 --device cpu --threads 2',
    );
  });

  test('names the folder of a downloaded data set only', () => {
    const train = (data: string) => commandsOf(configOf({ data }))[0]!;
    expect(train('cifar10')).toMatch(/^cbnn train cifar10 --data-dir \/data /);
    expect(train('signs')).not.toContain('--data-dir');
    expect(train('./cifar10')).not.toContain('--data-dir');
  });
});

describe('the commands', () => {
  const config = configOf({ data: 'signs' });

  test('are those of the parts that were made', () => {
    const verbs = (more: Partial<MadeRun>) => commandsOf(config, more).map((one) => one.split(' ')[1]);
    const [sensitivity, compaction] = [sampleSensitivity(), sampleCompaction()];
    expect(verbs({})).toEqual(['train', 'report']);
    expect(verbs({ sensitivity })).toEqual(['train', 'sensitivity', 'report']);
    expect(verbs({ sensitivity, compaction })).toEqual(['train', 'sensitivity', 'compact', 'report']);
  });

  test('ask the same questions', () => {
    const [, sensitivity, compact, report] = commandsOf(config, {
      sensitivity: { ...sampleSensitivity(), noiseSeeds: [1], images: 200 },
      compaction: {
        ...sampleCompaction(),
        maxDrop: 0.5,
        shrink: 'paper',
        acceptance: 'estimate',
        retraining: { epochs: 7, rateFactor: 0.5 },
      },
    });
    expect(parse(sensitivity!)).toEqual({ operands: ['runs/a'], flags: { seeds: 1, images: 200 } });
    expect(parse(compact!)).toEqual({
      operands: ['runs/a'],
      flags: { maxDrop: 0.5, shrink: 'paper', accept: 'estimate', tries: 6, epochs: 7, rateFactor: 0.5 },
    });
    expect(parse(report!)).toEqual({ operands: ['runs/a'], flags: {} });
  });

  test('survive a shell, whatever the names are', () => {
    const path = `it's my $HOME/"run" * 1; echo \\`;
    for (const command of commandsOf(config, { path, sensitivity: sampleSensitivity() }))
      expect(shellWords(command)).toContain(path);
  });
});
