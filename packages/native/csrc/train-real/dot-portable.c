/* For any CPU: C alone. A product and a sum are as good as both in one, as long as no product is below 2^-126. */
#include <stdint.h>
#define NAME(x) portable_real_##x
enum { LANES = 4, PART_ROWS = 4, VECTORS = 2 };
typedef float Reals __attribute__((vector_size(16)));
static inline Reals multiply_add(Reals sums, Reals b, Reals a) { return sums + b * a; }
#include "dot-single.h"
#include "dot.h"
static int portable_real_supported(void) { return 1; }
REAL_KERNELS(portable_real_kernels, "portable")
