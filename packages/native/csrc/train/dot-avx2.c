/* Plain AVX2: products of bytes are added up in 16 bits for a while (vpmaddubsw), which is nearly as fast as VNNI. */
#if defined(__x86_64__)
#define NAME(x) avx2_step_##x
#include "dot-avx2.h"
#define FLUSHES
typedef __m256i Parts;
#define NO_PARTS _mm256_setzero_si256()
/* In assembly, because GCC computes all products first: then there are too few registers, and half the speed. */
static inline Parts add_part(Parts parts, __m256i products) {
  __asm__ volatile("vpaddw %1, %0, %0" : "+x"(parts) : "x"(products));
  return parts;
}
static inline Parts dot_part(Parts parts, Bytes b, Spread a) { return add_part(parts, _mm256_maddubs_epi16(b, a)); }
static inline Parts dot_part_swapped(Parts parts, Bytes b, Spread a) { return add_part(parts, _mm256_maddubs_epi16(a, b)); }
static inline Sums flushed(Sums sums, Parts parts) {
  return sums + (Sums)_mm256_madd_epi16(parts, _mm256_set1_epi16(1));
}
#include "tables-avx2.h"
#include "dot.h"
static int avx2_step_supported(void) { return avx2_kernels.supported(); }
STEP_KERNELS(avx2_step_kernels, "avx2", avx2_kernels)
#endif
