/*
 * Whether a convolution of bits looks its sums up or counts them. How much work either is, follows from the layer's shape; what that costs on
 * this processor, from one layer that is timed both ways, once: a millisecond or so.
 */
#include "clock.h"
#include "engine.h"
#include <stdatomic.h>
#include <stdint.h>

enum { SIDE = 16, TIMED_CHANNELS = 64, TIMED_KERNEL = 3, ROUNDS = 4, MOST_KERNELS = 4 };

/* Products, those of padding in words and blocks included. */
static double count_work(const LayerSpec *spec) {
  const double words = (spec->input_channels + 63) / 64, outputs = BLOCK * blocks_of(spec->outputs);
  return (double)spec->height * spec->width * spec->kernel * spec->kernel * 64 * words * outputs;
}

/* What a lookup costs in products that are counted; 0 where memory lacks, or the clock stood still. */
static double measure(const Kernels *kernels) {
  static const uint8_t weights[TIMED_CHANNELS * TIMED_KERNEL * TIMED_KERNEL * TIMED_CHANNELS / 8];
  static const int32_t thresholds[TIMED_CHANNELS];
  const int fan_in = TIMED_KERNEL * TIMED_KERNEL * TIMED_CHANNELS, padded = SIDE + 2;
  const LayerSpec spec = {.height = SIDE, .width = SIDE, .outputs = TIMED_CHANNELS, .input_height = SIDE, .input_width = SIDE,
                          .input_channels = TIMED_CHANNELS, .pool = 1, .pooled_height = SIDE, .pooled_width = SIDE,
                          .kernel = TIMED_KERNEL, .stride = 1, .pad_start = 1, .pad_end = 1, .fan_in = fan_in, .bound = fan_in,
                          .weights = weights, .thresholds = thresholds};
  const Map in = {SIDE, SIDE, TIMED_CHANNELS, 1, 1, padded, (size_t)padded * padded};
  Engine engine = {.kernels = kernels};
  Layer counted = {.kind = BITS, .out = {SIDE, SIDE, TIMED_CHANNELS, 1, 0, SIDE, SIDE * SIDE}};
  Layer looked_up = counted;
  looked_up.kind = LOOKUP;
  LookupSpace space;
  const size_t most = SIZE_MAX;
  double best[2] = {0};
  if (build_bits(&engine, most, &counted, &spec, &in) && build_lookup(&engine, most, &looked_up, &spec, &in, kernels->lookup_bytes) &&
      take_lookup_space(&engine.allocations, &engine.bytes, most, &engine.lookup, &space)) {
    const uint64_t *from = take(&engine.allocations, &engine.bytes, most, in.image_words * sizeof *from);
    uint32_t *to = take(&engine.allocations, &engine.bytes, most, counted.out.image_words * sizeof(uint64_t));
    for (int turn = 0; from && to && turn < 2 * ROUNDS; turn++) {
      const double begun = clock_seconds();
      if (turn % 2) kernels->lookups(&looked_up.lookup, from, &space, to);
      else kernels->bits(&counted.bits, counted.places, counted.place_count, from, to);
      keep_shortest(best, turn, begun);
    }
  }
  free_all(engine.allocations);
  if (best[0] <= 0 || best[1] <= 0) return 0;
  return best[1] / lookup_work(&spec, kernels->lookup_bytes) * (count_work(&spec) / best[0]);
}

int lookups_are_faster(const LayerSpec *spec, const Kernels *kernels) {
  /* 0: not measured yet. Two threads may both do it. Where it cannot be, sums are looked up. */
  static _Atomic double costs[MOST_KERNELS];
  const double work = lookup_work(spec, kernels->lookup_bytes);
  if (work == 0) return 0;
  int set = 0;
  while (all_kernels[set] != kernels && set + 1 < MOST_KERNELS) set++;
  double cost = atomic_load(costs + set);
  if (cost == 0) atomic_store(costs + set, cost = measure(kernels));
  return work * cost < count_work(spec);
}
