import { describe, expect, it } from 'vitest';
import { nearest } from './suggest.js';

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
