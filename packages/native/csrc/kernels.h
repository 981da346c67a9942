/*
 * The kernels, written once. A file that includes this has chosen its instruction set by defining
 *
 *   NAME(x)                      the name of function x for this instruction set
 *   Words                        a vector of LANES uint64, one per output channel
 *   Counts, WIDTH, WIDTH_ALONE   what counts mismatches; so many vectors of them per place are kept in registers, of TILE places and of one
 *   count(counts, word, weights) counts + mismatches of `word`, in all lanes, with the weights at an address
 *   Words, count_words           the same with both in registers of this type
 *   KEEP                         constraint of such a register in an asm statement
 *   MOST_STEPS                   steps that counts can take before they may overflow
 *   spill(counts, to)            adds counts to LANES int64
 *   at_most(counts, limits)      a bit per lane: counts <= limits (signed)
 *   VECTOR_BYTES                 of a register
 *   LOOKS_UP                     only where looking up (lookup.h) can be faster than counting; what it needs besides is in kernels-avx2.c, or kernels-neon.c
 *   PERMUTES                     only where there is a `permuted`: of first layers by permutations
 *   mask16(sums, limits), mask32 a bit per lane of BLOCK: sum >= threshold
 *
 * The output channels are the lanes: no sums across a register, and a comparison gives the bits of 32 channels as they are
 * stored. TILE places share each load of weights.
 */
#include "layers.h"
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#ifdef PERMUTES
#define PERMUTES_HERE NAME(permuted)
#else
#define PERMUTES_HERE 0
#endif

#ifdef LOOKS_UP
#include "lookup.h"
#define LOOKUP_BYTES VECTOR_BYTES
#define LOOKUPS_HERE NAME(lookups), NAME(lookup_counts)
#else
#define LOOKUP_BYTES 0
#define LOOKUPS_HERE 0, 0
#endif

/* With a trip count known before inlining, or Clang does not unroll it. */
#define EACH_PLACE for (int i = 0; i < TILE; i++) if (i < n)

/*
 * `width` * LANES channels at `n` places. Rows and runs are never empty, so the loops test at their ends: tested before, the
 * counts would have to be in one place for both ways and leave their registers.
 */
INLINE void NAME(tile)(const BitLayer *layer, const uint64_t *weights, int n, int width, const uint64_t *const from[TILE],
                       const int64_t *const limits[TILE], uint32_t bits[TILE], int64_t *mismatches) {
  const size_t run = (size_t)layer->run, row_stride = (size_t)layer->row_stride;
#ifdef MOST_STEPS
  int64_t totals[TILE][WIDTH_ALONE * LANES];
  memset(totals, 0, sizeof totals);
#endif
  Counts counts[TILE][WIDTH_ALONE];
#pragma GCC unroll 8
  EACH_PLACE
#pragma GCC unroll 8
    for (int q = 0; q < width; q++) counts[i][q] = ZERO;
  const size_t end = row_stride * layer->rows;
  size_t row = 0;
  do {
    size_t k = row;
    const size_t row_end = row + run;
#ifdef MOST_STEPS
    do {
      const size_t stop = row_end - k > MOST_STEPS ? k + MOST_STEPS : row_end;
#else
      const size_t stop = row_end;
#endif
      do {
#pragma GCC unroll 8
        EACH_PLACE
#pragma GCC unroll 8
          for (int q = 0; q < width; q++) counts[i][q] = count(counts[i][q], from[i][k], weights + q * LANES);
        weights += BLOCK;
      } while (++k != stop);
#ifdef MOST_STEPS
      EACH_PLACE
        for (int q = 0; q < width; q++) {
          spill(counts[i][q], totals[i] + q * LANES);
          counts[i][q] = ZERO;
        }
    } while (k != row_end);
#endif
    row += row_stride;
  } while (row != end);
#pragma GCC unroll 8
  EACH_PLACE {
    uint32_t mask = 0;
#pragma GCC unroll 8
    for (int q = 0; q < width; q++) {
#ifdef MOST_STEPS
      const int64_t *total = totals[i] + q * LANES;
      if (mismatches) memcpy(mismatches + i * BLOCK + q * LANES, total, LANES * sizeof *total);
      else
        for (int lane = 0; lane < LANES; lane++)
          mask |= (uint32_t)(total[lane] <= limits[i][q * LANES + lane]) << (q * LANES + lane);
#else
      if (mismatches) store(mismatches + i * BLOCK + q * LANES, counts[i][q]);
      else mask |= (uint32_t)at_most(counts[i][q], limits[i] + q * LANES) << (q * LANES);
#endif
    }
    bits[i] = mask;
  }
}

/* Bits where `mismatches` is null, else mismatches. `n` is 1 or TILE. */
INLINE void NAME(layer)(const BitLayer *layer, const Place *places, int count_, const uint64_t *in, uint32_t *out,
                        int32_t *mismatches, int n) {
  const int width = n == 1 ? WIDTH_ALONE : WIDTH;
  const size_t steps = (size_t)layer->rows * layer->run;
  for (int block = 0; block < layer->blocks; block++)
    for (int p = 0; p < count_; p += n) {
      const Place *place[TILE];
      const uint64_t *from[TILE];
      const int64_t *limits[TILE];
      uint32_t bits[TILE], all[TILE] = {0};
      int64_t counts[TILE * BLOCK];
      for (int i = 0; i < n; i++) {
        /* Behind the last place it is computed again. */
        place[i] = places + (p + i < count_ ? p + i : count_ - 1);
        from[i] = in + place[i]->from;
        limits[i] = layer->limits + ((size_t)place[i]->kind * layer->blocks + block) * BLOCK;
      }
      for (int lane = 0; lane < BLOCK; lane += width * LANES) {
        const int64_t *part[TILE];
        for (int i = 0; i < n; i++) part[i] = limits[i] + lane;
        NAME(tile)(layer, layer->weights + block * steps * BLOCK + lane, n, width, from, part, bits,
                   mismatches ? counts + lane : 0);
        for (int i = 0; i < n; i++) all[i] |= bits[i] << (lane & (BLOCK - 1));
      }
      if (mismatches)
        for (int i = 0; i < n; i++)
          for (int o = 0; o < BLOCK; o++)
            mismatches[((size_t)place[i]->to + block) * BLOCK + o] = (int32_t)counts[i * BLOCK + o];
      else if (n == TILE && layer->pools) out[place[0]->to + block] = all[0] | all[1] | all[2] | all[3];
      else
        for (int i = 0; i < n; i++) out[place[i]->to + block] = all[i];
    }
}

static void NAME(bits)(const BitLayer *layer, const Place *places, int count_, const uint64_t *in, uint32_t *out) {
  if (count_ == 1) NAME(layer)(layer, places, count_, in, out, 0, 1);
  else NAME(layer)(layer, places, count_, in, out, 0, TILE);
}

static void NAME(mismatches)(const BitLayer *layer, const Place *places, int count_, const uint64_t *in,
                             int32_t *out) {
  NAME(layer)(layer, places, count_, in, 0, out, 1);
}

/* For training: mismatches of one block, of `count_` places, a multiple of TILE. */
static void NAME(counts)(const BitLayer *layer, int block, const uint32_t *from, int count_, const uint64_t *in, int32_t *out) {
  const size_t steps = (size_t)layer->rows * layer->run;
  for (int p = 0; p < count_; p += TILE, out += TILE * BLOCK) {
    const uint64_t *place[TILE];
    uint32_t none[TILE];
    int64_t counts[TILE * BLOCK];
    for (int i = 0; i < TILE; i++) place[i] = in + from[p + i];
    for (int lane = 0; lane < BLOCK; lane += WIDTH * LANES)
      NAME(tile)(layer, layer->weights + block * steps * BLOCK + lane, TILE, WIDTH, place, 0, none, counts + lane);
    for (int i = 0; i < TILE * BLOCK; i++) out[i] = (int32_t)counts[i];
  }
}

/* out[pixel * out_pitch + block]: sum >= threshold, or its opposite where `inverted`. */
#define ACTIVATIONS(name, Number, mask)                                                                        \
  static void NAME(name)(const void *from, int pixels, int blocks, const void *limits, const uint32_t *inverted, \
                         uint32_t *out, size_t out_pitch) {                                                    \
    const Number *sums = from, *thresholds = limits;                                                           \
    for (int pixel = 0; pixel < pixels; pixel++, out += out_pitch)                                             \
      for (int block = 0; block < blocks; block++, sums += BLOCK)                                              \
        out[block] = mask(sums, thresholds + block * BLOCK) ^ inverted[block];                                 \
  }
ACTIVATIONS(activate16, int16_t, mask16)
ACTIVATIONS(activate32, int32_t, mask32)

/*
 * TABLE_TILE places at a time keep their sums in registers, eight of them (16 for int32). Two offsets `together` are one load, as the
 * loop waits for its loads: 6 % faster on Zen 3. Passing all places through a few kernel rows at a time, whose tables stay in the first-level
 * cache, was slower: sums go to memory and back.
 */
enum { TABLE_TILE = 8 * VECTOR_BYTES / 64 };

#define TABLES(name, Number, mask)                                                                             \
  INLINE void NAME(name##_tile)(const TableLayer *layer, int block, const Place *const place[TABLE_TILE],      \
                                const uint16_t *in, uint32_t *out, int together) {                             \
    typedef Number Vector __attribute__((vector_size(VECTOR_BYTES)));                                          \
    enum { WIDE = BLOCK * sizeof(Number) / VECTOR_BYTES };                                                     \
    const size_t table_bytes = ENTRIES * BLOCK * sizeof(Number), row_stride = (size_t)layer->row_stride;       \
    const size_t run = (size_t)layer->run, end = row_stride * layer->rows;                                     \
    const char *table = (const char *)layer->tables + block * table_bytes * layer->rows * run;                 \
    const Number *thresholds = (const Number *)layer->thresholds + (size_t)block * BLOCK;                      \
    const uint16_t *from[TABLE_TILE];                                                                          \
    Vector sums[TABLE_TILE][WIDE];                                                                             \
    _Pragma("GCC unroll 8") for (int i = 0; i < TABLE_TILE; i++) {                                             \
      from[i] = in + place[i]->from;                                                                           \
      _Pragma("GCC unroll 8") for (int q = 0; q < WIDE; q++) sums[i][q] = (Vector){0};                         \
    }                                                                                                          \
    size_t row = 0;                                                                                            \
    do {                                                                                                       \
      size_t k = row;                                                                                          \
      const size_t stop = row + run;                                                                           \
      do {                                                                                                     \
        _Pragma("GCC unroll 8") for (int i = 0; i < TABLE_TILE; i++) {                                         \
          uint32_t offsets = 0;                                                                                \
          memcpy(&offsets, from[i] + k, together * sizeof(uint16_t));                                          \
          _Pragma("GCC unroll 2") for (int j = 0; j < together; j++, offsets >>= 16) {                         \
            const Vector *entry = (const Vector *)(table + j * table_bytes + (uint16_t)offsets);               \
            _Pragma("GCC unroll 8") for (int q = 0; q < WIDE; q++) sums[i][q] += entry[q];                     \
          }                                                                                                    \
        }                                                                                                      \
        table += together * table_bytes;                                                                       \
      } while ((k += together) != stop);                                                                       \
      row += row_stride;                                                                                       \
    } while (row != end);                                                                                      \
    _Pragma("GCC unroll 8") for (int i = 0; i < TABLE_TILE; i++) out[place[i]->to + block] =                   \
        mask(sums[i], thresholds);                                                                             \
  }                                                                                                            \
  static void NAME(name)(const TableLayer *layer, const Place *places, int count_, const uint16_t *in,         \
                         uint32_t *out) {                                                                      \
    for (int block = 0; block < layer->blocks; block++)                                                        \
      for (int p = 0; p < count_; p += TABLE_TILE) {                                                           \
        const Place *place[TABLE_TILE];                                                                        \
        for (int i = 0; i < TABLE_TILE; i++) place[i] = places + (p + i < count_ ? p + i : count_ - 1);        \
        if (layer->run % 2 == 0) NAME(name##_tile)(layer, block, place, in, out, 2);                           \
        else NAME(name##_tile)(layer, block, place, in, out, 1);                                               \
      }                                                                                                        \
  }
TABLES(tables16, int16_t, mask16)
TABLES(tables32, int32_t, mask32)

static void NAME(products)(const ProductLayer *layer, const Place *places, int count_, const int16_t *in,
                           int32_t *out) {
  for (int p = 0; p < count_; p++)
    for (int o = 0; o < layer->outputs; o++) {
      const int16_t *w = layer->weights + (size_t)o * layer->rows * layer->run;
      int32_t sum = 0;
      for (int row = 0; row < layer->rows; row++, w += layer->run) {
        const int16_t *x = in + places[p].from + (size_t)row * layer->row_stride;
        for (int k = 0; k < layer->run; k++) sum += (int32_t)x[k] * w[k];
      }
      out[(size_t)p * layer->outputs + o] = sum;
    }
}

static double NAME(limit)(int steps) {
  /* As many counts as a tile has, of operands that the compiler must take for new ones every time. */
  Counts counts[TILE][WIDTH];
  Words word = WORDS, weights = WORDS;
  for (int i = 0; i < TILE; i++)
    for (int q = 0; q < WIDTH; q++) counts[i][q] = ZERO;
  for (int step = 0; step < steps; step++) {
    __asm__ volatile("" : "+" KEEP(word), "+" KEEP(weights));
#pragma GCC unroll 8
    for (int i = 0; i < TILE; i++)
#pragma GCC unroll 8
      for (int q = 0; q < WIDTH; q++) {
        __asm__ volatile("" : "+" KEEP(word));
        counts[i][q] = count_words(counts[i][q], word, weights);
      }
  }
  for (int i = 0; i < TILE; i++)
    for (int q = 0; q < WIDTH; q++) __asm__ volatile("" : "+" KEEP(counts[i][q]));
  return (double)steps * TILE * WIDTH * LANES * 64;
}

#define KERNELS(id, title)                                                                                     \
  const Kernels id = {title,          NAME(supported), NAME(bits), LOOKUP_BYTES, LOOKUPS_HERE,    NAME(mismatches),                        \
                      NAME(tables16), NAME(tables32), PERMUTES_HERE, NAME(products), NAME(limit),    NAME(counts),  NAME(activate16), NAME(activate32)};
