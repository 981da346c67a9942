/** Figures, tables and the HTML report: results in, pictures and pages out. */

export {
  type ErrorInterval,
  errorInterval,
  type PairedInterval,
  pairedInterval,
  tangoInterval,
} from '../statistics.js';
export * from './compaction-figures.js';
export * from './confusion.js';
export * from './cost-figures.js';
export * from './data.js';
export { type FigureFrame, type LegendEntry, renderSvg, svgToPng, writeFigure } from './figure.js';
export * from './format.js';
export { renderReport } from './html.js';
export * from './input-figures.js';
export { type Picture, pictureUri } from './picture.js';
export {
  channelSliceFigure,
  lowestSlicesFigure,
  pointsOf,
  sliceNoiseFigure,
} from './sensitivity-figures.js';
export { type Column, textTable } from './table.js';
export { learningFigure } from './training-figures.js';
