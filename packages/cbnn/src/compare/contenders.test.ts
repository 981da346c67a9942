import { describe, expect, it } from 'vitest';
import { techniqueNames } from '../nn/plan.js';
import { contenderOf, contendersOf, gridContenders, usualContenders } from './contenders.js';

describe('contenders', () => {
  it('are techniques with settings', () => {
    expect(contenderOf('ternary')).toEqual({ name: 'ternary', technique: 'ternary', options: {} });
    expect(contenderOf('bnn+8-bit+binary-first').options).toEqual({ input: '8-bit', firstLayer: 'binary' });
    expect(contenderOf('bnn+thermometer').options).toEqual({ code: 'thermometer' });
    expect(contenderOf('bnn+top4+equal+recu+approx-sign').options).toEqual({
      slices: 'top4',
      slicing: 'equal',
      variations: ['recu', 'approx-sign'],
    });
  });

  it('have numbers, of techniques that take them', () => {
    expect(contenderOf('fixed-point+4-bit')).toMatchObject({
      from: 'float',
      options: { weightBits: 4, activationBits: 4 },
    });
    expect(contenderOf('fixed-point+8-bit').options).toEqual({ weightBits: 8, activationBits: 8 });
    // The image of others.
    expect(contenderOf('float+8-bit').options).toEqual({ input: '8-bit' });
    expect(contenderOf('fixed-point+16-bit+bit-slices')).toMatchObject({
      ...{ name: 'fixed-point+bit-slices+16-bit', from: 'float+bit-slices' },
      options: { input: 'bit-slices', weightBits: 16, activationBits: 16 },
    });
    expect(contenderOf('pruned+sparsity-95+one-shot')).toEqual({
      ...{ name: 'pruned+one-shot+sparsity-95', technique: 'pruned', from: 'float' },
      options: { sparsity: 0.95, rounds: 1 },
    });
    expect(contenderOf('ttq+sparsity-50').options).toEqual({ sparsity: 0.5 });
    expect(contenderOf('float+rate-2e-2').options).toEqual({ floatRate: 0.02 });
    expect(contenderOf('bnn+rate-0.01+compact')).toEqual({
      ...{ name: 'bnn+compact+rate-0.01', technique: 'bnn', compacts: 'bnn+rate-0.01' },
      options: { rate: 0.01 },
    });
    const names = contendersOf(['pruned+sparsity-95', 'fixed-point+4-bit', 'fixed-point+8-bit']);
    expect(names.map(({ name }) => name)).toEqual([
      'float',
      'pruned+sparsity-95',
      'fixed-point+4-bit',
      'fixed-point+8-bit',
    ]);
  });

  it.each([
    ['bnn+4-bit', 'only fixed-point has 4-bit, not bnn'],
    ['bnn+16-bit', 'only fixed-point has 16-bit, not bnn'],
    ['fixed-point+1-bit', 'expected 2-bit to 16-bit, got "1-bit"'],
    ['fixed-point+17-bit', 'expected 2-bit to 16-bit, got "17-bit"'],
    ['fixed-point+4.5-bit', 'expected 2-bit to 16-bit, got "4.5-bit"'],
    ['fixed-point+4-bit+8-bit', 'sets weightBits twice'],
    ['fixed-point+4bit', 'of fixed-point 4-bit'],
    ['pruned+sparsity-0', 'expected a whole percentage, sparsity-1 to sparsity-99, got "sparsity-0"'],
    ['pruned+sparsity-100', 'got "sparsity-100"'],
    ['ttq+sparsity-0.5', 'got "sparsity-0.5"'],
    ['pruned+sparsity-', 'got "sparsity-"'],
    ['pruned+sparsity-50+sparsity-95', 'sets sparsity twice'],
    ['float+sparsity-50', 'only pruned and ttq have sparsity-50, not float'],
    ['ttq+one-shot', 'only pruned has one-shot, not ttq'],
    ['bnn+rate-0', 'expected a rate above 0, at most 1, as rate-1e-2, got "rate-0"'],
    ['bnn+rate-fast', 'got "rate-fast"'],
    ['bnn+rate-2', 'got "rate-2"'],
    ['fixed-point+rate-1e-2', 'fixed-point follows training, so it has no rate-1e-2'],
    ['bnn+rate-1e-2+rate-1e-3', 'sets rate twice'],
    ['pruned+one-shto', 'did you mean one-shot?'],
  ])('refuses %s: %s', (word, message) => {
    expect(() => contenderOf(word)).toThrow(message);
  });

  it('come after what they build on, once each', () => {
    const names = (...given: string[]) => contendersOf(given).map(({ name }) => name);
    expect(names('ttq', 'fixed-point', 'float')).toEqual(['float', 'ttq', 'fixed-point']);
    expect(names('bnn+top4+compact', 'bnn')).toEqual(['bnn+top4', 'bnn+top4+compact', 'bnn']);
    expect(names('bnn+taught', 'bnn+equal+two-step')).toEqual([
      'float',
      'bnn+taught',
      'binary-activations+equal',
      'bnn+equal+two-step',
    ]);
    expect(names('bnn+taught+gray')).toEqual(['float+bit-slices+gray', 'bnn+gray+taught']);
    expect(names('ttq+bit-slices')).toEqual(['float+bit-slices', 'ttq+bit-slices']);
    expect(names('bnn+recu+gray', 'bnn+gray+recu')).toEqual(['bnn+gray+recu']);
    expect(contenderOf('bnn+equal+two-step')).toMatchObject({
      from: 'binary-activations+equal',
      options: { slicing: 'equal' },
    });
  });

  it('are everyone, or the grid of the paper', () => {
    expect(contendersOf(usualContenders)).toHaveLength(techniqueNames.length);
    expect(gridContenders('modern')).toEqual([
      'bnn+8-bit',
      'bnn+8-bit+binary-first',
      'bnn+equal',
      'bnn+equal+binary-first',
      'bnn',
      'bnn+binary-first',
    ]);
    expect(gridContenders('paper')).toContain('bnn+place-value+binary-first');
    expect(gridContenders('paper')).not.toContain('bnn+equal');
    for (const name of gridContenders('modern')) expect(contenderOf(name).technique).toBe('bnn');
  });

  it('are refused where nothing is called that, or it does not go together', () => {
    expect(() => contenderOf('bmn')).toThrow('did you mean bnn?');
    expect(() => contenderOf('bnn+rec')).toThrow('did you mean recu?');
    expect(() => contenderOf('bnn+top9')).toThrow('setting of bnn: expected one of');
    expect(() => contenderOf('float+recu')).toThrow('only bnn has recu, not float');
    expect(() => contenderOf('ttq+compact')).toThrow('only bnn has compact');
    expect(() => contenderOf('bnn+recu+centred-weights')).toThrow('exclude each other');
    expect(() => contenderOf('bnn+recu+bop')).toThrow('exclude each other');
    expect(() => contenderOf('bnn+gray+thermometer')).toThrow('sets code twice');
    expect(() => contenderOf('bnn+top3+top4')).toThrow('sets slices twice');
    expect(() => contenderOf('bnn+toString')).toThrow('setting of bnn: expected one of');
  });
});
