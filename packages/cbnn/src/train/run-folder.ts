/** A run's folder: where everything about one training run lies, and how its files are written so that a kill at any
 * moment leaves either the old file or the new one. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { configError, dataError, decodeSafetensors, encodeSafetensors } from '@cbnn/runtime';
import type { TrainingState } from '../nn/state.js';
import { configDifference, parseConfig, type RunConfig } from './config.js';

/** Writes to a temporary name in the same folder, flushes it to the disk, then renames. */
export function writeFileAtomic(path: string, data: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  const file = openSync(temporary, 'w');
  try {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

export const writeJsonAtomic = (path: string, value: unknown): void =>
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);

/** Names inside a run's folder. */
export class RunFolder {
  constructor(readonly path: string) {}
  file = (...parts: string[]): string => join(this.path, ...parts);
  get config(): string {
    return this.file('config.json');
  }
  get metrics(): string {
    return this.file('metrics.jsonl');
  }
  /** everything needed to continue */
  get checkpoint(): string {
    return this.file('checkpoint.safetensors');
  }
  /** weights and statistics of the epoch with the best validation error */
  get best(): string {
    return this.file('best.safetensors');
  }
  /** the packed model */
  get model(): string {
    return this.file('model.safetensors');
  }
  /** the network in its technique's own bits, where it has no packed form */
  get network(): string {
    return this.file('network.safetensors');
  }
  get result(): string {
    return this.file('result.json');
  }

  /**
   * Makes the folder ready to train `config`: writes config.json, or checks that the run there is the same one. Throws a
   * config error when the folder already holds a run and `resume` is not set, or one of another configuration; its device and
   * threads may be others.
   */
  begin(config: RunConfig, resume: boolean): void {
    if (existsSync(this.config)) {
      if (!resume)
        throw configError(
          `run ${this.path}: already exists; add --resume to continue it, or choose another --out`,
        );
      // Where a run is trained may change; what is trained may not.
      const { device, threads } = config;
      const known = this.readConfig();
      const difference = configDifference(
        { ...known, device, threads },
        parseConfig(config, 'configuration'),
      );
      if (difference)
        throw configError(
          `run ${this.path}: holds a run of another configuration (${difference}); choose another --out`,
        );
    } else if (existsSync(this.checkpoint)) {
      throw configError(`run ${this.path}: has a checkpoint but no config.json; choose another --out`);
    }
    this.removeLeftovers();
    if (!existsSync(this.config)) writeJsonAtomic(this.config, parseConfig(config, 'configuration'));
  }

  /** Notes the device and the threads that an unfinished run goes on with, once they have proved to work. */
  moveTo({ device, threads }: Pick<RunConfig, 'device' | 'threads'>): void {
    const known = this.readConfig();
    if (known.device !== device || known.threads !== threads)
      writeJsonAtomic(this.config, { ...known, device, threads });
  }

  /** Removes what a kill in the middle of a write left under its temporary name. */
  removeLeftovers(): void {
    if (!existsSync(this.path)) return;
    for (const name of readdirSync(this.path))
      if (/\.\d+\.tmp$/.test(name)) rmSync(this.file(name), { force: true });
  }

  readConfig(): RunConfig {
    if (!existsSync(this.config))
      throw configError(`run ${this.path}: no config.json there; expected a folder made by \`cbnn train\``);
    return parseConfig(readJson(this.config), this.config);
  }
}

export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw dataError(`${path}: expected JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

/** Where training stands, beside the tensors. No clock times: equal runs give equal files. */
export interface Position {
  /** epochs completed */
  readonly epoch: number;
  /** steps completed in the current epoch */
  readonly step: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly best: { readonly epoch: number; readonly validationError: number } | null;
  /** lines of metrics.jsonl that belong to this state */
  readonly metricsLines: number;
}

/**
 * Writes checkpoints while training goes on, one after the other: only the copy of the state is waited for, and an earlier write of
 * the same file. A write that failed takes those behind it along, is told by the next call for the same file, or by `finish`; the call after that tries again.
 */
export class CheckpointWriter {
  /** of each file, its last */
  private readonly writing = new Map<string, Promise<void>>();
  private last: Promise<void> = Promise.resolve();

  async write(path: string, state: TrainingState, position: Position): Promise<void> {
    await this.settled(this.writing.get(path));
    const tensors = new Map(
      [...state].map(([name, { shape, data }]) => [name, { dtype: 'F32' as const, shape, data }]),
    );
    const bytes = encodeSafetensors(tensors, { position: JSON.stringify(position) });
    // In order: a position names a best epoch only once its weights are there.
    this.last = this.last.then(() => replaceFile(path, bytes));
    // Whoever waits for it next gets the failure; until then it is no unhandled one.
    this.last.catch(() => {});
    this.writing.set(path, this.last);
  }

  /** Resolves when all is on the disk. */
  finish(): Promise<void> {
    return this.settled(this.last);
  }

  private async settled(write: Promise<void> | undefined): Promise<void> {
    try {
      await write;
    } catch (error) {
      this.last = Promise.resolve();
      this.writing.clear();
      throw error;
    }
  }
}

/** As `writeFileAtomic`, in the background. Throws a data error that names the file. */
async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, 'w');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw dataError(
      `${path}: cannot be written: ${cause instanceof Error ? cause.message : String(cause)}; make room, then add --resume`,
    );
  }
}

export function readCheckpoint(path: string): { state: TrainingState; position: Position } {
  const { tensors, metadata } = decodeSafetensors(readFileSync(path));
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, tensor] of tensors) {
    if (tensor.dtype !== 'F32') throw dataError(`${path}: tensor ${name}: expected F32, got ${tensor.dtype}`);
    state.set(name, { shape: tensor.shape, data: tensor.data });
  }
  return { state, position: JSON.parse(metadata['position'] ?? 'null') as Position };
}
