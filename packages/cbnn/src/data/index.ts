/** Data sets: get them, read them, split them, look at them. */
export { type Acquisition, type AcquisitionOptions, getDataset } from './acquisition.js';
export { type ContactSheetOptions, contactSheet } from './contact-sheet.js';
export * from './dataset.js';
export { type DownloadOptions, download } from './download.js';
export { readFolder } from './folder.js';
export { drawSign, generateSigns, type SignPart } from './generated.js';
export { decodeImage } from './image.js';
export type { RgbImage } from './ppm.js';
export { datasets, findDataset, type LoadOptions, loadDataset } from './registry.js';
export { resize } from './resize.js';
export type { DataProgress, DatasetSource, OfficialFile, OnDataProgress, ReadOptions } from './source.js';
export { type Split, type SplitOptions, splitValidation } from './split.js';
export {
  type DatasetStatistics,
  datasetStatistics,
  type SetStatistics,
  setStatistics,
} from './statistics.js';
