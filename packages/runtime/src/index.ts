/** Everything a user of the runtime may call; what is not listed here is not public. */

export {
  formatArchitecture,
  parseArchitecture,
  scaleArchitecture,
  type WidthMultipliers,
} from './architecture.js';
export { packRows, popcount32, rowBytes, unpackRows } from './bits.js';
export { inputMagnitudes, inputShape, layerBound, modelShapes, sumBound } from './bounds.js';
export { classify } from './classify.js';
export { codeNames, codeTable, type InputCode, thermometerThresholds } from './codes.js';
export * from './errors.js';
export { limits } from './limits.js';
export {
  type Classification,
  type Classifier,
  type EngineName,
  engineNames,
  type Image,
  type LoadOptions,
  load,
  type RgbaImage,
} from './load.js';
export * from './model.js';
export { decodeModel, encodeModel, MODEL_FORMAT_VERSION } from './model-file.js';
export { type Preparation, prepareImage, prepareInto } from './prepare.js';
export {
  type LayerTrace,
  type ReferenceOptions,
  type ReferenceResult,
  runReference,
} from './reference.js';
export {
  type Dtype,
  decodeSafetensors,
  encodeSafetensors,
  type SafetensorsFile,
  type Tensor,
} from './safetensors.js';
export { sha256 } from './sha256.js';
export * from './shapes.js';
export {
  allSlices,
  checkPixels,
  compareSlices,
  formatSlices,
  packSlices,
  parseSlices,
  unpackSlices,
} from './slices.js';
export { checkStructure, validateModel } from './validate.js';
export { WasmEngine, wasmRefusal } from './wasm/engine.js';
