/* AVX-512 with VPOPCNTDQ (Intel from Ice Lake, AMD from Zen 4): eight channels a register. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#define NAME(x) avx512_##x
enum { LANES = 8, VECTOR_BYTES = 64, WIDTH = 4, WIDTH_ALONE = 4 };
typedef __m512i Counts;
#define ZERO _mm512_setzero_si512()
#include "layers.h"

typedef __m512i Words;
#define WORDS _mm512_setzero_si512()
#define KEEP(x) "v"(x)
static inline Counts count_words(Counts counts, Words word, Words weights) {
  return _mm512_add_epi64(counts, _mm512_popcnt_epi64(_mm512_xor_si512(word, weights)));
}
static inline Counts count(Counts counts, uint64_t word, const uint64_t *weights) {
  return count_words(counts, _mm512_set1_epi64((int64_t)word), _mm512_load_si512(weights));
}
static inline uint32_t at_most(Counts counts, const int64_t *limits) {
  return _mm512_cmple_epi64_mask(counts, _mm512_load_si512(limits));
}
static inline void store(int64_t *to, Counts counts) { _mm512_storeu_si512(to, counts); }
static inline uint32_t mask16(const void *sums, const void *thresholds) {
  return _mm512_cmpge_epi16_mask(_mm512_loadu_si512(sums), _mm512_load_si512(thresholds));
}
static inline uint32_t mask32(const void *sums, const void *thresholds) {
  const char *a = sums, *b = thresholds;
  return (uint32_t)_mm512_cmpge_epi32_mask(_mm512_loadu_si512(a), _mm512_load_si512(b)) |
         (uint32_t)_mm512_cmpge_epi32_mask(_mm512_loadu_si512(a + 64), _mm512_load_si512(b + 64)) << 16;
}
static int avx512_supported(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#include "permuted-avx512.h"
#define PERMUTES
#include "kernels.h"
KERNELS(avx512_kernels, "avx512")
#endif
