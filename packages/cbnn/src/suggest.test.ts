import { describe, expect, it } from 'vitest';
import { nearest, unknownName } from './suggest.js';

describe('nearest', () => {
  const names = ['cifar10', 'svhn', 'gtsrb', 'fashion-mnist', 'mnist'];
  it.each([
    ['cifar-10', 'cifar10'],
    ['CIFAR10', 'cifar10'],
    ['gtsbr', 'gtsrb'],
    ['fashionmnist', 'fashion-mnist'],
    ['mnits', 'mnist'],
    ['imagenet', null],
    ['x', null],
    ['', null],
  ])('of %j is %j', (name, expected) => {
    expect(nearest(name, names)).toBe(expected);
  });

  it('is nothing without candidates', () => {
    expect(nearest('a', [])).toBeNull();
  });
});

describe('unknownName', () => {
  it.each([
    ['hieght', undefined, 'axis: expected one of height, width, got "hieght"; did you mean height?'],
    ['depth', 'a number', 'axis: expected one of height, width, or a number, got "depth"'],
  ])('is a config error that says what %j could have been', (name, alternative, message) => {
    expect(unknownName('axis', name, ['height', 'width'], alternative)).toMatchObject({
      kind: 'config',
      message,
    });
  });
});
