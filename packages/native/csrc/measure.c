/* What each layer takes, and what the processor could do: for `cbnn bench`. */
#define _POSIX_C_SOURCE 199309L
#include "engine.h"
#include <stdlib.h>
#include <time.h>

/* A measurement lasts so long, in nanoseconds. */
static const double LONG_ENOUGH = 2e5;
enum { LIMIT_STEPS = 20000, LIMIT_ROUNDS = 15 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare);
  return values[count / 2];
}

void measure_layers(const Engine *engine, Workspace *workspace, int rounds, double *nanoseconds) {
  double *times = malloc(sizeof *times * rounds);
  for (int k = 0; k < engine->layers; k++) {
    nanoseconds[k] = 0;
    if (!times) continue;
    for (int round = 0; round < rounds; round++) {
      int calls = 0;
      const double begun = now();
      double passed;
      do {
        run_layer(engine, workspace, k);
        calls++;
      } while ((passed = now() - begun) < LONG_ENOUGH);
      times[round] = passed / calls;
    }
    nanoseconds[k] = median(times, rounds);
  }
  free(times);
}

double measure_limit(const Kernels *kernels) {
  double rates[LIMIT_ROUNDS];
  for (int round = 0; round < LIMIT_ROUNDS; round++) {
    const double begun = now();
    const double products = kernels->limit(LIMIT_STEPS);
    rates[round] = 1e9 * products / (now() - begun);
  }
  return median(rates, LIMIT_ROUNDS);
}
