/** The library: the steps of the command line as typed functions. Everything not listed here is internal. */
export { type CompactionEvent, type CompactOptions, compact } from './compact/compact.js';
export type { Candidate, CompactionResult, CompactionTry } from './compact/result.js';
export { modelCost, type NetworkCost, networkCost } from './cost/cost.js';
export type { Dataset, ImageSet } from './data/dataset.js';
export { datasets, loadDataset } from './data/registry.js';
export { splitValidation } from './data/split.js';
export { openPackedOnnx, type PackedEngine } from './engines/packed-onnx.js';
export { type Device, type DeviceName, openDevice } from './graph/session.js';
export { packModel } from './pack/pack.js';
export { predictPacked, reportRun } from './report/run-report.js';
export { analyzeSensitivity, type SensitivityOptions } from './sensitivity/analyze.js';
export { choosePruning } from './sensitivity/prune.js';
export type { SensitivityPoint, SensitivityResult } from './sensitivity/result.js';
export { pairedInterval } from './statistics.js';
export type { RunConfig } from './train/config.js';
export { type PreparedRun, prepareRun, type RunOptions } from './train/prepare.js';
export { loadRunImages, openEngine, readModel, trainRun } from './train/run.js';
export type { TrainingProgress, TrainingResult, TrainOptions } from './train/train.js';
