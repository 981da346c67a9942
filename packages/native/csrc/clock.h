/* Seconds of a clock that only rises. */
#ifndef CBNN_CLOCK_H
#define CBNN_CLOCK_H
#include <time.h>

static inline double clock_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}
#endif
