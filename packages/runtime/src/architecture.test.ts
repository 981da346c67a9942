import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatArchitecture, parseArchitecture, scaleArchitecture } from './architecture.js';
import type { LayerSpec } from './model.js';

const layer: fc.Arbitrary<LayerSpec> = fc.oneof(
  fc.record({
    kind: fc.constant('conv' as const),
    channels: fc.integer({ min: 1, max: 65_536 }),
    kernel: fc.integer({ min: 1, max: 7 }),
    stride: fc.integer({ min: 1, max: 4 }),
    padding: fc.constantFrom('same' as const, 'valid' as const),
  }),
  fc.record({ kind: fc.constant('pool' as const), size: fc.integer({ min: 2, max: 4 }) }),
  fc.record({ kind: fc.constant('dense' as const), units: fc.integer({ min: 1, max: 65_536 }) }),
);

describe('parseArchitecture', () => {
  it('reads convolutions, pooling and dense layers with their suffixes', () => {
    expect(parseArchitecture('128C3-MP2-64C5S2V-32C4V-16C1S1-1024FC-10FC')).toEqual([
      { kind: 'conv', channels: 128, kernel: 3, stride: 1, padding: 'same' },
      { kind: 'pool', size: 2 },
      { kind: 'conv', channels: 64, kernel: 5, stride: 2, padding: 'valid' },
      { kind: 'conv', channels: 32, kernel: 4, stride: 1, padding: 'valid' },
      { kind: 'conv', channels: 16, kernel: 1, stride: 1, padding: 'same' },
      { kind: 'dense', units: 1024 },
      { kind: 'dense', units: 10 },
    ]);
  });

  it('reads back what formatArchitecture writes', () => {
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 64 }), (layers) => {
        const notation = formatArchitecture(layers);
        expect(parseArchitecture(notation)).toEqual(layers);
        expect(formatArchitecture(parseArchitecture(notation))).toBe(notation);
      }),
    );
  });

  it.each([
    ['', /got nothing; write a convolution like `128C3`/],
    ['128C3-', /layer 2, ``: expected a convolution like/],
    ['128X3-10FC', /layer 1, `128X3`: expected a convolution like `128C3`/],
    ['128c3-10FC', /layer 1, `128c3`: did you mean `128C3`\?/],
    ['128C3 -10FC', /layer 1, `128C3 `: did you mean `128C3`\?/],
    ['8C3-mp2', /layer 2, `mp2`: did you mean `MP2`\?/],
    ['8C8-10FC', /`8C8`: expected a kernel size of 1\.\.7, got 8/],
    ['8C0-10FC', /`8C0`: expected a kernel size of 1\.\.7, got 0/],
    ['8C3S5-10FC', /`8C3S5`: expected a stride of 1\.\.4, got 5/],
    ['8C3S0-10FC', /`8C3S0`: expected a stride of 1\.\.4, got 0/],
    ['8C3VS2-10FC', /`8C3VS2`: expected a convolution like/],
    ['8C3-MP5', /`MP5`: expected a pooling size of 2\.\.4, got 5/],
    ['8C3-MP1', /`MP1`: expected a pooling size of 2\.\.4, got 1/],
    ['0C3', /`0C3`: expected a convolution like/],
    ['08C3', /`08C3`: expected a convolution like/],
    ['70000FC', /`70000FC`: expected a number of units of 1\.\.65536, got 70000/],
    [`${'9'.repeat(400)}FC`, /expected a number of units of 1\.\.65536/],
    [Array.from({ length: 65 }, () => '1FC').join('-'), /expected at most 64 layers, got 65/],
  ])('refuses `%s` and says what is legal', (notation, message) => {
    expect(() => parseArchitecture(notation)).toThrow(
      expect.objectContaining({ kind: 'config', message: expect.stringMatching(message) }),
    );
  });
});

describe('scaleArchitecture', () => {
  const scale = (notation: string, conv: number, dense: number) =>
    formatArchitecture(scaleArchitecture(parseArchitecture(notation), { conv, dense }));

  it.each([
    ['128C3-MP2-256C3S2V-1024FC-10FC', 0.5, 0.25, '64C3-MP2-128C3S2V-256FC-10FC'],
    ['3C3-5FC-10FC', 0.5, 0.5, '2C3-3FC-10FC'],
    ['3C3-5FC-10FC', 0.01, 0.01, '1C3-1FC-10FC'],
    ['10FC', 0.5, 2, '10FC'],
    ['7C3-10FC', 2, 2, '14C3-10FC'],
  ])('scales %s by %d and %d to %s, never the classes', (notation, conv, dense, expected) => {
    expect(scale(notation, conv, dense)).toBe(expected);
  });

  it.each([
    ['32C3-64C3-256FC-43FC', 0.7, 0.3, '24C3-48C3-80FC-43FC'],
    ['16C3-12C3-9FC-4FC', 0.25, 0.9, '4C3-3C3-8FC-4FC'],
    ['13C3-18C3-30FC-4FC', 1, 0.99, '13C3-18C3-30FC-4FC'],
  ])('rounds %s by %d and %d to multiples of 8: %s, and never widens', (notation, conv, dense, expected) => {
    expect(formatArchitecture(scaleArchitecture(parseArchitecture(notation), { conv, dense }, 8))).toBe(
      expected,
    );
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('refuses the multiplier %d', (factor) => {
    expect(() => scale('8C3-10FC', factor, 1)).toThrow(/expected a multiplier above 0 for conv layers/);
    expect(() => scale('8C3-10FC', 1, factor)).toThrow(/expected a multiplier above 0 for dense layers/);
  });

  it('refuses a width beyond the format', () => {
    expect(() => scale('60000C3-10FC', 2, 1)).toThrow(/60000C3 times 2 is 120000, more than 65536/);
  });
});
