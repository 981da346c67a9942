/* What both AVX2 files share: eight lanes a register, 4 x 16 sums at a time. */
#include <immintrin.h>
#include <stdint.h>
enum { LANES = 8, PART_ROWS = 4, VECTORS = 2 };
typedef int32_t Sums __attribute__((vector_size(32)));
typedef __m256i Bytes, Spread;
#define KEEP(x) "x"(x)
static inline Spread spread(const int8_t *a) {
  int32_t four;
  __builtin_memcpy(&four, a, 4);
  return _mm256_set1_epi32(four);
}
#define EXTREMES
typedef float Extremes __attribute__((vector_size(32)));
static inline Extremes larger(Extremes a, Extremes b) { return (Extremes)_mm256_max_ps((__m256)a, (__m256)b); }
static inline Extremes smaller(Extremes a, Extremes b) { return (Extremes)_mm256_min_ps((__m256)a, (__m256)b); }
#define SIGNS
static inline uint32_t signs_of(const float *w) {
  uint32_t bits = 0;
  for (int i = 0; i < 4; i++)
    bits |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(w + 8 * i), _mm256_setzero_ps(), _CMP_GE_OQ)) << (8 * i);
  return bits;
}
#define NARROW
/* Lanes of -127 to 127 as bytes, and bytes as lanes. Written out, because GCC 12 moves them one by one:
 * 114 ms a step instead of 108 (W = 64, one thread, Zen 5). */
typedef int8_t Narrowed __attribute__((vector_size(8)));
static inline Narrowed narrowed(Sums values) {
  const __m256i v = (__m256i)values;
  const __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  return (Narrowed)_mm_cvtsi128_si64(_mm_packs_epi16(halves, halves));
}
static inline Sums widened(const uint8_t *bytes) { return (Sums)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)bytes)); }
