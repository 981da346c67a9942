/* AVX-VNNI (Intel from Alder Lake, AMD from Zen 5): the four products of a lane in one instruction, without AVX-512. */
#if defined(__x86_64__)
#define NAME(x) avxvnni_step_##x
#include "dot-avx2.h"
static inline Sums dot(Sums sums, Bytes b, Spread a) { return (Sums)_mm256_dpbusd_avx_epi32((__m256i)sums, b, a); }
static inline Sums dot_swapped(Sums sums, Bytes b, Spread a) { return (Sums)_mm256_dpbusd_avx_epi32((__m256i)sums, a, b); }
#include "dot.h"
static int avxvnni_step_supported(void) {
  /* Older compilers' __builtin_cpu_supports does not know it: CPUID leaf 7, subleaf 1. */
  unsigned a = 0, b = 0, c = 0, d = 0;
  __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
  if (a < 7) return 0;
  __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(1));
  return (a >> 4 & 1) && avx2_kernels.supported();
}
STEP_KERNELS(avxvnni_step_kernels, "avx-vnni", avx2_kernels)
#endif
