/* Seconds of a clock that only rises, and of two ways to do the same. */
#ifndef CBNN_CLOCK_H
#define CBNN_CLOCK_H
#include <time.h>

static inline double clock_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Two ways that take turns, 0 and 1, begun at some time: each one's shortest is kept. The first turn is number 0. */
static inline void keep_shortest(double shortest[2], int turn, double begun) {
  const double passed = clock_seconds() - begun;
  if (turn < 2 || passed < shortest[turn % 2]) shortest[turn % 2] = passed;
}
#endif
