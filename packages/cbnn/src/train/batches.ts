/**
 * Training batches: a fresh shuffle every epoch, mirrored and shifted images. Every choice depends only on
 * (seed, epoch, image), so any batch of any epoch can be made without those before it.
 */
import type { AugmentationPolicy, ImageSet } from '../data/dataset.js';
import { Random } from '../random.js';
import type { ImageBatch } from './trainer.js';

const SHUFFLE = 2;
const AUGMENT = 3;

export class TrainingBatches {
  readonly steps: number;
  private order: Uint32Array = new Uint32Array();
  private epoch = -1;

  /** `images` are already prepared. The last, incomplete batch of an epoch is left out. */
  constructor(
    private readonly images: ImageSet,
    private readonly batch: number,
    private readonly augmentation: AugmentationPolicy,
    private readonly seed: number,
  ) {
    this.steps = Math.floor(images.count / batch);
  }

  /** Batch `step` (0 .. steps - 1) of `epoch` (0 ..). */
  get(epoch: number, step: number): ImageBatch {
    if (epoch !== this.epoch) {
      this.order = new Random(this.seed, SHUFFLE, epoch).permutation(this.images.count);
      this.epoch = epoch;
    }
    const { height, width, channels } = this.images;
    const size = height * width * channels;
    const pixels = new Uint8Array(this.batch * size);
    const labels = new Uint16Array(this.batch);
    for (let n = 0; n < this.batch; n++) {
      const index = this.order[step * this.batch + n]!;
      labels[n] = this.images.labels[index]!;
      this.augment(
        this.images.pixels.subarray(index * size, (index + 1) * size),
        pixels.subarray(n * size, (n + 1) * size),
        new Random(this.seed, AUGMENT, epoch, index),
      );
    }
    return { count: this.batch, pixels, labels };
  }

  /** Shifts repeat the edge, so that no artificial border enters the bit slices. */
  private augment(from: Uint8Array, to: Uint8Array, random: Random): void {
    const { height, width, channels } = this.images;
    const { mirror, shift } = this.augmentation;
    const mirrored = mirror && random.below(2) === 1;
    const dx = random.below(2 * shift + 1) - shift;
    const dy = random.below(2 * shift + 1) - shift;
    for (let y = 0; y < height; y++) {
      const row = Math.min(height - 1, Math.max(0, y + dy)) * width;
      for (let x = 0; x < width; x++) {
        const shifted = Math.min(width - 1, Math.max(0, x + dx));
        const source = (row + (mirrored ? width - 1 - shifted : shifted)) * channels;
        const target = (y * width + x) * channels;
        for (let c = 0; c < channels; c++) to[target + c] = from[source + c]!;
      }
    }
  }
}
