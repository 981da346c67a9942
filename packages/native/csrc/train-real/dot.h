/*
 * The kernels of a real training step, written once. A file that includes this has chosen its instruction set by defining
 *
 *   NAME(x)             the name of function x for this instruction set
 *   Reals, LANES        a vector of LANES floats, one per lane of a block
 *   Pairs, Spread       two bfloat16 in every lane, as dot wants them; and the same two in all lanes
 *   load(address), spread(address)   these from memory
 *   PART_ROWS, VECTORS  what is kept in registers at a time: PART_ROWS rows of VECTORS vectors
 *   dot(sums, b, a)     sums + second b * second a, rounded, + first b * first a, rounded
 */
#include "step.h"
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef Reals UnalignedReals __attribute__((aligned(4), may_alias));

/* PART_ROWS x VECTORS * LANES sums; a's rows are `row` values apart, its steps `step`. */
INLINE void NAME(part)(float *sums, size_t stride, const Run *run, int count, size_t row, size_t step, int lane, int first, int fresh) {
  Reals total[PART_ROWS][VECTORS];
#pragma GCC unroll 8
  for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
    for (int q = 0; q < VECTORS; q++) {
      total[i][q] = (Reals){0};
      if (!fresh) total[i][q] = *(const UnalignedReals *)(sums + i * stride + q * LANES);
    }
  for (const Run *end = run + count; run != end; run++) {
    const uint16_t *a = run->a + first * row;
    const uint32_t *b = run->b + lane;
    for (int left = run->steps; left > 0; left--, a += step, b += BLOCK) {
      Pairs lanes[VECTORS];
#pragma GCC unroll 8
      for (int q = 0; q < VECTORS; q++) lanes[q] = load(b + q * LANES);
#pragma GCC unroll 8
      for (int i = 0; i < PART_ROWS; i++) {
        const Spread own = spread(a + i * row);
#pragma GCC unroll 8
        for (int q = 0; q < VECTORS; q++) total[i][q] = dot(total[i][q], lanes[q], own);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < PART_ROWS; i++)
#pragma GCC unroll 8
    for (int q = 0; q < VECTORS; q++) *(UnalignedReals *)(sums + i * stride + q * LANES) = total[i][q];
}

INLINE void NAME(parts)(float *sums, size_t stride, const Run *runs, int count, size_t row, size_t step, int fresh) {
  for (int first = 0; first < ROWS; first += PART_ROWS)
    for (int lane = 0; lane < BLOCK; lane += VECTORS * LANES)
      NAME(part)(sums + first * stride + lane, stride, runs, count, row, step, lane, first, fresh);
}

static void NAME(tile)(float *sums, const Run *runs, int count, size_t row) { NAME(parts)(sums, BLOCK, runs, count, row, 2, 1); }

static void NAME(tile_pairs)(float *sums, size_t stride, const Run *runs, int count, int fresh) {
  if (fresh) NAME(parts)(sums, stride, runs, count, 2, 2 * BLOCK, 1);
  else NAME(parts)(sums, stride, runs, count, 2, 2 * BLOCK, 0);
}

#include "passes.h"

#define REAL_KERNELS(id, title)                    \
  const RealStepKernels id = {.name = title,           \
                          .supported = NAME(supported), \
                          .tile = NAME(tile),      \
                          .tile_pairs = NAME(tile_pairs), \
                          .pool = NAME(pool),      \
                          .moments = NAME(moments), \
                          .shifted_square = NAME(shifted_square), \
                          .magnitudes = NAME(magnitudes), \
                          .scale = NAME(scale),    \
                          .activate = NAME(activate), \
                          .estimate = NAME(estimate), \
                          .gradient = NAME(gradient), \
                          .pairs = NAME(pairs),    \
                          .round = NAME(round)};
