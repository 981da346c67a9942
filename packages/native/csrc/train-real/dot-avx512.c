/* AVX-512 with bfloat16 (AMD from Zen 4, Intel from Cooper Lake): 8 x 32 sums in sixteen registers. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#define NAME(x) avx512_real_##x
enum { LANES = 16, PART_ROWS = 8, VECTORS = 2 };
typedef float Reals __attribute__((vector_size(64)));
typedef __m512bh Pairs, Spread;
static inline Pairs load(const uint32_t *b) { return (Pairs)_mm512_loadu_si512(b); }
static inline Spread spread(const uint16_t *a) {
  int32_t two;
  __builtin_memcpy(&two, a, 4);
  return (Spread)_mm512_set1_epi32(two);
}
static inline Reals dot(Reals sums, Pairs b, Spread a) { return (Reals)_mm512_dpbf16_ps((__m512)sums, b, a); }
#include "dot.h"
static int avx512_real_supported(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
}
REAL_KERNELS(avx512_real_kernels, "avx512-bf16")
#endif
