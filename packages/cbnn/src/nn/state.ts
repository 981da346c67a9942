/** Named tensors that make up the whole state of training, moments and statistics included. */
export type TrainingState = ReadonlyMap<string, TrainingTensor>;

export interface TrainingTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
