/**
 * Seeded random numbers. Every stream is named by integers (seed, purpose, epoch, image, ...), so that any of them
 * can be made again without replaying the ones before it: that is what lets a killed run resume bit-equal.
 */

/** 32-bit mixing of a list of integers (the finalizer of MurmurHash3, chained). */
export function hash(...words: number[]): number {
  let h = 0x9e3779b9;
  for (const word of words) {
    h ^= Math.imul(word | 0, 0xcc9e2d51);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return h >>> 0;
}

/** A generator (sfc32) for the stream named by `words`. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(...words: number[]) {
    this.a = hash(1, ...words) | 0;
    this.b = hash(2, ...words) | 0;
    this.c = hash(3, ...words) | 0;
    for (let i = 0; i < 8; i++) this.uint32();
  }

  /** 0 .. 2^32 - 1 */
  uint32(): number {
    const t = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    this.c |= 0;
    return t >>> 0;
  }

  /** [0, 1) with 32 bits */
  uniform(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** [0, 1) with 24 bits: exact in single precision */
  uniform24(): number {
    return (this.uint32() >>> 8) / 0x100_0000;
  }

  /** integer in [0, bound) */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** standard normal (Box-Muller) */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** a permutation of 0 .. count - 1 (Fisher-Yates) */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swap = order[i]!;
      order[i] = order[j]!;
      order[j] = swap;
    }
    return order;
  }
}
