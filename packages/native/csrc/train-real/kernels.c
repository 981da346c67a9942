#include "step.h"

extern const RealStepKernels portable_real_kernels;
#if defined(__x86_64__)
extern const RealStepKernels avx512_real_kernels, avx2_real_kernels;
#elif defined(__aarch64__)
extern const RealStepKernels neon_real_kernels;
#endif

const RealStepKernels *const all_real_step_kernels[] = {
#if defined(__x86_64__)
#ifndef NO_AVX512BF16
    &avx512_real_kernels,
#endif
    &avx2_real_kernels,
#elif defined(__aarch64__)
    &neon_real_kernels,
#endif
    &portable_real_kernels,
    0,
};
