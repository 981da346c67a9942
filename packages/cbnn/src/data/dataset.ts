/** What every reader produces and everything after it consumes: labelled uint8 images in memory. */

/** A set of labelled images of one size. */
export interface ImageSet {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** `[count][height][width][channels]` */
  readonly pixels: Uint8Array;
  /** class index of each image */
  readonly labels: Uint16Array;
  /**
   * Images with the same number must stay on one side of a split (frames of one GTSRB track, twins of Chars74K).
   * Absent: every image stands alone.
   */
  readonly groups?: Uint32Array;
}

/** How validation images are taken from the training images (split.ts). */
export type SplitRule =
  /** the last ones, as the paper's code does for CIFAR-10 */
  | 'last'
  /** seeded, every class in proportion, groups kept together */
  | 'stratified'
  /** seeded, contiguous blocks of the official order (neighbouring SVHN crops overlap) */
  | 'blocks';

/** Which augmentations leave a label true. */
export interface AugmentationPolicy {
  /** left-right mirroring */
  readonly mirror: boolean;
  /** largest shift in pixels, each direction */
  readonly shift: number;
}

export interface Dataset {
  /** e.g. `cifar10` */
  readonly name: string;
  /** e.g. `CIFAR-10` */
  readonly title: string;
  readonly classes: readonly string[];
  readonly train: ImageSet;
  readonly test: ImageSet;
  readonly split: SplitRule;
  /** share of the training images that becomes validation images by default, 0..1 */
  readonly validationShare: number;
  readonly augmentation: AugmentationPolicy;
}

/** The images at `indices`, copied. */
export function takeImages(images: ImageSet, indices: ArrayLike<number>): ImageSet {
  const size = images.height * images.width * images.channels;
  const pixels = new Uint8Array(indices.length * size);
  const labels = new Uint16Array(indices.length);
  const groups = images.groups ? new Uint32Array(indices.length) : undefined;
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i]!;
    pixels.set(images.pixels.subarray(from * size, (from + 1) * size), i * size);
    labels[i] = images.labels[from]!;
    if (groups) groups[i] = images.groups![from]!;
  }
  const { height, width, channels } = images;
  return { count: indices.length, height, width, channels, pixels, labels, ...(groups && { groups }) };
}

/** At most `count` images, spread evenly over the set, so that one sorted by class stays balanced. */
export function spreadImages(images: ImageSet, count: number | undefined): ImageSet {
  if (count === undefined || count >= images.count) return images;
  const indices = Array.from({ length: count }, (_, i) => Math.floor((i * images.count) / count));
  return takeImages(images, indices);
}
