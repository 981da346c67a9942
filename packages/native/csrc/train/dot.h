/*
 * The kernels of a training step, written once. A file that includes this has chosen its instruction set by defining
 *
 *   NAME(x)             the name of function x for this instruction set
 *   Sums, LANES         a vector of LANES int32, one per lane of a block
 *   Bytes, Spread       its LANES * 4 bytes, unsigned; and 4 signed bytes in every lane
 *   spread(address)     the latter from memory
 *   PART_ROWS, VECTORS     what is kept in registers at a time: PART_ROWS rows of VECTORS vectors
 *   dot(sums, b, a)     sums + b * a, four products a lane; b unsigned, a signed
 *   dot_swapped         the same with b signed and a unsigned, below 128
 *   FLUSHES             only where products are first added up in 16 bits: then also Parts, NO_PARTS,
 *                       dot_part(parts, b, a), dot_part_swapped and flushed(sums, parts)
 *   SIGNS, EXPAND       only where it has better ways for these: see passes.h
 *   TABLES              only where tables are faster than products of bytes, the kernels for that
 */
#include "step.h"
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Makes the compiler take it for another value. */
#ifndef TOUCH_PARTS
#define TOUCH_PARTS(parts) __asm__ volatile("" : "+" KEEP(parts))
#endif

typedef Sums UnalignedSums __attribute__((aligned(4), may_alias));

/* PART_ROWS x VECTORS * LANES sums; a's rows are `pixel` bytes apart, its steps `step`. */
INLINE void NAME(part)(int32_t *sums, size_t stride, const Segment *segment, int count, size_t pixel, size_t step, int lane,
                       int row, int flush, int fresh, int swapped) {
  Sums total[PART_ROWS][VECTORS];
#pragma GCC unroll 8
  for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
    for (int q = 0; q < VECTORS; q++) {
      total[i][q] = (Sums){0};
      if (!fresh) total[i][q] = *(const UnalignedSums *)(sums + i * stride + q * LANES);
    }
  (void)flush;
  for (const Segment *end = segment + count; segment != end; segment++) {
    const int8_t *a = segment->a + row * pixel;
    const uint8_t *b = segment->b + lane * 4;
#ifdef FLUSHES
    for (int left = segment->steps; left > 0; left -= flush) {
      int run = left < flush ? left : flush;
      Parts parts[PART_ROWS][VECTORS];
#pragma GCC unroll 8
      for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
        for (int q = 0; q < VECTORS; q++) parts[i][q] = NO_PARTS;
#else
    int run = segment->steps;
    if (run > 0) {
#endif
      do {
        Bytes lanes[VECTORS];
#pragma GCC unroll 8
        for (int q = 0; q < VECTORS; q++) lanes[q] = *(const Bytes *)(b + q * LANES * 4);
#pragma GCC unroll 8
        for (int i = 0; i < PART_ROWS; i++) {
          const Spread four = spread(a + i * pixel);
#pragma GCC unroll 8
          for (int q = 0; q < VECTORS; q++)
#ifdef FLUSHES
            parts[i][q] = swapped ? dot_part_swapped(parts[i][q], lanes[q], four) : dot_part(parts[i][q], lanes[q], four);
#else
            total[i][q] = swapped ? dot_swapped(total[i][q], lanes[q], four) : dot(total[i][q], lanes[q], four);
#endif
        }
        a += step;
        b += BLOCK * 4;
      } while (--run);
#ifdef FLUSHES
#pragma GCC unroll 8
      for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
        for (int q = 0; q < VECTORS; q++) total[i][q] = flushed(total[i][q], parts[i][q]);
#endif
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
    for (int q = 0; q < VECTORS; q++) *(UnalignedSums *)(sums + i * stride + q * LANES) = total[i][q];
}

INLINE void NAME(rows)(int32_t *sums, size_t stride, const Segment *segments, int count, size_t pixel, size_t step, int flush,
                       int fresh, int swapped) {
  for (int row = 0; row < ROWS; row += PART_ROWS)
    for (int lane = 0; lane < BLOCK; lane += VECTORS * LANES)
      NAME(part)(sums + row * stride + lane, stride, segments, count, pixel, step, lane, row, flush, fresh, swapped);
}

static void NAME(tile)(int32_t *sums, size_t stride, const Segment *segments, int count, size_t pixel, int flush) {
  NAME(rows)(sums, stride, segments, count, pixel, 4, flush, 1, 0);
}

static void NAME(tile_values)(int32_t *sums, size_t stride, const Segment *segments, int count, size_t pixel, int flush) {
  NAME(rows)(sums, stride, segments, count, pixel, 4, flush, 0, 1);
}

static void NAME(tile_quads)(int32_t *sums, size_t stride, const Segment *segments, int count, int flush, int fresh) {
  if (fresh) NAME(rows)(sums, stride, segments, count, 4, ROWS * 4, flush, 1, 0);
  else NAME(rows)(sums, stride, segments, count, 4, ROWS * 4, flush, 0, 0);
}

/* As many sums as a part has, of operands that the compiler must take for new ones every time. */
static double NAME(limit)(int steps) {
  Sums total[PART_ROWS][VECTORS];
  int8_t ones[LANES * 4];
  memset(ones, 1, sizeof ones);
  Spread a = spread(ones);
  Bytes b;
  memcpy(&b, ones, sizeof b);
#pragma GCC unroll 8
  for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
    for (int q = 0; q < VECTORS; q++) total[i][q] = (Sums){0};
  for (int done = 0; done < steps; done += 64) {
#ifdef FLUSHES
    Parts parts[PART_ROWS][VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
      for (int q = 0; q < VECTORS; q++) parts[i][q] = NO_PARTS;
#endif
    for (int step = 0; step < 64; step++) {
      __asm__ volatile("" : "+" KEEP(a), "+" KEEP(b));
#pragma GCC unroll 8
      for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
        for (int q = 0; q < VECTORS; q++) {
#ifdef FLUSHES
          __asm__ volatile("" : "+" KEEP(a));
          parts[i][q] = dot_part(parts[i][q], b, a);
          TOUCH_PARTS(parts[i][q]);
#else
          total[i][q] = dot(total[i][q], b, a);
          __asm__ volatile("" : "+" KEEP(total[i][q]));
#endif
        }
    }
#ifdef FLUSHES
#pragma GCC unroll 8
    for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
      for (int q = 0; q < VECTORS; q++) total[i][q] = flushed(total[i][q], parts[i][q]);
#endif
  }
#pragma GCC unroll 8
  for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
    for (int q = 0; q < VECTORS; q++) __asm__ volatile("" : "+" KEEP(total[i][q]));
  return ((double)steps + 63) / 64 * 64 * PART_ROWS * VECTORS * LANES * 4;
}

#include "passes.h"

#ifndef TABLES
#define TABLES
#endif

#define STEP_KERNELS(id, title, bit_kernels)                                                                             \
  const StepKernels id = {.name = title,                                                                                \
                          .supported = NAME(supported),                                                                 \
                          .bits = &bit_kernels,                                                                         \
                          .tile = NAME(tile),                                                                           \
                          .tile_values = NAME(tile_values),                                                             \
                          .tile_quads = NAME(tile_quads),                                                               \
                          .expand = NAME(expand_all),                                                                   \
                          .signs = NAME(signs),                                                                         \
                          .uncount = NAME(uncount),                                                                     \
                          .uncount16 = NAME(uncount16),                                                                 \
                          .combine = NAME(combine),                                                                     \
                          .byte_sums = NAME(byte_sums),                                                                 \
                          .gather = NAME(gather),                                                                       \
                          .pool16 = NAME(pool16),                                                                       \
                          .pool16_large = NAME(pool16_large),                                                           \
                          .pool32 = NAME(pool32),                                                                       \
                          .gradient16 = NAME(gradient16),                                                               \
                          .gradient32 = NAME(gradient32),                                                               \
                          .quads = NAME(quads),                                                                         \
                          .estimate16 = NAME(estimate16),                                                               \
                          .estimate32 = NAME(estimate32),                                                               \
                          .adam = NAME(adam),                                                                           \
                          .limit = NAME(limit) TABLES};
