import { join } from 'node:path';
import { plainPng } from './pictures.js';
import { writeFiles } from './temporary-folder.js';

/** Classes so small that they get more than their share of validation images, and twins that must stay together. */
export function smallImages(folder: string): string {
  const files: Record<string, Uint8Array> = {};
  for (const [name, count] of [
    ['a', 30],
    ['b', 7],
    ['c', 5],
  ] as const)
    for (let i = 0; i < count; i++) files[`images/${name}/${i}.png`] = plainPng(8 * (i >> 1), count, 3 * i);
  writeFiles(folder, files);
  return join(folder, 'images');
}
