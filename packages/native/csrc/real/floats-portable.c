/* 16 bytes are a vector of every x86-64 and every arm64: NEON needs nothing of its own. */
#define NAME(x) portable_##x
#define VECTOR_BYTES 16
#include "floats.h"
REAL_KERNELS(portable_real, portable_kernels)
#if defined(__aarch64__)
REAL_KERNELS(neon_real, neon_kernels)
#endif
