/*
 * Convolutions of bits by tables ("Four Russians"): where processors cannot count bits in vectors, four times as fast as counting;
 * choose.c decides for each layer. Written once, in the compiler's own vectors of VECTOR_BYTES.
 *
 * The mismatches of five input channels with each of the 32 possible weight patterns are put in a table once per tile of
 * positions, and every output channel then adds table entries instead of counting: three loads and six operations for 15
 * products at each position of two vectors. Two positions share a byte: one in the low nibble, one, half a tile on, in the high
 * nibble. Entries are at most 5, so three can be added before nibbles overflow, and 51 before bytes do.
 *
 * Where a row of the map fits half a tile, positions are those of the map, and the sums of each kernel column are added up apart and moved
 * to their places at the end: so loads are of whole rows, few or none of which reach over the end of a cache line, and entries are half
 * as long as with padding. On AVX2 that takes a fifth off the paper's network (Zen 3: 0.93 to 0.77 ms).
 * Positions outside the image count no mismatch: an engine's sums start with half of the channels of their taps (build-lookup.c).
 */
#include "layers.h"
#include <string.h>
#ifdef __BMI__
#include <immintrin.h>
#endif

typedef uint8_t Bytes __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t Shorts __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t Words64 __attribute__((vector_size(VECTOR_BYTES)));
typedef Bytes LooseBytes __attribute__((aligned(1), may_alias));
/* Nothing is looked up for both vectors of a tile. */
_Static_assert(LOOKUP_NOTHING >= 2 * VECTOR_BYTES, "room of the entry of nothing");

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
    uint8_t *to = space->planes + g * layer->group_stride, *plane = layer->apart == 1 ? to : space->line;
    const Bytes low_mask = all_bytes(mask & 0xff >> shift), rest_mask = all_bytes(high_mask);
    for (size_t at = 0; at < positions; at += VECTOR_BYTES) {
      const Bytes own = (Bytes)((Shorts)load_bytes(low + at) >> shift) & low_mask;
      const Bytes rest = (Bytes)((Shorts)load_bytes(high + at) << (8 - shift)) & rest_mask;
      store_bytes(plane + at, own | rest);
    }
    if (layer->apart == 1) continue;
    const uint8_t *from = plane + layer->centre, *inside = layer->inside;
    for (int y = 0; y < layer->rows; y++, from += layer->columns, to += layer->pitch, inside += layer->pitch)
      for (int x = 0; x < layer->pitch; x += VECTOR_BYTES)
        /* What a vector carries behind the end of its row, the next row overwrites. */
        store_bytes(to + x, load_bytes(from + x) & ((Bytes){0} - load_bytes(inside + x)));
  }
}

/*
 * A table of 32 entries, `stride` apart, for the positions of one vector in low nibbles and of one in high ones. `inside`: 1 in
 * each nibble whose position is inside the image; the bits of the others are 0.
 */
INLINE void NAME(fill_table)(uint8_t *table, size_t stride, Bytes low, Bytes high, Bytes inside) {
  Bytes step[GROUP], sum = {0};
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
  const uint8_t *bits = planes + first * layer->group_stride + start, *inside = layer->inside + start;
  for (int g = 0; g < groups; g++, bits += layer->group_stride, tables += PATTERNS * layer->entry_bytes)
    for (int at = 0; at < layer->entry_bytes; at += VECTOR_BYTES)
      NAME(fill_table)(tables + at, layer->entry_bytes, load_bytes(bits + at), load_bytes(bits + half + at),
                       load_bytes(inside + at) | (Bytes)((Shorts)load_bytes(inside + half + at) << 4));
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
  at[0] = index[0];
  at[1] = index[1];
  at[2] = index[2];
#endif
}

/* Each byte of a tile's half: all of it, and its high nibble. The low one is what is left, modulo 256. */
typedef struct {
  Bytes all[2], high[2];
} NibbleSums;

/* Sums of three entries for each of the vectors. */
INLINE void NAME(take_three)(const uint16_t *index, const uint8_t *tables, int vectors, Bytes three[2]) {
  size_t at[3];
  take_indices(index, at);
#pragma GCC unroll 2
  for (int v = 0; v < vectors; v++) {
    const uint8_t *own = tables + v * VECTOR_BYTES;
    three[v] = load_bytes(own + at[0]) + load_bytes(own + at[1]) + load_bytes(own + at[2]);
  }
}

#ifdef add_high
INLINE void NAME(add_threes)(const uint16_t *index, int threes, const uint8_t *tables, NibbleSums *sums, int vectors) {
#pragma GCC unroll 5
  for (int i = 0; i < threes; i++) {
    Bytes three[2];
    NAME(take_three)(index + 3 * i, tables, vectors, three);
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      sums->all[v] += three[v];
      sums->high[v] = add_high(sums->high[v], three[v]);
    }
  }
}
#else
/* An average of high nibbles is exact, and one operation: so those of four threes are shifted at once. */
INLINE void NAME(add_threes)(const uint16_t *index, int threes, const uint8_t *tables, NibbleSums *sums, int vectors) {
  const Bytes mask = all_bytes(0xf0);
  Bytes three[4][2];
  for (; threes >= 4; threes -= 4, index += 12) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      NAME(take_three)(index + 3 * i, tables, vectors, three[i]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) {
        sums->all[v] += three[i][v];
        three[i][v] &= mask;
        if (i % 2) three[i][v] = average(three[i - 1][v], three[i][v]);
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) sums->high[v] += (Bytes)((Shorts)average(three[1][v], three[3][v]) >> 2);
  }
  for (; threes > 0; threes--, index += 3) {
    NAME(take_three)(index, tables, vectors, three[0]);
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      sums->all[v] += three[0][v];
      sums->high[v] += (Bytes)((Shorts)(three[0][v] & mask) >> 4);
    }
  }
}
#endif

/* Of vectors of 16 bytes no half is a row: rows of eight are shifted as words. */
#ifndef half_lanes_up
#define half_lanes_up(own) (own)
#define half_lanes_down(own) (own)
#endif

/* Each lane becomes its neighbour's before it, or behind it, in rows of `row` lanes; 0 at their ends. */
INLINE void NAME(move)(Bytes *lanes, int vectors, int row, int is_up) {
  const Bytes none = {0};
  if (row > VECTOR_BYTES) {
    const Bytes first = lanes[0], second = lanes[1];
    lanes[0] = is_up ? lanes_up(none, first) : lanes_down(first, second);
    lanes[1] = is_up ? lanes_up(first, second) : lanes_down(second, none);
    return;
  }
#pragma GCC unroll 2
  for (int v = 0; v < vectors; v++)
    if (row == 8) lanes[v] = is_up ? (Bytes)((Words64)lanes[v] << 8) : (Bytes)((Words64)lanes[v] >> 8);
    else if (row == VECTOR_BYTES) lanes[v] = is_up ? lanes_up(none, lanes[v]) : lanes_down(lanes[v], none);
    else lanes[v] = is_up ? half_lanes_up(lanes[v]) : half_lanes_down(lanes[v]);
}

/*
 * The sums of one output `from` before a pass, and its entries: of the kernel's columns up to the centre, moved on from column to
 * column, and of those behind it, from the last one back.
 */
INLINE void NAME(add_output)(const uint16_t *index, int threes, int apart, int centre, int row, const uint8_t *tables,
                             const Shorts *from, Shorts *to, int vectors) {
  NibbleSums sums = {0};
  for (int column = 0;; column++, index += 3 * threes) {
    NAME(add_threes)(index, threes, tables, &sums, vectors);
    if (column == centre) break;
    NAME(move)(sums.all, vectors, row, 1);
    NAME(move)(sums.high, vectors, row, 1);
  }
  if (centre + 1 < apart) {
    NibbleSums behind = {0};
    for (int column = centre + 1; column < apart; column++) {
      index += 3 * threes;
      NAME(add_threes)(index, threes, tables, &behind, vectors);
      NAME(move)(behind.all, vectors, row, 0);
      NAME(move)(behind.high, vectors, row, 0);
    }
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      sums.all[v] += behind.all[v];
      sums.high[v] += behind.high[v];
    }
  }
#pragma GCC unroll 2
  for (int v = 0; v < vectors; v++) {
    const Shorts high = (Shorts)sums.high[v], low = (Shorts)(sums.all[v] - ((Bytes)(high << 4) & all_bytes(0xf0)));
    to[4 * v] = from[4 * v] + (low & 0xff);
    to[4 * v + 1] = from[4 * v + 1] + (low >> 8);
    to[4 * v + 2] = from[4 * v + 2] + (high & 0xff);
    to[4 * v + 3] = from[4 * v + 3] + (high >> 8);
  }
}

/* A pass over a tile: `lookups` of each output, and column where they are apart. `starts`: where the first pass begins; null in others. */
typedef struct {
  const uint16_t *index;
  int lookups;
  const uint8_t *tables;
  const Shorts *const *starts;
  Shorts *sums;
} TilePass;

INLINE void NAME(add_outputs)(const LookupLayer *layer, const TilePass *pass, int threes, int apart, int centre, int row, int vectors) {
  const uint16_t *index = pass->index;
  Shorts *sums = pass->sums;
  for (int o = 0; o < layer->outputs; o++, index += 3 * apart * threes, sums += 4 * vectors)
    NAME(add_output)(index, threes, apart, centre, row, pass->tables, pass->starts ? pass->starts[layer->start_of[o]] : sums, sums, vectors);
}

/* The usual kernels are known when this is compiled: 3x3, with four or five groups at once. */
INLINE void NAME(add_pass)(const LookupLayer *layer, const TilePass *pass, int vectors) {
  const int all_threes = pass->lookups / 3, is_usual = layer->apart == 3 && layer->centre == 1;
#define USUAL(row, threes) case row + threes: NAME(add_outputs)(layer, pass, threes, 3, 1, row, vectors); break;
  switch (is_usual ? layer->pitch + all_threes : 0) {
    USUAL(8, 4) USUAL(8, 5) USUAL(16, 4) USUAL(16, 5) USUAL(32, 4) USUAL(32, 5)
    default: NAME(add_outputs)(layer, pass, all_threes, layer->apart, layer->centre, layer->pitch, vectors);
  }
#undef USUAL
}

#define ONCE static __attribute__((noinline)) void
ONCE NAME(add_to_one)(const LookupLayer *layer, const TilePass *pass) { NAME(add_pass)(layer, pass, 1); }
ONCE NAME(add_to_two)(const LookupLayer *layer, const TilePass *pass) { NAME(add_pass)(layer, pass, 2); }

/* All ones where a sum is below its limit, as bytes: the even positions and the odd ones. */
static inline Bytes below(const Shorts *sums, Shorts limit) {
  const Shorts even = (Shorts)(sums[0] < limit), odd = (Shorts)(sums[1] < limit);
  return (Bytes)((even & 0xff) | (odd & 0xff00));
}

/* Bits of a tile of positions, from its sums, to where they belong. */
INLINE void NAME(give_bits)(const LookupLayer *layer, const Shorts *sums, const int32_t *to, uint32_t *out, int vectors) {
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

/* All that a tile's positions look up, added to its `starts`. */
INLINE void NAME(add_tile)(const LookupLayer *layer, LookupSpace *space, size_t start, const Shorts *const starts[2], int vectors) {
  TilePass pass = {layer->indices, 0, space->tables, starts, space->sums};
  for (int p = 0; p < layer->passes; p++) {
    const LookupPass *own = layer->pass + p;
    NAME(fill_tables)(layer, space->planes, own->first, own->groups, start, space->tables + LOOKUP_NOTHING);
    pass.lookups = own->lookups;
    if (vectors == 1) NAME(add_to_one)(layer, &pass);
    else NAME(add_to_two)(layer, &pass);
    pass.index += (size_t)own->lookups * layer->apart * layer->outputs;
    pass.starts = 0;
  }
}

INLINE void NAME(lookup_tiles)(const LookupLayer *layer, LookupSpace *space, uint32_t *out, int vectors) {
  for (int t = 0; t < layer->tiles; t++) {
    const size_t start = (size_t)t * layer->tile;
    const uint16_t *own = layer->starts + start, *other = own + (size_t)layer->tiles * layer->tile;
    const Shorts *const starts[2] = {(const Shorts *)own, (const Shorts *)other};
    NAME(add_tile)(layer, space, start, starts, vectors);
    NAME(give_bits)(layer, space->sums, layer->to + start, out, vectors);
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

INLINE void NAME(count_tiles)(const LookupLayer *layer, LookupSpace *space, uint16_t *out, int vectors) {
  static const Shorts zeros[8];
  const Shorts *const starts[2] = {zeros, zeros};
  Shorts *sums = (Shorts *)space->sums;
  const size_t tile_shorts = 4 * (size_t)vectors, positions = (size_t)layer->tiles * layer->tile;
  memset(sums + layer->outputs * tile_shorts, 0, (layer->blocks * BLOCK - layer->outputs) * tile_shorts * sizeof *sums);
  for (int t = 0; t < layer->tiles; t++) {
    const size_t start = (size_t)t * layer->tile;
    NAME(add_tile)(layer, space, start, starts, vectors);
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
