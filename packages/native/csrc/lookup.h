/*
 * Convolutions of bits by tables ("Four Russians"), for processors that cannot count bits in vectors: twice to four times as
 * fast there as counting. Written once, in the compiler's own vectors of VECTOR_BYTES.
 *
 * The mismatches of five input channels with each of the 32 possible weight patterns are put in a table once per tile of
 * positions, and every output channel then adds table entries instead of counting: three loads and six operations for 15
 * products at each position of a vector and a half. Two positions share a byte: one in the low nibble, one, half a tile on, in
 * the high nibble. Entries are at most 5, so three can be added before the nibbles are parted, and 45 before bytes are.
 *
 * A position outside the image counts floor(channels / 2) mismatches, so that n - 2 * mismatches is the sum of what is inside,
 * n being the fan-in; where the channels are odd, that is one too few for each tap outside, and sums start with the rest.
 */
#include "layers.h"
#include <string.h>

typedef uint8_t Bytes __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t Shorts __attribute__((vector_size(VECTOR_BYTES)));
typedef Bytes LooseBytes __attribute__((aligned(1), may_alias));

static inline Bytes load_bytes(const uint8_t *from) { return *(const LooseBytes *)from; }
static inline Bytes all_bytes(int value) { return (Bytes){0} + (uint8_t)value; }

static inline void store_bytes(uint8_t *to, Bytes bytes) { *(LooseBytes *)to = bytes; }

/* Eight rows of eight bytes, transposed. */
static inline void transpose_bytes(uint64_t x[8]) {
  static const uint64_t masks[3] = {0x00000000ffffffffull, 0x0000ffff0000ffffull, 0x00ff00ff00ff00ffull};
#pragma GCC unroll 3
  for (int step = 0; step < 3; step++)
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
      const int distance = 4 >> step;
      if (i & distance) continue;
      const uint64_t low = x[i], high = x[i + distance];
      x[i] = (low & masks[step]) | (high & masks[step]) << (8 * distance);
      x[i + distance] = (low >> (8 * distance) & masks[step]) | (high & ~masks[step]);
    }
}

/*
 * The input's bits, in planes of a byte per position and group of five channels: first planes of eight channels, which are the
 * bytes of the words, transposed; five neighbouring bits of those are then a shift for whole vectors.
 */
static void NAME(fill_planes)(const LookupLayer *layer, const uint64_t *in, LookupSpace *space) {
  const size_t positions = (size_t)layer->rows * layer->columns, words = (size_t)layer->words;
  const size_t stride = layer->byte_stride;
  for (size_t word = 0; word < words; word++)
    for (size_t position = 0; position < positions; position += 8) {
      uint64_t bytes[8];
      for (int i = 0; i < 8; i++) bytes[i] = position + i < positions ? in[(position + i) * words + word] : 0;
      transpose_bytes(bytes);
      uint8_t *to = space->bytes + word * 8 * stride + position;
      for (int i = 0; i < 8; i++) memcpy(to + i * stride, bytes + i, 8);
    }
  for (int g = 0; g < layer->groups; g++) {
    const int shift = g * GROUP % 8;
    const uint8_t *low = space->bytes + g * GROUP / 8 * stride;
    /* A group that ends in its byte, or in the last one, takes nothing of the next. */
    const int is_split = shift > 8 - GROUP && (size_t)g * GROUP / 8 + 1 < words * 8;
    const uint8_t *high = is_split ? low + stride : low;
    const uint8_t mask = (1 << GROUP) - 1, high_mask = (uint8_t)(is_split ? mask & mask << (8 - shift) : 0);
    uint8_t *plane = layer->copies == 1 ? space->planes + g * layer->group_stride : space->line;
    const Bytes low_mask = all_bytes(mask & 0xff >> shift), rest_mask = all_bytes(high_mask);
    for (size_t at = 0; at < positions; at += VECTOR_BYTES) {
      const Bytes own = (Bytes)((Shorts)load_bytes(low + at) >> shift) & low_mask;
      const Bytes rest = (Bytes)((Shorts)load_bytes(high + at) << (8 - shift)) & rest_mask;
      store_bytes(plane + at, own | rest);
    }
    if (layer->copies == 1) continue;
    for (int copy = 0; copy < layer->copies; copy++) {
      uint8_t *to = space->planes + g * layer->group_stride + copy * layer->copy_stride;
      const uint8_t *from = plane + copy;
      const size_t columns = (size_t)layer->columns, pitch = (size_t)layer->pitch;
      for (int y = 0; y < layer->rows; y++, to += pitch, from += columns) {
        /* What a vector carries behind the end of its row, the next row overwrites. */
        if (pitch <= VECTOR_BYTES && y + 1 < layer->rows) store_bytes(to, load_bytes(from));
        else memcpy(to, from, pitch);
      }
    }
  }
}

/*
 * A table of 32 entries, `stride` apart, for the positions of one vector in low nibbles and of one in high ones. `inside`: 1 in
 * each nibble whose position is inside the image; the bits of the others are 0.
 */
static inline __attribute__((always_inline)) void NAME(fill_table)(uint8_t *table, size_t stride, Bytes low, Bytes high,
                                                                   Bytes inside, int neutral) {
  const Bytes outside = all_bytes(0x11) - inside;
  Bytes sum = (outside & all_bytes(neutral & 1 ? 0xff : 0)) + ((outside + outside) & all_bytes(neutral & 2 ? 0xff : 0));
  Bytes step[GROUP];
#pragma GCC unroll 8
  for (int j = 0; j < GROUP; j++) {
    const Shorts moved = j < 4 ? (Shorts)high << (4 - j) : (Shorts)high;
    const Bytes ones = ((Bytes)((Shorts)low >> j) & all_bytes(0x01)) | ((Bytes)moved & all_bytes(0x10));
    sum += ones;
    /* Setting bit j of the pattern adds a mismatch where the bit is 0, and takes one away where it is 1. */
    step[j] = inside - ones - ones;
  }
  /* In Gray code: one step each. */
  int pattern = 0;
#pragma GCC unroll 32
  for (int i = 0; i < PATTERNS; i++) {
    if (i > 0) {
      const int j = __builtin_ctz((unsigned)i);
      pattern ^= 1 << j;
      sum = pattern >> j & 1 ? sum + step[j] : sum - step[j];
    }
    store_bytes(table + pattern * stride, sum);
  }
}

static void NAME(fill_tables)(const LookupLayer *layer, const uint8_t *planes, int first, int groups, size_t start,
                              uint8_t *tables) {
  const int half = layer->tile / 2;
  for (int g = first; g < first + groups; g++)
    for (int copy = 0; copy < layer->copies; copy++)
      for (int at = 0; at < layer->reach; at += VECTOR_BYTES) {
        const uint8_t *bits = planes + g * layer->group_stride + copy * layer->copy_stride + start + at;
        const uint8_t *inside = layer->inside + copy * layer->copy_stride + start + at;
        NAME(fill_table)(tables + (size_t)(g - first) * PATTERNS * layer->entry_bytes + copy * layer->reach + at,
                         layer->entry_bytes, load_bytes(bits), load_bytes(bits + half),
                         load_bytes(inside) | (Bytes)((Shorts)load_bytes(inside + half) << 4), layer->neutral[g]);
      }
}

/*
 * Three indices, from a single load where the processor takes bits out in one operation (BMI1): the loop waits for its loads, and is
 * 9 % faster on Zen 4. By shifts it would be slower than by three loads.
 */
static inline void take_indices(const uint16_t *index, size_t at[3]) {
#ifdef __BMI__
  uint64_t all;
  memcpy(&all, index, sizeof all);
  at[0] = (uint16_t)all;
  at[1] = _bextr_u64(all, 16, 16);
  at[2] = _bextr_u64(all, 32, 16);
#else
  for (int i = 0; i < 3; i++) at[i] = index[i];
#endif
}

/* Adds `count` entries (a multiple of 3, at most LOOKUPS) to the sums of some outputs; `vectors` of bytes a tile. */
static inline __attribute__((always_inline)) void NAME(add_some)(const uint16_t *index, int count, const uint8_t *tables, Shorts *sums,
                                                                 int vectors, int outputs) {
  Bytes low[2] = {{0}, {0}};
  Shorts wide[2] = {{0}, {0}};
  const uint16_t *stop = index + count;
  do {
#pragma GCC unroll 2
    for (int o = 0; o < outputs; o++) {
      size_t at[3];
      take_indices(index + o * count, at);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) {
        const uint8_t *own = tables + v * VECTOR_BYTES;
        const Bytes three = load_bytes(own + at[0]) + load_bytes(own + at[1]) + load_bytes(own + at[2]);
        low[o + v] += three & all_bytes(15);
        wide[o + v] += (Shorts)three >> 4;
      }
    }
    index += 3;
  } while (index != stop);
#pragma GCC unroll 2
  for (int i = 0; i < outputs * vectors; i++) {
    /* wide = high of the even byte + 16 * (low of the odd one) + 256 * (high of the odd one). */
    const Shorts l = (Shorts)low[i], h = wide[i] - (l >> 4 & 0x0ff0);
    sums[4 * i] += l & 0xff;
    sums[4 * i + 1] += l >> 8;
    sums[4 * i + 2] += h & 0xff;
    sums[4 * i + 3] += h >> 8;
  }
}

/* To those of every output: of two at a time where a tile is one vector, or the loop, of few turns, would depend on where its code lies. */
static inline __attribute__((always_inline)) void NAME(add_entries)(const uint16_t *index, int count, int outputs,
                                                                    const uint8_t *tables, Shorts *sums, int vectors) {
  int o = 0;
  for (; vectors == 1 && o + 2 <= outputs; o += 2, index += 2 * count, sums += 8) NAME(add_some)(index, count, tables, sums, 1, 2);
  for (; o < outputs; o++, index += count, sums += 4 * vectors) NAME(add_some)(index, count, tables, sums, vectors, 1);
}

/* All ones where a sum is below its limit, as bytes: the even positions and the odd ones. */
static inline Bytes below(const Shorts *sums, Shorts limit) {
  const Shorts even = (Shorts)(sums[0] < limit), odd = (Shorts)(sums[1] < limit);
  return (Bytes)((even & 0xff) | (odd & 0xff00));
}

/* Bits of a tile of positions, from its sums, to where they belong. */
static inline __attribute__((always_inline)) void NAME(give_bits)(const LookupLayer *layer, const Shorts *sums,
                                                                  const int32_t *to, uint32_t *out, int vectors) {
  const int tile = layer->tile, half = tile / 2;
  for (int block = 0; block < layer->blocks; block++) {
    uint8_t bytes[BLOCK / 8][4 * VECTOR_BYTES];
    for (int byte = 0; byte < BLOCK / 8; byte++) {
      Bytes low[2] = {{0}, {0}}, high[2] = {{0}, {0}};
      for (int j = 0; j < 8; j++) {
        const int o = block * BLOCK + byte * 8 + j;
        if (o >= layer->outputs) break;
        const Shorts limit = (Shorts){0} + layer->limits[o];
        const Shorts *own = sums + (size_t)o * 4 * vectors;
        for (int v = 0; v < vectors; v++) {
          low[v] |= below(own + 4 * v, limit) & all_bytes(1 << j);
          high[v] |= below(own + 4 * v + 2, limit) & all_bytes(1 << j);
        }
      }
      for (int v = 0; v < vectors; v++) {
        store_bytes(bytes[byte] + v * VECTOR_BYTES, low[v]);
        store_bytes(bytes[byte] + half + v * VECTOR_BYTES, high[v]);
      }
    }
    for (int i = 0; i < tile; i++)
      if (to[i] >= 0)
        out[to[i] + block] = bytes[0][i] | (uint32_t)bytes[1][i] << 8 | (uint32_t)bytes[2][i] << 16 |
                             (uint32_t)bytes[3][i] << 24;
  }
}

/* Adds all that a tile's positions look up to its sums. */
static inline __attribute__((always_inline)) void NAME(add_tile)(const LookupLayer *layer, LookupSpace *space, size_t start,
                                                                 Shorts *sums, int vectors) {
  const uint16_t *index = layer->indices;
  for (int p = 0; p < layer->passes; p++) {
    const LookupPass *pass = layer->pass + p;
    NAME(fill_tables)(layer, space->planes, pass->first, pass->groups, start, space->tables + LOOKUP_NOTHING);
    for (int begin = 0; begin < pass->lookups; begin += LOOKUPS) {
      const int count = pass->lookups - begin < LOOKUPS ? pass->lookups - begin : LOOKUPS;
      NAME(add_entries)(index, count, layer->outputs, space->tables, sums, vectors);
      index += (size_t)count * layer->outputs;
    }
  }
}

static inline __attribute__((always_inline)) void NAME(lookup_tiles)(const LookupLayer *layer, LookupSpace *space,
                                                                     uint32_t *out, int vectors) {
  Shorts *sums = (Shorts *)space->sums;
  const size_t tile_shorts = 4 * (size_t)vectors;
  const size_t positions = (size_t)layer->tiles * layer->tile;
  for (int t = 0; t < layer->tiles; t++) {
    const size_t start = (size_t)t * layer->tile;
    for (int o = 0; o < layer->outputs; o++)
      memcpy(sums + o * tile_shorts, layer->starts + (layer->start_of[o] ? positions : 0) + start,
             tile_shorts * sizeof(Shorts));
    NAME(add_tile)(layer, space, start, sums, vectors);
    NAME(give_bits)(layer, sums, layer->to + start, out, vectors);
  }
}

static void NAME(lookups)(const LookupLayer *layer, const uint64_t *in, LookupSpace *space, uint32_t *out) {
  NAME(fill_planes)(layer, in, space);
  if (layer->tile == 4 * VECTOR_BYTES) NAME(lookup_tiles)(layer, space, out, 2);
  else NAME(lookup_tiles)(layer, space, out, 1);
}

/* Sums of four outputs at the positions of a vector, `apart` vectors from output to output, to four neighbours at each position. */
static inline void NAME(give_four)(const Shorts *sums, size_t apart, uint16_t *out) {
  typedef uint32_t Words32 __attribute__((vector_size(VECTOR_BYTES)));
  typedef uint64_t Words64 __attribute__((vector_size(VECTOR_BYTES)));
  enum { LOW16 = 0xffff };
  const uint64_t low32 = 0xffffffff;
  Words64 pairs[2][2];
  for (int i = 0; i < 2; i++) {
    const Words32 a = (Words32)sums[2 * i * apart], b = (Words32)sums[(2 * i + 1) * apart];
    pairs[i][0] = (Words64)((a & LOW16) | b << 16);
    pairs[i][1] = (Words64)(a >> 16 | (b & ~(uint32_t)LOW16));
  }
  /* The positions of a vector are every second one of twice as many: this one takes 0, 2, 4 ... of those. */
  for (int odd = 0; odd < 2; odd++) {
    const Words64 four[2] = {(pairs[0][odd] & low32) | pairs[1][odd] << 32, pairs[0][odd] >> 32 | (pairs[1][odd] & ~low32)};
    for (int high = 0; high < 2; high++)
      for (int i = 0; i < VECTOR_BYTES / 8; i++) {
        const uint64_t own = four[high][i];
        memcpy(out + (size_t)2 * BLOCK * (4 * i + 2 * high + odd), &own, sizeof own);
      }
  }
}

static inline __attribute__((always_inline)) void NAME(count_tiles)(const LookupLayer *layer, LookupSpace *space, uint16_t *out,
                                                                    int vectors) {
  Shorts *sums = (Shorts *)space->sums;
  const size_t tile_shorts = 4 * (size_t)vectors, positions = (size_t)layer->tiles * layer->tile;
  for (int t = 0; t < layer->tiles; t++) {
    const size_t start = (size_t)t * layer->tile;
    memset(sums, 0, layer->blocks * BLOCK * tile_shorts * sizeof *sums);
    NAME(add_tile)(layer, space, start, sums, vectors);
    for (int o = 0; o < layer->blocks * BLOCK; o += 4) {
      uint16_t *to = out + ((size_t)(o / BLOCK) * positions + start) * BLOCK + o % BLOCK;
      for (int i = 0; i < 4 * vectors; i++) {
        /* Even and odd bytes of low nibbles, then of high ones; place_of_sum in build-lookup.c. */
        const size_t position = (i % 4 >= 2 ? layer->tile / 2 : 0) + i / 4 * VECTOR_BYTES + i % 2;
        NAME(give_four)(sums + o * tile_shorts + i, tile_shorts, to + position * BLOCK);
      }
    }
  }
}

static void NAME(lookup_counts)(const LookupLayer *layer, const uint64_t *in, LookupSpace *space, uint16_t *out) {
  NAME(fill_planes)(layer, in, space);
  if (layer->tile == 4 * VECTOR_BYTES) NAME(count_tiles)(layer, space, out, 2);
  else NAME(count_tiles)(layer, space, out, 1);
}
