/* What each layer takes, and what the processor could do: for `cbnn bench`. */
#include "clock.h"
#include "engine.h"
#include <stdlib.h>

/* A measurement lasts so long, in seconds. */
static const double LONG_ENOUGH = 2e-4;
enum { LIMIT_STEPS = 10000 };

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare);
  return values[count / 2];
}

static double layer_time(const Engine *engine, Workspace *workspace, int k) {
  int calls = 0;
  const double begun = clock_seconds();
  double passed;
  do {
    run_layer(engine, workspace, k);
    calls++;
  } while ((passed = clock_seconds() - begun) < LONG_ENOUGH);
  return 1e9 * passed / calls;
}

static double limit_rate(const Kernels *kernels) {
  const double begun = clock_seconds();
  const double products = kernels->limit(LIMIT_STEPS);
  return products / (clock_seconds() - begun);
}

int measure_layers(const Engine *engine, Workspace *workspace, int rounds, double *out) {
  /* All in every round: a processor that changes its pace changes it for layers and limit alike. */
  const int columns = engine->layers + 1;
  double *found = malloc(sizeof *found * rounds * columns);
  if (!found) return 0;
  for (int round = 0; round < rounds; round++)
    for (int k = 0; k < columns; k++)
      found[k * rounds + round] =
          k < engine->layers ? layer_time(engine, workspace, k) : limit_rate(engine->kernels);
  for (int k = 0; k < columns; k++) out[k] = median(found + k * rounds, rounds);
  free(found);
  return 1;
}
