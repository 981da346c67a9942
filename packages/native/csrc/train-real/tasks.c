/* Work shared out among the threads, numbers below 2^-126 taken for 0 in it as bfloat16's instructions do. */
#include "step.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

uint64_t flush_tiny(void) {
#if defined(__x86_64__)
  const uint32_t mode = _mm_getcsr();
  _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | 0x40);
  return mode;
#elif defined(__aarch64__)
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  __asm__ volatile("msr fpcr, %0" : : "r"(mode | 1 << 24));
  return mode;
#else
  return 0;
#endif
}

void restore_mode(uint64_t mode) {
#if defined(__x86_64__)
  _mm_setcsr((uint32_t)mode);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
  (void)mode;
#endif
}

static void flushed_task(void *context, int index, int thread) {
  const RealStep *step = context;
  const uint64_t mode = flush_tiny();
  step->task(context, index, thread);
  restore_mode(mode);
}

void share_out(RealStep *step, Task task, int count) {
  step->task = task;
  run_tasks(step->pool, flushed_task, step, count);
}
