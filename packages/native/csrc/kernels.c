#include "layers.h"

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx512_kernels, avx2_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels;
#endif

const Kernels *const all_kernels[] = {
#if defined(__x86_64__)
    &avx512_kernels,
    &avx2_kernels,
#elif defined(__aarch64__)
    &neon_kernels,
#endif
    &portable_kernels,
    0,
};
