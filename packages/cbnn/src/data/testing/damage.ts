/** Damaged copies of a small file: whatever a reader makes of them, it must be a result or a data error. */
import { CbnnError } from '@cbnn/runtime';
import { Random } from '../../random.js';

/** Cut off at `cuts` places and with one byte changed at `flips` places, both spread over the file by a seed. */
export function* damagedCopies(
  bytes: Uint8Array,
  cuts: number,
  flips: number,
): Generator<{ how: string; bytes: Uint8Array }> {
  const random = new Random(42, bytes.length);
  for (let i = 0; i < cuts; i++) {
    const length = cuts >= bytes.length ? i % bytes.length : random.below(bytes.length);
    yield { how: `cut to ${length} bytes`, bytes: bytes.slice(0, length) };
  }
  for (let i = 0; i < flips; i++) {
    const at = flips >= bytes.length ? i % bytes.length : random.below(bytes.length);
    const copy = Uint8Array.from(bytes);
    copy[at] = copy[at]! ^ (1 << random.below(8));
    yield { how: `bit flipped in byte ${at}`, bytes: copy };
  }
}

/** Reads every damaged copy; throws for the first one that ends in anything but a result or a data error. */
export async function readDamaged(
  bytes: Uint8Array,
  cuts: number,
  flips: number,
  read: (bytes: Uint8Array) => unknown,
): Promise<{ errors: number; results: number }> {
  let errors = 0;
  let results = 0;
  for (const copy of damagedCopies(bytes, cuts, flips))
    try {
      await read(copy.bytes);
      results++;
    } catch (error) {
      if (!(error instanceof CbnnError) || error.kind !== 'data')
        throw new Error(`${copy.how}: expected a data error`, { cause: error });
      errors++;
    }
  return { errors, results };
}
