/*
 * First layers by permutations of 16-bit lanes (vpermw): a table of five slices is one register, and gives what they add to an output at 32
 * positions at once, where tables in memory take a load for each position. 33 us instead of 60 for 128 outputs, 24 slices and
 * 32 x 32 positions on Zen 5; where a processor takes two cycles for each, tables are faster, so build.c measures.
 */
#include "layers.h"

/* TOGETHER outputs at TOGETHER vectors: sixteen sums, and each table and each vector of indices loaded once for four of them. */
static inline __attribute__((always_inline)) void avx512_permute_some(const PermutedLayer *layer, const uint16_t *in, int output, int vector,
                                                                      uint32_t *masks) {
  const int16_t *table = layer->tables + (size_t)output * layer->steps * LANES16;
  const size_t apart = (size_t)layer->steps * LANES16;
  const uint16_t *from[TOGETHER];
  __m512i sums[TOGETHER][TOGETHER];
#pragma GCC unroll 4
  for (int v = 0; v < TOGETHER; v++) {
    from[v] = in + layer->from[vector + v];
    const __m512i kinds = _mm512_load_si512(layer->kinds + (size_t)(vector + v) * LANES16);
#pragma GCC unroll 4
    for (int o = 0; o < TOGETHER; o++)
      sums[o][v] = _mm512_permutexvar_epi16(kinds, _mm512_load_si512(layer->starts + (size_t)(output + o) * LANES16));
  }
  for (int step = 0; step < layer->steps; step++, table += LANES16) {
    __m512i tables[TOGETHER];
#pragma GCC unroll 4
    for (int o = 0; o < TOGETHER; o++) tables[o] = _mm512_load_si512(table + o * apart);
#pragma GCC unroll 4
    for (int v = 0; v < TOGETHER; v++) {
      const __m512i entries = _mm512_loadu_si512(from[v] + layer->at[step]);
#pragma GCC unroll 4
      for (int o = 0; o < TOGETHER; o++) sums[o][v] = _mm512_add_epi16(sums[o][v], _mm512_permutexvar_epi16(entries, tables[o]));
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < TOGETHER; o++)
#pragma GCC unroll 4
    for (int v = 0; v < TOGETHER; v++)
      masks[v * BLOCK + o] = _mm512_cmpge_epi16_mask(sums[o][v], _mm512_set1_epi16(layer->thresholds[output + o]));
}

/* Bits [output][position] become [position][output]: the outputs' bytes side by side, then their bits one after the other. */
static inline void avx512_turn_bits(const uint32_t *masks, uint32_t out[BLOCK]) {
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const __m512i low = _mm512_shuffle_epi8(_mm512_loadu_si512(masks), bytes), high = _mm512_shuffle_epi8(_mm512_loadu_si512(masks + 16), bytes);
  const __m512i fours = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
  for (int byte = 0; byte < 4; byte++) {
    const __m512i from = _mm512_add_epi32(fours, _mm512_set1_epi32(byte));
    __m256i own = _mm512_castsi512_si256(_mm512_permutex2var_epi32(low, from, high));
    for (int bit = 7; bit >= 0; bit--, own = _mm256_add_epi8(own, own)) out[8 * byte + bit] = _mm256_movepi8_mask(own);
  }
}

static void avx512_permuted(const PermutedLayer *layer, const uint16_t *in, uint32_t *masks, uint32_t *out) {
  for (int block = 0; block < layer->blocks; block++) {
    /* Tables of few outputs stay in the first-level cache for all vectors. */
    for (int o = 0; o < BLOCK; o += TOGETHER)
      for (int v = 0; v < layer->vectors; v += TOGETHER)
        avx512_permute_some(layer, in, block * BLOCK + o, v, masks + (size_t)v * BLOCK + o);
    for (int v = 0; v < layer->vectors; v++) {
      const int32_t *to = layer->to + (size_t)v * LANES16;
      uint32_t bits[BLOCK];
      avx512_turn_bits(masks + (size_t)v * BLOCK, bits);
      for (int i = 0; i < LANES16; i++)
        if (to[i] >= 0) out[to[i] + block] = bits[i];
    }
  }
}
