import { parseHTML } from 'linkedom';
import { describe, expect, test } from 'vitest';
import type { ReportData } from './data.js';
import { renderReport } from './html.js';
import { sampleConfusion, samplePicture, sampleReport } from './testing/sample.js';

const HOSTILE = `"><img src=x onerror=alert(1)></svg></style><script>alert('2')</script>&amp;\u0000`;
const empty: ReportData = { title: 'First run', dataset: 'CIFAR-10', created: 'today', caveats: [] };
const parse = (page: string) => parseHTML(page).document;
const idsOf = (page: string) => [...parse(page).querySelectorAll('section')].map((section) => section.id);

describe('a full report', () => {
  const page = renderReport(sampleReport());

  test('has all sections in order, and links to each', () => {
    const ids = 'summary training slices sensitivity compaction costs confusion mistakes reproduction'.split(
      ' ',
    );
    expect(idsOf(page)).toEqual(ids);
    expect([...parse(page).querySelectorAll('nav a')].map((link) => link.getAttribute('href'))).toEqual(
      ids.map((id) => `#${id}`),
    );
  });

  test('puts the key numbers first: after, before, ratio, drop with its interval, and the caveats', () => {
    const summary = parse(page).querySelector('#summary')!.textContent!.replaceAll('\u00a0', ' ');
    for (const text of [
      'Test accuracy85.69 %was 86.10 %: −0.41 points (95 % interval −0.81 to −0.02, 10,000 test images)',
      'Validation accuracy86.08 %was 86.58 %: −0.50 points (95 % interval −0.95 to −0.05, 5,000 validation images)',
      'was 1.79 MB: 3.97× smaller',
      'was 642 M: 4.00× fewer',
      '12 of 24',
      '60 epochs instead of the 500 of the paper; one training seed',
    ])
      expect(summary).toContain(text);
    expect(page.indexOf('id="summary"')).toBeLessThan(page.indexOf('<svg'));
  });

  test('has the paper figures, the tables behind them, and the chosen try', () => {
    const document = parse(page);
    expect(document.querySelectorAll('#sensitivity svg')).toHaveLength(4);
    expect(document.querySelectorAll('#sensitivity details tbody tr')).toHaveLength(64);
    expect(document.querySelectorAll('#compaction tbody tr')).toHaveLength(7);
    expect(document.querySelectorAll('#compaction tr.chosen')).toHaveLength(1);
    expect(document.querySelectorAll('#costs tbody tr')).toHaveLength(18);
    expect(document.querySelectorAll('#mistakes img')).toHaveLength(12);
    expect(document.querySelector('#reproduction pre')!.textContent).toContain(
      'cbnn compact runs/baseline --max-drop 1 --shrink separate --accept confident\n',
    );
  });

  test('names no address on any network and runs no script', () => {
    const text = page.replace(/data:image\/png;base64,[\w+/=]*/g, 'data:');
    expect(text.match(/https?:|\/\/[a-z]|<script|@import|<link|<iframe|\bon[a-z]+=/gi)).toBeNull();
    for (const match of page.matchAll(/(?:src|href)="([^"]*)"/g))
      expect(match[1]).toMatch(/^(#|data:image\/png;base64,)/);
    expect(page.includes(`default-src 'none'`)).toBe(true);
  });

  test('is well below what a mail can carry', () => {
    expect(page.length).toBeLessThan(1_000_000);
  });
});

describe('an empty report', () => {
  test('names every part that is missing, and its command', () => {
    const page = renderReport(empty);
    expect(idsOf(page)).toEqual(['missing']);
    const text = parse(page).querySelector('#missing')!.textContent!;
    for (const command of [
      'cbnn train',
      'cbnn sensitivity RUN',
      'cbnn compact RUN',
      'cbnn report RUN',
      'cbnn eval RUN',
    ])
      expect(text).toContain(command);
    expect(page.match(/undefined|NaN/)).toBeNull();
  });
});

describe('a partial report', () => {
  test('shows a single network without a comparison', () => {
    const { before } = sampleReport().networks!;
    const page = renderReport({ ...empty, networks: { before } });
    const text = parse(page).querySelector('#summary')!.textContent!;
    expect(text).toContain('86.58 %');
    expect(text).not.toMatch(/was |×/);
    expect(idsOf(page)).toEqual(['summary', 'missing']);
  });

  test('does not invent an interval where nothing was compared by image', () => {
    const { drop, ...rest } = sampleReport();
    const text = parse(renderReport(rest)).querySelector('#summary .number:nth-of-type(2)')!.textContent!;
    expect(drop).toBeDefined();
    expect(text).toContain('−0.50 points');
    expect(text).not.toContain('interval');
  });

  test('says that nothing was accepted', () => {
    const page = renderReport({ ...empty, compaction: { ...sampleReport().compaction!, chosen: null } });
    expect(page.includes('None was accepted.')).toBe(true);
  });

  test('says that the search was cut off, and nothing of the kind when it was not', () => {
    const compaction = sampleReport().compaction!;
    const page = (finished: boolean) => renderReport({ ...empty, compaction: { ...compaction, finished } });
    expect(page(false)).toContain('The search was cut off after 6 tries.');
    expect(page(true)).not.toContain('cut off');
  });

  test('states the rule of acceptance that was used', () => {
    const compaction = sampleReport().compaction!;
    const page = (acceptance: 'confident' | 'estimate') =>
      parse(renderReport({ ...empty, compaction: { ...compaction, acceptance } })).body.textContent!;
    const confident =
      'the one-sided 95 % upper limit of its drop (the upper end of a 90 % interval) is at most 1 point';
    expect(page('confident')).toContain(confident);
    expect(page('confident')).toMatch(/95 % sure at most.*\+0\.88chosen/s);
    expect(page('estimate')).toContain('its measured drop is at most 1 point, whatever its interval');
    expect(page('estimate')).not.toMatch(/one-sided|two-sided/);
  });

  test('gives a confusion of many classes a row of its own, at its own size', () => {
    const parts = (count: number) => {
      const classes = Array.from({ length: count }, (_, i) => `class ${i}`);
      const confusion = { classes, matrix: sampleConfusion(count), network: 'a', split: 'test' } as const;
      const section = parse(renderReport({ ...empty, confusion })).querySelector('#confusion')!;
      return [section.querySelector('.grid') !== null, section.querySelector('svg')!.getAttribute('class')];
    };
    expect(parts(20)).toEqual([true, 'natural']);
    expect(parts(43)).toEqual([false, 'fixed']);
  });

  test('shows sensitivity without an example picture', () => {
    const page = renderReport({ ...empty, sensitivity: sampleReport().sensitivity! });
    expect(parse(page).querySelectorAll('#sensitivity svg')).toHaveLength(3);
  });
});

test('hostile names stay text wherever they are printed', () => {
  const data = sampleReport();
  const classes = [HOSTILE, ...data.confusion!.classes.slice(1)];
  const page = renderReport({
    ...data,
    title: HOSTILE,
    dataset: HOSTILE,
    created: HOSTILE,
    caveats: [HOSTILE],
    networks: { before: { ...data.networks!.before, label: HOSTILE, architecture: HOSTILE } },
    training: [{ label: HOSTILE, metrics: data.training![0]!.metrics }],
    slices: { ...data.slices!, channelNames: [HOSTILE] },
    sensitivity: { ...data.sensitivity!, dataset: HOSTILE, channelNames: [HOSTILE, 'g', 'b'] },
    compaction: {
      ...data.compaction!,
      dataset: HOSTILE,
      tries: data.compaction!.tries.map((one) => ({ ...one, reason: HOSTILE, architecture: HOSTILE })),
    },
    costs: [{ label: HOSTILE, cost: data.costs![0]!.cost }],
    confusion: { classes, matrix: sampleConfusion(10), network: HOSTILE, split: 'test' },
    mistakes: [{ picture: samplePicture(), truth: HOSTILE, predicted: HOSTILE }],
    reproduction: {
      ...data.reproduction!,
      commands: [HOSTILE],
      device: HOSTILE,
      versions: { [HOSTILE]: HOSTILE },
    },
  });
  const document = parse(page);
  expect(document.querySelectorAll('script')).toHaveLength(0);
  expect([...document.querySelectorAll('img')].map((image) => image.hasAttribute('onerror'))).toEqual([
    false,
  ]);
  expect(document.querySelectorAll('style')).toHaveLength(1);
  expect(page.includes('\u0000')).toBe(false);
  expect(document.querySelector('h1')!.textContent).toBe(HOSTILE.replace('\u0000', '\uFFFD'));
  expect(document.querySelector('#mistakes b')!.textContent).toBe(HOSTILE.replace('\u0000', '\uFFFD'));
});
