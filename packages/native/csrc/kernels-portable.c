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
/* Unlike counting, adding is in every CPU's vectors. */
#define LOOKS_UP
#include "kernels.h"
KERNELS(portable_kernels, "portable")
