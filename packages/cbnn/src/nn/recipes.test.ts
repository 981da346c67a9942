import { describe, expect, it } from 'vitest';
import { techniques } from '../techniques/index.js';
import { techniqueNames } from './plan.js';
import { peakRates, recipes } from './recipes.js';

describe('peak rates', () => {
  it("are the paper's for all under its recipe", () => {
    for (const name of techniqueNames)
      expect(peakRates(recipes.paper, techniques[name])).toEqual({ binary: 1e-3, float: 1e-3 });
  });

  it.each([
    ['bnn', 3e-3, 5e-3],
    ['float', 3e-3, 1e-2],
    ['binary-activations', 3e-3, 1e-2],
    ['fixed-point', 3e-3, 1e-2],
    ['binaryconnect', 3e-3, 5e-3],
    ['binaryconnect-stochastic', 3e-3, 5e-3],
    ['bwn', 3e-3, 5e-3],
    ['xnor-net', 3e-3, 5e-3],
    ['xnor-net-without-k', 3e-3, 5e-3],
    ['xnor-net-binary', 3e-3, 5e-3],
    ['ternary', 3e-3, 1e-2],
    ['ttq', 3e-3, 1e-2],
    ['pruned', 3e-3, 1e-2],
  ] as const)('of %s are those of its kind of weights under modern', (name, binary, float) => {
    expect(peakRates(recipes.modern, techniques[name])).toEqual({ binary, float });
  });

  it("of an optimizer go before a recipe's", () => {
    const bop = { ...techniques['xnor-net-binary'], latentRate: 1e-4 };
    expect(peakRates(recipes.modern, bop)).toEqual({ binary: 1e-4, float: 5e-3 });
  });
});
