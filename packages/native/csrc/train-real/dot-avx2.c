/* AVX2 and FMA: 4 x 16 sums at a time. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#define NAME(x) avx2_real_##x
enum { LANES = 8, PART_ROWS = 4, VECTORS = 2 };
typedef float Reals __attribute__((vector_size(32)));
static inline Reals multiply_add(Reals sums, Reals b, Reals a) { return (Reals)_mm256_fmadd_ps((__m256)b, (__m256)a, (__m256)sums); }
#include "dot-single.h"
#include "dot.h"
static int avx2_real_supported(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
REAL_KERNELS(avx2_real_kernels, "avx2")
#endif
