/** The built program as a user runs it, through the whole job on few images, and where it must refuse. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainPng } from '../data/testing/pictures.js';

const program = join(import.meta.dirname, '..', '..', 'bin', 'cbnn.js');
const folder = mkdtempSync(join(tmpdir(), 'cbnn-program-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  /** JSON lines of standard output */
  readonly lines: readonly Record<string, unknown>[];
  readonly stderr: string;
}

async function cbnn(...args: string[]): Promise<Outcome> {
  const lines = (text: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...args], {
      cwd: folder,
      maxBuffer: 2 ** 26,
    });
    return { code: 0, lines: lines(stdout), stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, lines: lines(stdout), stderr };
  }
}

const options =
  '--arch 6C3-MP2-8C3-MP2-16FC-12FC --epochs 2 --limit 700 --batch 50 --stretch off --threads 1';
const train = (...more: string[]) => cbnn('train', 'signs', ...options.split(' '), ...more);

describe.skipIf(!existsSync(join(import.meta.dirname, '..', '..', 'dist')))(
  'the program',
  { timeout: 180_000 },
  () => {
    beforeAll(async () => {
      const { code, lines } = await train('--out', 'run');
      expect(code).toBe(0);
      expect(lines.filter((line) => line['task'] === 'train').map((line) => line['epoch'])).toEqual([1, 2]);
      expect(lines.at(-1)).toMatchObject({ epochs: 2, run: 'run' });
    });

    it('evaluates, inspects and verifies a run and its model file', async () => {
      const test = (await cbnn('eval', 'run', '--split', 'test', '--threads', '1')).lines.at(-1)!;
      expect(test).toMatchObject({ split: 'test', images: 2000 });
      expect((test['matrix'] as number[]).reduce((sum, n) => sum + n)).toBe(2000);
      const threads = await cbnn('eval', 'run', '--split', 'test', '--threads', '3');
      expect(threads.lines.at(-1)!['matrix']).toEqual(test['matrix']);
      const file = (await cbnn('eval', 'run/model.safetensors')).lines.at(-1)!;
      expect(file['matrix']).toEqual(test['matrix']);
      const inspected = (await cbnn('inspect', 'run')).lines.at(-1) as { cost: { layers: unknown[] } };
      expect(inspected.cost.layers).toHaveLength(4);
      const verified = await cbnn('verify', 'run', '--split', 'test', '--images', '60', '--threads', '2');
      expect(verified.code).toBe(0);
      expect(verified.lines.at(-1)).toMatchObject({ images: 60, differentClasses: 0 });
    });

    it('runs a model in threads, on pixels of any kind of array, and leaves them as they are', async () => {
      // As built: a test runner would read the sources, which have no script for threads.
      const script = `
        import assert from 'node:assert/strict';
        import { readFileSync } from 'node:fs';
        import { decodeModel } from '@cbnn/runtime';
        import { openPackedWasm } from '${new URL('../../dist/engines/packed-wasm.js', import.meta.url).href}';
        const model = decodeModel(readFileSync('${join(folder, 'run', 'model.safetensors')}'));
        const size = 32 * 32 * 3;
        const pixels = Buffer.from(Array.from({ length: 200 * size }, (_, i) => (i * 37) % 251));
        const before = new Uint8Array(pixels);
        const scores = [];
        for (const threads of [1, 3]) {
          const engine = await openPackedWasm(model, threads);
          assert.match(engine.description, new RegExp(threads + ' thread'));
          // Two calls at once get their own answers.
          const [all, some] = await Promise.all([
            engine.scores(pixels, 200),
            engine.scores(pixels.subarray(0, 70 * size), 70),
          ]);
          assert.deepEqual(some, all.subarray(0, 70 * model.classes.length));
          scores.push(all);
          await engine.close();
        }
        assert.deepEqual(scores[0], scores[1]);
        assert.deepEqual(new Uint8Array(pixels), before);
        console.log('alike');`;
      const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
        cwd: import.meta.dirname,
      });
      expect(stdout).toBe('alike\n');
    });

    it('times a model beside float32, and draws it', async () => {
      const bench = (
        await cbnn('bench', 'run', '--rounds', '1', '--threads', '2', '--out', 'bench')
      ).lines.at(-1) as {
        times: { engine: string; median: number; ratio: number | null }[];
      };
      const names = bench.times.map(({ engine }) => engine.split(',')[0]);
      expect(names.filter((name) => name !== 'native').toSorted()).toEqual([
        ...new Array(6).fill('float32'),
        ...new Array(4).fill('int8'),
        'reference',
        ...new Array(3).fill('wasm'),
        // On a software adapter, where the run is told that there is one.
        ...new Array(process.env['CBNN_TEST_WEBGPU'] === '1' ? 2 : 0).fill('webgpu'),
      ]);
      for (const { median, ratio } of bench.times) expect(Math.min(median, ratio!)).toBeGreaterThan(0);
      expect(readFileSync(join(folder, 'bench', 'bench.svg'), 'utf8')).toContain('Time per image');
    });

    it('evaluates, inspects and reports a network that is not packed', async () => {
      const float = '--technique float --arch 4C3-MP2-12FC --epochs 1 --limit 300 --stretch off --threads 1';
      expect((await cbnn('train', 'signs', ...float.split(' '), '--out', 'float')).code).toBe(0);
      const { error, matrix } = (await cbnn('eval', 'float', '--split', 'test')).lines.at(-1)!;
      const right = Array.from({ length: 12 }, (_, i) => (matrix as number[])[13 * i]!);
      expect(error).toBeCloseTo(100 - right.reduce((sum, n) => sum + n) / 20, 6);
      const { cost } = (await cbnn('inspect', 'float')).lines.at(-1)!;
      // 4 * 3 * 9 + 4 * 16 * 16 * 12 weights, and three numbers of batch norm for each of 16 outputs
      expect(cost).toMatchObject({ bytes: 4 * (108 + 12_288) + 12 * 16, floatMacs: 4 * 27 * 1024 + 12_288 });
      expect((await cbnn('report', 'float')).code).toBe(0);
      const page = readFileSync(join(folder, 'float', 'report.html'), 'utf8');
      expect(page).toContain('Network’s file');
      expect(page).not.toContain('cbnn sensitivity');
    });

    it('reads pictures of another size for a run, and for its model file alone', async () => {
      for (const name of ['dark', 'light'])
        for (let i = 0; i < 20; i++) {
          mkdirSync(join(folder, 'pictures', name), { recursive: true });
          const value = name === 'dark' ? 3 * i : 255 - 3 * i;
          writeFileSync(join(folder, 'pictures', name, `${i}.png`), plainPng(value, value, 5 * i));
        }
      const few = '--size 12 --test-share 0.5 --arch 4C3-MP2-2FC --epochs 1 --stretch off --threads 1';
      expect((await cbnn('train', './pictures', ...few.split(' '), '--out', 'small')).code).toBe(0);
      const run = (await cbnn('eval', 'small', '--split', 'test')).lines.at(-1);
      expect(run).toMatchObject({ images: 20 });
      const file = ['eval', 'small/model.safetensors', '--data', './pictures', '--test-share', '0.5'];
      expect((await cbnn(...file)).lines.at(-1)).toMatchObject({ images: 20, matrix: run!['matrix'] });
      expect(await cbnn('eval', 'small', '--size', '12')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('a run knows its images'),
      });
    });

    it('analyses, compacts and reports', async () => {
      const sensitivity = (await cbnn('sensitivity', 'run', '--seeds', '1')).lines.at(-1) as {
        points: unknown[];
      };
      expect(sensitivity.points).toHaveLength(64);
      const args = [
        'compact',
        'run',
        '--max-drop',
        '100',
        '--accept',
        'estimate',
        '--tries',
        '2',
        '--epochs',
        '1',
      ];
      const compacted = (await cbnn(...args)).lines.at(-1)!;
      expect(compacted).toMatchObject({ finished: false, test: { images: 2000 } });
      expect(compacted['tries']).toHaveLength(2);
      expect((await cbnn('report', 'run')).code).toBe(0);
      const page = readFileSync(join(folder, 'run', 'report.html'), 'utf8');
      expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
      expect(existsSync(join(folder, 'run', 'figures', 'fig4-slices.png'))).toBe(true);
    });

    it('resumes by the same command, and refuses to continue as another run', async () => {
      expect((await train('--out', 'run', '--resume')).code).toBe(0);
      expect(
        (await cbnn('train', 'signs', '--out', 'run', '--resume', '--arch', '6C3-MP2-8C3-MP2-16FC-12FC'))
          .code,
      ).toBe(0);
      const again = await train('--out', 'run');
      expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('add --resume') });
      const longer = await cbnn(
        'train',
        'signs',
        ...options.replace('epochs 2', 'epochs 3').split(' '),
        '--out',
        'run',
        '--resume',
      );
      expect(longer).toMatchObject({ code: 1, stderr: expect.stringContaining('epochs: 2 and 3') });
    });

    it('trains a teacher first where it is named by its technique, and goes on from where it was', async () => {
      const few = [
        '--epochs',
        '1',
        '--teacher',
        'float',
        '--with',
        'recu',
        '--stretch',
        'auto',
        '--out',
        'taught',
      ];
      const begun = await train(...few);
      expect(begun).toMatchObject({ code: 0, stderr: expect.stringContaining('taught-teacher') });
      const config = (name: string) => JSON.parse(readFileSync(join(folder, name, 'config.json'), 'utf8'));
      expect(config('taught-teacher')).toMatchObject({ technique: 'float', epochs: 1 });
      expect(config('taught')).toMatchObject({
        ...{ technique: 'bnn', variations: ['recu'] },
        teacher: { run: join(realpathSync(folder), 'taught-teacher') },
      });
      expect(await train(...few)).toMatchObject({ code: 1, stderr: expect.stringContaining('add --resume') });
      rmSync(join(folder, 'taught'), { recursive: true });
      const again = await train(...few);
      expect(again.lines.at(-1)).toEqual(begun.lines.at(-1));
      const refused = await train('--teacher', 'float', '--recipe', 'paper', '--out', 'refused');
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('recipe paper') });
      expect(existsSync(join(folder, 'refused-teacher'))).toBe(false);
    });

    it.each([
      [['train', 'sings'], 'signs'],
      [['train', 'signs', '--technique', 'bbn'], 'Did you mean bnn'],
      [['train', 'signs', '--slices', '0:9'], 'expected bits of 0..7'],
      [['train', 'signs', '--code', 'grey'], 'Did you mean gray'],
      [['train', 'signs', '--input', '8-bit', '--code', 'gray'], 'code: the plain 8-bit input has none'],
      [['train', 'signs', '--technique', 'float', '--rate', '1'], 'use --float-rate'],
      [['train', 'signs', '--arch', '8C3-13FC'], 'expected an output layer of 12FC'],
      [['train', 'signs', '--size', '16'], 'signs has one size'],
      [['train', 'signs', '--roi', 'whole'], 'roi: signs has no regions of interest; this is for gtsrb'],
      [['data', 'show', 'signs', '--test-share', '0.5'], 'signs has a test set of its own'],
      [['eval', 'nothing-there'], 'expected a packed model file or the folder of a finished bnn run'],
      [['sensitivity', '.'], 'no config.json there'],
      [['compare', 'signs', '--techniques', 'bnn+4-bit'], 'only fixed-point has 4-bit, not bnn'],
      [['trian', 'signs'], 'train'],
    ])('refuses %j with a hint', async (args, hint) => {
      const { code, stderr } = await cbnn(...args, ...(args[0] === 'train' ? ['--out', 'refused'] : []));
      expect(code).toBe(1);
      expect(stderr).toContain(hint);
      expect(stderr).not.toContain('    at ');
      expect(existsSync(join(folder, 'refused'))).toBe(false);
    });

    it("runs the README's library example", async () => {
      const readme = readFileSync(join(import.meta.dirname, '..', '..', '..', '..', 'README.md'), 'utf8');
      const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block]) => block!);
      const example = blocks.find((block) => block.includes("from 'cbnn'"))!;
      // Its own words, on fewer images.
      const small = example
        .replace("'cbnn'", `'${new URL('../../dist/index.js', import.meta.url).href}'`)
        .replace(
          'epochs: 5',
          "epochs: 1, limit: 400, architecture: '6C3-MP2-8FC-12FC', stretch: 'off', threads: 1",
        )
        .replace('maxDrop: 1', 'maxDrop: 100');
      expect(small).not.toContain('epochs: 5');
      writeFileSync(join(folder, 'example.mjs'), small);
      const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], { cwd: folder });
      expect(stdout).toMatch(/report\.html \d /);
      expect(existsSync(join(folder, 'runs', 'signs', 'report.html'))).toBe(true);
    });

    it('ends without a word where nobody reads on', async () => {
      const child = spawn(process.execPath, [program, 'train', '--help'], { cwd: folder });
      child.stdout.destroy();
      const errors: Buffer[] = [];
      child.stderr.on('data', (part: Buffer) => errors.push(part));
      const [code] = await once(child, 'close');
      expect(Buffer.concat(errors).toString()).toBe('');
      expect(code).toBe(141);
    });

    it('gives a small demo', async () => {
      const { code, lines, stderr } = await cbnn('demo', '--epochs', '1', '--limit', '600', '--out', 'demo');
      expect([code, stderr]).toEqual([0, expect.stringContaining('5/5 the report')]);
      expect(lines.at(-1)).toMatchObject({ float: { macs: expect.any(Number) }, compaction: { maxDrop: 2 } });
      expect(existsSync(join(folder, 'demo', 'report.html'))).toBe(true);
    });

    it('refuses to make room for a demo among other files', async () => {
      mkdirSync(join(folder, 'precious'));
      writeFileSync(join(folder, 'precious', 'file'), 'x');
      writeFileSync(join(folder, 'precious', 'config.json'), '{"port": 80}');
      const { code, stderr } = await cbnn('demo', '--out', 'precious');
      expect([code, stderr]).toEqual([1, expect.stringContaining('expected a new folder')]);
      expect(existsSync(join(folder, 'precious', 'file'))).toBe(true);
    });

    // util-linux's script gives the program a terminal.
    const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux');
    it.skipIf(!hasScript)('ends on a terminal after an error in the middle of a bar', () => {
      mkdirSync(join(folder, 'broken', 'a'), { recursive: true });
      mkdirSync(join(folder, 'broken', 'b'));
      for (const name of ['a/1.png', 'a/2.png', 'b/1.png', 'b/2.png'])
        writeFileSync(join(folder, 'broken', name), 'not a picture');
      const { status, stdout } = spawnSync(
        'script',
        ['-qec', `${process.execPath} ${program} train broken`, '/dev/null'],
        { cwd: folder, encoding: 'utf8', timeout: 30_000 },
      );
      expect(status).toBe(1);
      expect(stdout).toContain('1.png');
      expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'));
    });
  },
);
