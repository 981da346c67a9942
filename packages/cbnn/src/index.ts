/** The library: the steps of the command line as typed functions. Everything not listed here is internal. */
export { CbnnError, type PackedModel } from '@cbnn/runtime';
export { type BenchOptions, type BenchResult, benchModel, type EngineTime } from './bench/bench.js';
export {
  benchTraining,
  type StepTime,
  type TrainingBenchOptions,
  type TrainingBenchResult,
} from './bench/training.js';
export { type CompactionEvent, type CompactOptions, compact } from './compact/compact.js';
export type { Candidate, CompactionResult, CompactionTry } from './compact/result.js';
export { type CompareOptions, compare, type SharedOptions } from './compare/compare.js';
export { type PrecisionResult, precisionOf } from './compare/precision.js';
export type { ComparedTechnique, CompareResult, ErrorOf, TechniqueTime } from './compare/result.js';
export type { Standing } from './compare/standing.js';
export { modelCost, type NetworkCost, networkCost, uniformStorage } from './cost/cost.js';
export { type FinishedNetwork, finishedNetwork } from './cost/finished-network.js';
export { getDataset } from './data/acquisition.js';
export { contactSheet } from './data/contact-sheet.js';
export { type Dataset, type ImageSet, spreadImages } from './data/dataset.js';
export { datasets, loadDataset } from './data/registry.js';
export { splitValidation } from './data/split.js';
export { datasetStatistics } from './data/statistics.js';
export { openEngine, predictPacked } from './engines/evaluate.js';
export type { PackedEngine } from './engines/packed-engine.js';
export { openPackedOnnx } from './engines/packed-onnx.js';
export { type Device, type DeviceName, openDevice } from './graph/session.js';
export { packModel } from './pack/pack.js';
export { argmax, errorRate } from './predictions.js';
export { confusionMatrix } from './report/confusion.js';
export { reportRun } from './report/run-report.js';
export { analyzeSensitivity, type Measurement, type SensitivityOptions } from './sensitivity/analyze.js';
export { choosePruning, type Pruning } from './sensitivity/prune.js';
export type { SensitivityPoint, SensitivityResult } from './sensitivity/result.js';
export { type RunSensitivityOptions, runSensitivity, sensitivityOf } from './sensitivity/run-sensitivity.js';
export { errorInterval, pairedInterval } from './statistics.js';
export type { RunConfig } from './train/config.js';
export type { RunOptions } from './train/options.js';
export { type PreparedRun, prepareRun } from './train/prepare.js';
export { loadRunImages, type RunImages, readModel, trainRun } from './train/run.js';
export type {
  EpochMetrics,
  TrainingProgress,
  TrainingResult,
  TrainOptions,
} from './train/train.js';
export type { Differences, LayerDifferences } from './verify/compare.js';
export { type VerifyOptions, verifyRun } from './verify/verify.js';
