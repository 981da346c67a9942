/** What a report is made from: plain data. Every part but the first four fields is there once it has been measured. */
import type { InputCode, Slice } from '@cbnn/runtime';
import type { CompactionResult } from '../compact/result.js';
import type { NetworkCost } from '../cost/cost.js';
import type { SensitivityResult } from '../sensitivity/result.js';
import type { RunConfig } from '../train/config.js';
import type { Picture } from './picture.js';

export interface ReportData {
  /** e.g. the run's name */
  readonly title: string;
  /** the data set's title, e.g. `CIFAR-10` */
  readonly dataset: string;
  /** when the report was made, as it should be printed */
  readonly created: string;
  /** what a reader must know to judge the key numbers, e.g. `10 epochs on 2,000 of 45,000 images`; printed among them */
  readonly caveats: readonly string[];
  readonly networks?: { readonly before: NetworkSummary; readonly after?: NetworkSummary };
  /** how sure error after - error before is, on the same images: its 95 % interval, in percentage points */
  readonly drop?: {
    readonly interval: readonly [number, number];
    readonly images: number;
    readonly split: ImageSplit;
  };
  readonly training?: readonly TrainingCurve[];
  readonly slices?: {
    readonly picture: Picture;
    readonly channelNames: readonly string[];
    /** that the slices are bits of; absent: plain binary */
    readonly code?: InputCode;
    /** null where the network takes whole 8-bit values */
    readonly kept: readonly Slice[] | null;
  };
  readonly sensitivity?: SensitivityResult;
  readonly compaction?: CompactionResult;
  /** before first, then after; more are shown as well (e.g. float) */
  readonly costs?: readonly NamedCost[];
  readonly confusion?: Confusion;
  /** images the network gets wrong, the ones to show, in the order to show them */
  readonly mistakes?: readonly Mistake[];
  readonly reproduction?: Reproduction;
}

export type ReportPart =
  | 'networks'
  | 'training'
  | 'slices'
  | 'sensitivity'
  | 'compaction'
  | 'costs'
  | 'confusion'
  | 'mistakes'
  | 'reproduction';

export type ImageSplit = 'validation' | 'test';

/** One network in the key numbers. */
export interface NetworkSummary {
  /** e.g. `baseline`, `compact` */
  readonly label: string;
  readonly architecture: string;
  /** percent, measured on the packed model where there is one */
  readonly error: number;
  /** 95 % interval of `error`, percent */
  readonly interval: readonly [number, number];
  readonly images: number;
  readonly split: ImageSplit;
  readonly weights: number;
  readonly macs: number;
  /** of the packed model's file; or of the network's where the technique has no packed form */
  readonly bytes: number;
  readonly isPacked: boolean;
  /** kept input slices and all there are; absent for 8-bit input */
  readonly slices?: readonly [kept: number, all: number];
  /** that the slices are bits of; absent: plain binary */
  readonly code?: InputCode;
}

/** One line of a run's metrics. Error rates are in percent. */
export interface EpochMetrics {
  /** from 1 */
  readonly epoch: number;
  readonly loss: number;
  readonly trainError: number;
  readonly validationError?: number;
  /** learning rate */
  readonly rate: number;
}

export interface TrainingCurve {
  readonly label: string;
  readonly metrics: readonly EpochMetrics[];
}

export interface NamedCost {
  readonly label: string;
  readonly cost: NetworkCost;
}

export interface Confusion {
  readonly classes: readonly string[];
  /** `[true class][predicted class]` counts */
  readonly matrix: Uint32Array;
  readonly network: string;
  readonly split: ImageSplit;
}

export interface Mistake {
  readonly picture: Picture;
  readonly truth: string;
  readonly predicted: string;
}

export interface Reproduction {
  /** for a shell, in order */
  readonly commands: readonly string[];
  /** the run's configuration: all that the commands' options and defaults came to */
  readonly config?: RunConfig;
  readonly seed: number;
  /** what trained it, e.g. `cpu: ONNX Runtime 1.30.0 native, 2 threads` */
  readonly device: string;
  /** e.g. `{ cbnn: '0.1.0', node: '20.19.0' }` */
  readonly versions: Readonly<Record<string, string>>;
}
