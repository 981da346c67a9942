/*
 * The kernels on floats, written once in C and the compiler's own vectors of VECTOR_BYTES. A file that includes this has defined
 * NAME and VECTOR_BYTES. Products and sums are rounded one by one (no fused multiply-add), each sum in one order, so that every
 * instruction set gives the same bits: its width decides only how many sums are computed at once.
 */
#include "real.h"
#include <string.h>

typedef float Floats __attribute__((vector_size(VECTOR_BYTES)));
typedef Floats LooseFloats __attribute__((aligned(4), may_alias));

/* LANES floats a vector; a place of a tile keeps WIDTH of them in registers. */
enum { LANES = VECTOR_BYTES / 4, WIDTH = 2 };
/* Vectors that a strip of neighbouring places keeps in registers. */
enum { STRIP = VECTOR_BYTES == 64 ? 16 : 8 };

#define INLINE static inline __attribute__((always_inline))

INLINE Floats load(const float *from) { return *(const LooseFloats *)from; }
INLINE void store(float *to, Floats values) { *(LooseFloats *)to = values; }

static void NAME(products)(const FloatLayer *layer, int block, const uint32_t *from, int places, const float *in, float *sums) {
  const size_t steps = (size_t)layer->rows * layer->run;
  for (int p = 0; p < places; p += TILE, sums += TILE * BLOCK)
    for (int lane = 0; lane < BLOCK; lane += WIDTH * LANES) {
      const float *w = layer->weights + block * steps * BLOCK + lane;
      Floats total[TILE][WIDTH];
#pragma GCC unroll 8
      for (int i = 0; i < TILE; i++)
#pragma GCC unroll 8
        for (int q = 0; q < WIDTH; q++) total[i][q] = (Floats){0};
      for (int row = 0; row < layer->rows; row++) {
        const float *x = in + (size_t)row * layer->row_stride;
        const float *const x0 = x + from[p], *const x1 = x + from[p + 1], *const x2 = x + from[p + 2], *const x3 = x + from[p + 3];
        for (int k = 0; k < layer->run; k++, w += BLOCK) {
          const float value[TILE] = {x0[k], x1[k], x2[k], x3[k]};
#pragma GCC unroll 8
          for (int i = 0; i < TILE; i++)
#pragma GCC unroll 8
            for (int q = 0; q < WIDTH; q++) total[i][q] += load(w + q * LANES) * value[i];
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < TILE; i++)
#pragma GCC unroll 8
        for (int q = 0; q < WIDTH; q++) store(sums + i * BLOCK + lane + q * LANES, total[i][q]);
    }
}

static void NAME(scale)(const int32_t *mismatches, const uint32_t *kind, const int32_t *bases, size_t stride, const float *alpha,
                        const float *k, int places, float *sums) {
  for (int p = 0; p < places; p++, mismatches += BLOCK, sums += BLOCK) {
    const int32_t *base = bases + kind[p] * stride;
    for (int lane = 0; lane < BLOCK; lane++) sums[lane] = (float)(base[lane] - 2 * mismatches[lane]) * alpha[lane] * k[p];
  }
}

static void NAME(normalize)(const float *sums, int windows, int window, const float *mean, const float *scale, const float *beta,
                            float *y) {
  for (int w = 0; w < windows; w++, y += BLOCK) {
    float largest[BLOCK];
    memcpy(largest, sums, sizeof largest);
    sums += BLOCK;
    for (int i = 1; i < window; i++, sums += BLOCK)
      for (int lane = 0; lane < BLOCK; lane++) largest[lane] = sums[lane] > largest[lane] ? sums[lane] : largest[lane];
    for (int lane = 0; lane < BLOCK; lane++) y[lane] = (largest[lane] - mean[lane]) * scale[lane] + beta[lane];
  }
}

static void NAME(magnitudes)(const float *y, int windows, float *totals) {
  for (int i = 0; i < windows * BLOCK; i++) totals[i] += __builtin_fabsf(y[i]);
}

INLINE void NAME(strip)(const float *weight, const uint32_t *offset, size_t count, const float *in, float *out, int vectors) {
  Floats total[STRIP];
#pragma GCC unroll 16
  for (int v = 0; v < STRIP; v++)
    if (v < vectors) total[v] = (Floats){0};
  for (size_t j = 0; j < count; j++) {
    const float *x = in + offset[j];
    const float w = weight[j];
#pragma GCC unroll 16
    for (int v = 0; v < STRIP; v++)
      if (v < vectors) total[v] += load(x + v * LANES) * w;
  }
#pragma GCC unroll 16
  for (int v = 0; v < STRIP; v++)
    if (v < vectors) store(out + v * LANES, total[v]);
}

static void NAME(slide)(const SparseRows *rows, int row, const float *in, int positions, float *out) {
  const uint32_t start = rows->start[row];
  const size_t count = rows->start[row + 1] - start;
  const int vectors = (positions + LANES - 1) / LANES, strips = (vectors + STRIP - 1) / STRIP;
  for (int s = 0, from = 0; s < strips; s++) {
    /* As even as can be: a strip of few vectors waits for its additions. */
    const int own = (vectors - from + strips - s - 1) / (strips - s);
    const float *x = in + (size_t)from * LANES;
    float *to = out + (size_t)from * LANES;
    switch (own) {
#define OF(n) \
  case n: NAME(strip)(rows->weight + start, rows->offset + start, count, x, to, n); break;
      OF(1) OF(2) OF(3) OF(4) OF(5) OF(6) OF(7) OF(8)
#if VECTOR_BYTES == 64
      OF(9) OF(10) OF(11) OF(12) OF(13) OF(14) OF(15) OF(16)
#endif
#undef OF
    }
    from += own;
  }
}

static void NAME(gather)(const SparseRows *rows, int row, const float *in, float *out) {
  enum { WIDE = IMAGES / LANES };
  Floats total[PARTIALS][WIDE];
#pragma GCC unroll 8
  for (int j = 0; j < PARTIALS; j++)
#pragma GCC unroll 8
    for (int v = 0; v < WIDE; v++) total[j][v] = (Floats){0};
  /* Rows are filled up with zeros to whole PARTIALS. */
  for (uint32_t i = rows->start[row]; i < rows->start[row + 1]; i += PARTIALS)
#pragma GCC unroll 8
    for (int j = 0; j < PARTIALS; j++)
#pragma GCC unroll 8
      for (int v = 0; v < WIDE; v++)
        total[j][v] += load(in + (size_t)rows->offset[i + j] * IMAGES + v * LANES) * rows->weight[i + j];
#pragma GCC unroll 8
  for (int v = 0; v < WIDE; v++)
    store(out + v * LANES, (total[0][v] + total[1][v]) + (total[2][v] + total[3][v]));
}

#define REAL_KERNELS(id, bits) \
  const RealKernels id = {&bits, NAME(products), NAME(scale), NAME(normalize), NAME(magnitudes), NAME(slide), NAME(gather)};
