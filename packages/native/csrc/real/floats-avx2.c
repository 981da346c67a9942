#if defined(__x86_64__)
#define NAME(x) avx2_##x
#define VECTOR_BYTES 32
#include "floats.h"
REAL_KERNELS(avx2_real, avx2_kernels)
#endif
