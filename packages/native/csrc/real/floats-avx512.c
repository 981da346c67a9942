#if defined(__x86_64__)
#define NAME(x) avx512_##x
#define VECTOR_BYTES 64
#include "floats.h"
REAL_KERNELS(avx512_real, avx512_kernels)
#endif
