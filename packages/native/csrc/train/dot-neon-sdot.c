/* NEON with the dot products of ARMv8.2. */
#if defined(__aarch64__)
#define NAME(x) neon_dot_step_##x
#include "dot-neon.h"
enum { VECTORS = 4 };
static inline Sums dot(Sums sums, Bytes b, Spread a) {
  return (Sums)vdotq_s32((int32x4_t)sums, vreinterpretq_s8_u8(b), a);
}
#define dot_swapped dot
#include "dot.h"
#if defined(__linux__)
#include <sys/auxv.h>
static int neon_dot_step_supported(void) { return getauxval(AT_HWCAP) >> 20 & 1; }
#else
/* Every 64-bit ARM of Apple's computers has them. */
static int neon_dot_step_supported(void) { return 1; }
#endif
STEP_KERNELS(neon_dot_step_kernels, "neon-dotprod", neon_kernels)
#endif
