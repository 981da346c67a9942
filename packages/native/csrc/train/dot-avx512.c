/* AVX-512 with VNNI (Intel from Ice Lake, AMD from Zen 4): 8 x 32 sums in sixteen registers. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#define NAME(x) avx512_step_##x
enum { LANES = 16, PART_ROWS = 8, VECTORS = 2 };
typedef int32_t Sums __attribute__((vector_size(64)));
typedef __m512i Bytes, Spread;
#define KEEP(x) "v"(x)
static inline Spread spread(const int8_t *a) {
  int32_t four;
  __builtin_memcpy(&four, a, 4);
  return _mm512_set1_epi32(four);
}
static inline Sums dot(Sums sums, Bytes b, Spread a) { return (Sums)_mm512_dpbusd_epi32((__m512i)sums, b, a); }
static inline Sums dot_swapped(Sums sums, Bytes b, Spread a) { return (Sums)_mm512_dpbusd_epi32((__m512i)sums, a, b); }
#define EXTREMES
typedef float Extremes __attribute__((vector_size(64)));
static inline Extremes larger(Extremes a, Extremes b) { return (Extremes)_mm512_max_ps((__m512)a, (__m512)b); }
static inline Extremes smaller(Extremes a, Extremes b) { return (Extremes)_mm512_min_ps((__m512)a, (__m512)b); }
#define SIGNS
static inline uint32_t signs_of(const float *w) {
  const __m512 zero = _mm512_setzero_ps();
  return (uint32_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(w), zero, _CMP_GE_OQ) |
         (uint32_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(w + 16), zero, _CMP_GE_OQ) << 16;
}
#define EXPAND
static inline void expand(const uint32_t word[4], uint32_t edge, uint8_t *out) {
  for (int half = 0; half < 2; half++) {
    __m512i v = _mm512_set1_epi32((int)edge);
    for (int j = 0; j < 4; j++)
      v = _mm512_mask_or_epi32(v, (__mmask16)(word[j] >> (16 * half)), v, _mm512_set1_epi32((int)(2u << (8 * j))));
    _mm512_storeu_si512(out + 64 * half, v);
  }
}
#include "dot.h"
static int avx512_step_supported(void) {
  __builtin_cpu_init();
  return avx512_kernels.supported() && __builtin_cpu_supports("avx512vnni");
}
STEP_KERNELS(avx512_step_kernels, "avx512-vnni", avx512_kernels)
#endif
