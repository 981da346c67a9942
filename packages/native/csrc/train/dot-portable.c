/* For any CPU: C alone. */
#include <stdint.h>
#define NAME(x) portable_step_##x
enum { LANES = 4, PART_ROWS = 2, VECTORS = 2 };
typedef int32_t Sums __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(16)));
typedef Sums Spread;
#define KEEP(x) "m"(x)
static inline Spread spread(const int8_t *a) { return (Spread){a[0], a[1], a[2], a[3]}; }
static inline Sums dot(Sums sums, Bytes b, Spread a) {
  for (int lane = 0; lane < LANES; lane++)
    for (int i = 0; i < 4; i++) sums[lane] += b[lane * 4 + i] * a[i];
  return sums;
}
static inline Sums dot_swapped(Sums sums, Bytes b, Spread a) {
  for (int lane = 0; lane < LANES; lane++)
    for (int i = 0; i < 4; i++) sums[lane] += (int8_t)b[lane * 4 + i] * a[i];
  return sums;
}
#include "dot.h"
static int portable_step_supported(void) { return 1; }
STEP_KERNELS(portable_step_kernels, "portable", portable_kernels)
