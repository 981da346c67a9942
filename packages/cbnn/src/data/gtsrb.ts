/**
 * GTSRB, the German Traffic Sign Recognition Benchmark: 39,209 training and 12,630 test images of 43 signs, as PPM
 * files of 15x15 to 250x250 pixels with a border of about a tenth around the sign.
 *
 * Training images are filmed: a track of 30 frames shows one physical sign coming nearer (file `TTTTT_FFFFF.ppm`), so
 * frames of one track are nearly the same picture and form a group. The CSV tables give each file's size, the region
 * of interest (the sign without border; corners inclusive) and, for the test images in a file of their own, the class.
 * Source: https://benchmark.ini.rub.de/gtsrb_dataset.html
 */
import { basename, join } from 'node:path';
import { dataError } from '@cbnn/runtime';
import type { Dataset, ImageSet } from './dataset.js';
import {
  forEachFile,
  isFile,
  isFolder,
  listFolder,
  missingFiles,
  readBytes,
  readText,
  shortPath,
} from './files.js';
import { readPpm } from './ppm.js';
import { crop, resize } from './resize.js';
import type { DatasetSource, ReadOptions } from './source.js';

const SIDE = 32;
const PIXELS = SIDE * SIDE * 3;

/** Names of the signs by class id. */
export const GTSRB_CLASSES: readonly string[] = [
  'speed limit 20',
  'speed limit 30',
  'speed limit 50',
  'speed limit 60',
  'speed limit 70',
  'speed limit 80',
  'end of speed limit 80',
  'speed limit 100',
  'speed limit 120',
  'no passing',
  'no passing for trucks',
  'right of way at next intersection',
  'priority road',
  'yield',
  'stop',
  'no vehicles',
  'no trucks',
  'no entry',
  'general caution',
  'curve left',
  'curve right',
  'double curve',
  'bumpy road',
  'slippery road',
  'road narrows on the right',
  'road work',
  'traffic signals',
  'pedestrians',
  'children crossing',
  'bicycles crossing',
  'ice or snow',
  'wild animals crossing',
  'end of all limits',
  'turn right ahead',
  'turn left ahead',
  'ahead only',
  'straight or right',
  'straight or left',
  'keep right',
  'keep left',
  'roundabout',
  'end of no passing',
  'end of no passing for trucks',
];

const COLUMNS = ['Filename', 'Width', 'Height', 'Roi.X1', 'Roi.Y1', 'Roi.X2', 'Roi.Y2', 'ClassId'];

/** One line of a CSV table. */
interface Entry {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  /** corners of the region of interest, inclusive */
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly label: number;
  /** training images: class * 1000 + track */
  readonly group: number;
}

/** Reads a table whose images lie in `images`. `label`: the class that every line must have, or null. */
function readTable(table: string, images: string, label: number | null): Entry[] {
  const name = shortPath(table);
  const lines = readText(table).split(/\r?\n/);
  if (lines[0]?.trim() !== COLUMNS.join(';'))
    throw dataError(
      `${name}: expected the heading "${COLUMNS.join(';')}", got "${(lines[0] ?? '').slice(0, 100)}"`,
    );
  const entries: Entry[] = [];
  for (const [i, line] of lines.entries()) {
    if (i === 0 || line.trim() === '') continue;
    const where = `${name}, line ${i + 1}`;
    const [file, ...rest] = line.trim().split(';');
    const numbers = rest.map((text) => (/^\d{1,5}$/.test(text) ? Number(text) : Number.NaN));
    const [width, height, left, top, right, bottom, classId] = numbers;
    if (!file || numbers.length !== 7 || numbers.some(Number.isNaN))
      throw dataError(`${where}: expected a file name and 7 numbers, got "${line.slice(0, 100)}"`);
    if (!/^\d{5}(_\d{5})?\.ppm$/.test(file))
      throw dataError(`${where}: expected a file name like 00000_00000.ppm, got "${file.slice(0, 100)}"`);
    if (classId! >= GTSRB_CLASSES.length || (label !== null && classId !== label))
      throw dataError(`${where}: expected class ${label ?? '0 to 42'}, got ${classId}`);
    if (left! > right! || top! > bottom! || right! >= width! || bottom! >= height!)
      throw dataError(
        `${where}: expected a region inside ${width}x${height} pixels, got ${left};${top};${right};${bottom}`,
      );
    const group = classId! * 1000 + Number(file.slice(0, 5));
    const path = join(images, file);
    entries.push({
      path,
      width: width!,
      height: height!,
      left: left!,
      top: top!,
      right: right!,
      bottom: bottom!,
      label: classId!,
      group,
    });
  }
  if (entries.length === 0) throw dataError(`${name}: expected at least one image, got none`);
  checkListed(name, images, entries);
  return entries;
}

/** A table that was cut at the end of a line looks whole: every image file must be in it, and once. */
function checkListed(table: string, images: string, entries: readonly Entry[]): void {
  const listed = new Set(entries.map(({ path }) => basename(path)));
  if (listed.size < entries.length)
    throw dataError(
      `${table}: expected every file once, got ${entries.length - listed.size} twice; the table is damaged`,
    );
  const unlisted = listFolder(images)
    .map((entry) => entry.name)
    .filter((name) => name.endsWith('.ppm') && !listed.has(name));
  if (unlisted.length > 0)
    throw dataError(
      `${table}: expected all images of ${shortPath(images)}, but it lacks ${unlisted.length}, first ${unlisted[0]}; the table is cut short, or images are there that do not belong`,
    );
}

async function readImages(entries: readonly Entry[], stage: string, options: ReadOptions): Promise<ImageSet> {
  const crops = options.roi !== 'whole';
  const pixels = new Uint8Array(entries.length * PIXELS);
  const labels = new Uint16Array(entries.length);
  await forEachFile(entries, stage, options, (entry, i) => {
    let image = readPpm(readBytes(entry.path), shortPath(entry.path));
    // The table tells the size as filmed: a file of another size was resized since, and its region is no longer there.
    const isAsFilmed = image.width === entry.width && image.height === entry.height;
    if (crops && isAsFilmed)
      image = crop(image, entry.left, entry.top, entry.right - entry.left + 1, entry.bottom - entry.top + 1);
    pixels.set(resize(image, SIDE, SIDE).pixels, i * PIXELS);
    labels[i] = entry.label;
  });
  return { count: entries.length, height: SIDE, width: SIDE, channels: 3, pixels, labels };
}

/**
 * Reads GTSRB from `folder`, or `GTSRB` below it. Images are cropped to their region of interest unless `roi` is `whole`;
 * a file whose size is not the table's has been resized before and is taken whole, each by itself.
 */
export async function readGtsrb(folder: string, options: ReadOptions = {}): Promise<Dataset> {
  const root = [join(folder, 'GTSRB'), folder].find((path) =>
    isFolder(join(path, 'Final_Training', 'Images')),
  );
  if (root === undefined) throw missingFiles(gtsrb, folder, 'Final_Training/Images');

  const training: Entry[] = [];
  for (const label of GTSRB_CLASSES.keys()) {
    const id = String(label).padStart(5, '0');
    const images = join(root, 'Final_Training', 'Images', id);
    const table = join(images, `GT-${id}.csv`);
    if (!isFile(table)) throw missingFiles(gtsrb, images, basename(table));
    for (const entry of readTable(table, images, label)) training.push(entry);
  }
  const testImages = join(root, 'Final_Test', 'Images');
  const table = 'GT-final_test.csv';
  const tableFolder = [join(root, 'Final_Test'), testImages, root, folder].find((path) =>
    isFile(join(path, table)),
  );
  if (tableFolder === undefined) throw missingFiles(gtsrb, join(root, 'Final_Test'), table);
  const testing = readTable(join(tableFolder, table), testImages, null);

  const train = await readImages(training, 'reading training images', options);
  const test = await readImages(testing, 'reading test images', options);
  return {
    name: gtsrb.name,
    title: gtsrb.title,
    classes: GTSRB_CLASSES,
    train: { ...train, groups: Uint32Array.from(training, (entry) => entry.group) },
    test,
    split: 'stratified',
    validationShare: 0.1,
    augmentation: { mirror: false, shift: 2 },
  };
}

const BASE = 'https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370';
const zip = (file: string, into: string, md5: string) => ({
  url: `${BASE}/${file}`,
  size: null,
  md5,
  unpack: 'zip' as const,
  into,
});

export const gtsrb: DatasetSource = {
  name: 'gtsrb',
  title: 'GTSRB',
  description: '39,209 + 12,630 photographs of 43 German traffic signs, resized to 32x32',
  licence:
    'Johannes Stallkamp, Marc Schlipsing, Jan Salmen and Christian Igel, 2011; free to use, cite their paper (Neural Networks 32, 2012)',
  files: [
    zip('GTSRB_Final_Training_Images.zip', '', 'f33fd80ac59bff73c82d25ab499e03a3'),
    zip('GTSRB_Final_Test_Images.zip', '', 'c7e4e6327067d32654124b0fe9e82185'),
    zip('GTSRB_Final_Test_GT.zip', 'GTSRB/Final_Test', 'fe31e9c9270bbcd7b84b7f21a9d9d9e5'),
  ],
  layout: [
    'GTSRB/Final_Training/Images/00000 ... 00042, each with GT-000cc.csv and TTTTT_FFFFF.ppm',
    'GTSRB/Final_Test/Images/*.ppm',
    'GTSRB/Final_Test/GT-final_test.csv',
  ].join('\n'),
  form: { classes: GTSRB_CLASSES.length, height: 32, width: 32, channels: 3 },
  sortedByClass: true,
  choices: ['roi'],
  read: readGtsrb,
};
