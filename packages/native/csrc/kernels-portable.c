/* For any CPU: C alone. */
#include <stdint.h>
#define NAME(x) portable_##x
enum { LANES = 1, VECTOR_BYTES = 16, WIDTH = 4, WIDTH_ALONE = 4 };
typedef uint64_t Counts;
#define ZERO 0
#include "layers.h"

typedef uint64_t Words;
#define WORDS 0
#define KEEP(x) "r"(x)
static inline Counts count_words(Counts counts, Words word, Words weights) {
  return counts + (uint64_t)__builtin_popcountll(word ^ weights);
}
static inline Counts count(Counts counts, uint64_t word, const uint64_t *weights) {
  return count_words(counts, word, *weights);
}
static inline uint32_t at_most(Counts counts, const int64_t *limits) { return (int64_t)counts <= *limits; }
static inline void store(int64_t *to, Counts counts) { *to = (int64_t)counts; }

static uint32_t mask16(const void *sums, const void *thresholds) {
  const int16_t *a = sums, *b = thresholds;
  uint32_t mask = 0;
  for (int i = 0; i < BLOCK; i++) mask |= (uint32_t)(a[i] >= b[i]) << i;
  return mask;
}
static uint32_t mask32(const void *sums, const void *thresholds) {
  const int32_t *a = sums, *b = thresholds;
  uint32_t mask = 0;
  for (int i = 0; i < BLOCK; i++) mask |= (uint32_t)(a[i] >= b[i]) << i;
  return mask;
}
static int portable_supported(void) { return 1; }
/* Unlike counting, adding is in every CPU's vectors. For lookup.h, as in kernels-avx2.c; averages are of even numbers. */
#ifdef __SSE2__
#include <emmintrin.h>
#define average(a, b) ((Bytes)_mm_avg_epu8((__m128i)(a), (__m128i)(b)))
#define lanes_up(before, own) ((Bytes)_mm_or_si128(_mm_slli_si128((__m128i)(own), 1), _mm_srli_si128((__m128i)(before), 15)))
#define lanes_down(own, behind) ((Bytes)_mm_or_si128(_mm_srli_si128((__m128i)(own), 1), _mm_slli_si128((__m128i)(behind), 15)))
#else
#define average(a, b) ((Bytes)(((Shorts)(a) >> 1) + ((Shorts)(b) >> 1)))
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Bytes){__VA_ARGS__})
#endif
#define lanes_up(before, own) SHUFFLE(before, own, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)
#define lanes_down(own, behind) SHUFFLE(own, behind, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
#endif
#define LOOKS_UP
#include "kernels.h"
KERNELS(portable_kernels, "portable")
