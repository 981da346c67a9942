/* AVX2: four channels a register, bits counted by looking up nibbles (Mula's vpshufb method). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#define NAME(x) avx2_##x
enum { LANES = 4, VECTOR_BYTES = 32, WIDTH = 2, WIDTH_ALONE = 8 };
typedef __m256i Counts;
#define ZERO _mm256_setzero_si256()
/* Counts are of bytes, to which a step adds at most 8. */
#define MOST_STEPS 31
#include "layers.h"

typedef __m256i Words;
#define WORDS _mm256_setzero_si256()
#define KEEP(x) "x"(x)
static inline Counts count_words(Counts counts, Words word, Words weights) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                         2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  const __m256i x = _mm256_xor_si256(word, weights);
  counts = _mm256_add_epi8(counts, _mm256_shuffle_epi8(table, _mm256_and_si256(x, low)));
  return _mm256_add_epi8(counts, _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
}
static inline Counts count(Counts counts, uint64_t word, const uint64_t *weights) {
  return count_words(counts, _mm256_set1_epi64x((int64_t)word), _mm256_load_si256((const __m256i *)weights));
}
static inline void spill(Counts counts, int64_t *to) {
  const __m256i sums = _mm256_sad_epu8(counts, _mm256_setzero_si256());
  _mm256_storeu_si256((__m256i *)to, _mm256_add_epi64(_mm256_loadu_si256((const __m256i *)to), sums));
}
/* packs interleaves halves of 128 bits: put them back in order. */
static inline uint32_t less16(const __m256i *a, const __m256i *b) {
  const __m256i packed = _mm256_packs_epi16(_mm256_cmpgt_epi16(b[0], a[0]), _mm256_cmpgt_epi16(b[1], a[1]));
  return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(packed, 0xd8));
}
static inline uint32_t mask16(const void *sums, const void *thresholds) { return ~less16(sums, thresholds); }
static inline uint32_t mask32(const void *sums, const void *thresholds) {
  const __m256i *a = sums, *b = thresholds;
  uint32_t mask = 0;
  for (int i = 0; i < 4; i++)
    mask |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(b[i], a[i]))) << (8 * i);
  return ~mask;
}
static int avx2_supported(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}
/* For lookup.h: lanes moved by one, those that come in being of the vector before or behind, or, in halves of 128 bits, 0. */
#define average(a, b) ((Bytes)_mm256_avg_epu8((__m256i)(a), (__m256i)(b)))
#define lanes_up(before, own) ((Bytes)_mm256_alignr_epi8((__m256i)(own), _mm256_permute2x128_si256((__m256i)(before), (__m256i)(own), 0x21), 15))
#define lanes_down(own, behind) ((Bytes)_mm256_alignr_epi8(_mm256_permute2x128_si256((__m256i)(own), (__m256i)(behind), 0x21), (__m256i)(own), 1))
#define half_lanes_up(own) ((Bytes)_mm256_slli_si256((__m256i)(own), 1))
#define half_lanes_down(own) ((Bytes)_mm256_srli_si256((__m256i)(own), 1))
#define LOOKS_UP
#include "kernels.h"
KERNELS(avx2_kernels, "avx2")
#endif
