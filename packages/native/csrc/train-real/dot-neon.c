/* NEON of every 64-bit ARM. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <stdint.h>
#define NAME(x) neon_real_##x
enum { LANES = 4, PART_ROWS = 4, VECTORS = 4 };
typedef float Reals __attribute__((vector_size(16)));
static inline Reals multiply_add(Reals sums, Reals b, Reals a) {
  return (Reals)vfmaq_f32((float32x4_t)sums, (float32x4_t)b, (float32x4_t)a);
}
#include "dot-single.h"
#include "dot.h"
static int neon_real_supported(void) { return 1; }
REAL_KERNELS(neon_real_kernels, "neon")
#endif
