/**
 * Chars74K, the English natural-image part: 7,705 good and 4,798 bad pictures of characters cut from photographs of
 * streets, in 62 classes (0-9, A-Z, a-z), very unbalanced. It has no official split: a fifth, seeded and stratified, is
 * the test set here. Some pictures occur twice, a few under two labels; twins stay on one side of every split.
 * Good and bad pictures are numbered separately, so the folder is part of a picture's name.
 * Source: http://www.ee.surrey.ac.uk/CVSSP/demos/chars74k/
 */
import { join } from 'node:path';
import type { Dataset } from './dataset.js';
import { isFolder, missingFiles } from './files.js';
import { type LabelledFile, pictureFiles, readPictures, splitTest } from './folder.js';
import type { DatasetSource, ReadOptions } from './source.js';

const SIDE = 32;

/** Digits, upper case, lower case: the order of the official folders Sample001 to Sample062. */
export const CHARS74K_CLASSES: readonly string[] = [
  ...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
];

/** Reads Chars74K from `folder`; `quality: 'good'` leaves the bad pictures out. */
export async function readChars74k(folder: string, options: ReadOptions = {}): Promise<Dataset> {
  const parts = options.quality === 'good' ? ['GoodImg'] : ['GoodImg', 'BadImag'];
  const files: LabelledFile[] = [];
  for (const label of CHARS74K_CLASSES.keys())
    for (const part of parts) {
      const root = join(folder, 'English', 'Img', part, 'Bmp');
      const sample = `Sample${String(label + 1).padStart(3, '0')}`;
      const images = join(root, sample);
      if (!isFolder(images)) {
        // Not every class needs bad pictures.
        if (part === 'BadImag' && isFolder(root)) continue;
        throw missingFiles(chars74k, root, sample);
      }
      for (const path of pictureFiles(images, /\.png$/i)) files.push({ path, label });
    }
  const images = await readPictures(files, SIDE, 'reading images', options);
  return {
    name: chars74k.name,
    title: chars74k.title,
    classes: CHARS74K_CLASSES,
    ...splitTest(images, CHARS74K_CLASSES, options),
    split: 'stratified',
    validationShare: 0.1,
    augmentation: { mirror: false, shift: 2 },
  };
}

export const chars74k: DatasetSource = {
  name: 'chars74k',
  title: 'Chars74K',
  description: '12,503 photographs of characters (0-9, A-Z, a-z) from street scenes, resized to 32x32',
  licence:
    'Teofilo E. de Campos, Bodla Rakesh Babu and Manik Varma, 2009; for research, cite their paper (VISAPP 2009)',
  files: [
    {
      url: 'http://www.ee.surrey.ac.uk/CVSSP/demos/chars74k/EnglishImg.tgz',
      size: null,
      md5: '85d157e0c58f998e1cda8def62bcda0d',
      unpack: 'tar.gz',
      into: '',
    },
  ],
  layout: [
    'English/Img/GoodImg/Bmp/Sample001 ... Sample062, each with PNG files',
    'English/Img/BadImag/Bmp/Sample001 ... Sample062',
  ].join('\n'),
  form: { classes: CHARS74K_CLASSES.length, height: 32, width: 32, channels: 3 },
  sortedByClass: true,
  choices: ['quality', 'testShare'],
  read: readChars74k,
};
