#include "step.h"

extern const StepKernels portable_step_kernels;
#if defined(__x86_64__)
extern const StepKernels avx512_step_kernels, avxvnni_step_kernels, avx2_step_kernels;
#elif defined(__aarch64__)
extern const StepKernels neon_dot_step_kernels, neon_step_kernels;
#endif

const StepKernels *const all_step_kernels[] = {
#if defined(__x86_64__)
    &avx512_step_kernels,
#ifndef NO_AVXVNNI
    &avxvnni_step_kernels,
#endif
    &avx2_step_kernels,
#elif defined(__aarch64__)
    &neon_dot_step_kernels,
    &neon_step_kernels,
#endif
    &portable_step_kernels,
    0,
};

Adam fastest_adam(void) {
  int i = 0;
  while (!all_step_kernels[i]->supported()) i++;
  return all_step_kernels[i]->adam;
}
