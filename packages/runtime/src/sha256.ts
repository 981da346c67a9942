/**
 * SHA-256 (FIPS 180-4). The platform's own, WebCrypto, is asynchronous and is missing from pages that are not served over HTTPS, and
 * reading a model needs neither. Where it is there and can be waited for, it is taken: 1.8 MB take 4 ms in a page that was just opened,
 * in place of some 30 (Zen 3). It guards against damage, not against forgery.
 */

const BLOCK = 64;

/** The first 64 primes. */
const primes: number[] = [];
for (let n = 2; primes.length < BLOCK; n++) if (primes.every((prime) => n % prime > 0)) primes.push(n);

/**
 * The first 32 bits of the fractional parts of its constants: square roots and cube roots of primes, which as doubles have 18 bits more
 * than it takes (none comes nearer to the next integer than 2^-8). Tables would be a fiftieth of all that a page loads.
 */
const fractions = (roots: readonly number[]): Uint32Array =>
  Uint32Array.from(roots, (root) => (root % 1) * 2 ** 32);
const K = fractions(primes.map(Math.cbrt));
const START = fractions(primes.slice(0, 8).map(Math.sqrt));

/** The hash as 64 lower-case hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  const state = Int32Array.from(START);
  const left = bytes.length % BLOCK;
  const end = bytes.length - left;
  for (let at = 0; at < end; at += BLOCK) compress(state, bytes, at);
  // What is left, a one bit, zeros up to the last 8 bytes of a block, and the length in bits.
  const tail = new Uint8Array(left < BLOCK - 8 ? BLOCK : 2 * BLOCK);
  tail.set(bytes.subarray(end));
  tail[left] = 0x80;
  const view = new DataView(tail.buffer);
  view.setUint32(tail.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(tail.length - 4, (bytes.length * 8) >>> 0);
  for (let at = 0; at < tail.length; at += BLOCK) compress(state, tail, at);
  return hexadecimal(state, 8);
}

/** The same by WebCrypto, where that is there. */
export async function sha256Async(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  return subtle ? hexadecimal(new Uint8Array(await subtle.digest('SHA-256', bytes)), 2) : sha256(bytes);
}

const hexadecimal = (numbers: ArrayLike<number>, digits: number): string =>
  Array.from(numbers, (number) => (number >>> 0).toString(16).padStart(digits, '0')).join('');

const rotate = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

/** Words of the block that is mixed in. */
const w = new Int32Array(BLOCK);

/** Mixes the block at `at` into `state`. */
function compress(state: Int32Array, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    const p = at + 4 * i;
    w[i] = (bytes[p]! << 24) | (bytes[p + 1]! << 16) | (bytes[p + 2]! << 8) | bytes[p + 3]!;
  }
  for (let i = 16; i < BLOCK; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let i = 0; i < BLOCK; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const choice = (e & f) ^ (~e & g);
    const t1 = (h + s1 + choice + K[i]! + w[i]!) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const t2 = (s0 + majority) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
  state[5]! += f;
  state[6]! += g;
  state[7]! += h;
}
