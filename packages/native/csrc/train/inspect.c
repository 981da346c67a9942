/* What a step leaves behind, for tests and for metrics. */
#include "step.h"
#include <math.h>

void gradient_report(const Step *step, int k, double out[3]) {
  const StepLayer *layer = step->layer + k;
  int64_t counts[3] = {0};
  for (int t = 0; t < step->threads; t++)
    for (int i = 0; i < 3; i++) counts[i] += layer->counts[t][i];
  /* Lanes behind the last channel were counted among the zeros. */
  const double lanes = (double)step->batch * layer->pixels * layer->pitch, all = (double)step->batch * layer->pixels * layer->outputs;
  out[0] = (double)counts[0] / all;
  out[1] = ((double)counts[1] - (lanes - all)) / all;
  out[2] = counts[2] > 0 ? largest_gradient(step, layer) / sqrt((double)counts[2] / all) : 0;
}

/* 0: sums p [batch][pixels][outputs]; 1: products of weights [outputs][taps][channels], exact gradients in units of `unit`. */
int inspect_step(const Step *step, int k, int what, int32_t *out, size_t length) {
  const StepLayer *layer = step->layer + k;
  if (what == 0) {
    if (length != (size_t)step->batch * layer->pixels * layer->outputs) return 0;
    for (int n = 0; n < step->batch; n++)
      for (int pixel = 0; pixel < layer->pixels; pixel++)
        for (int c = 0; c < layer->outputs; c++) *out++ = sum_at(layer, n, pixel, c);
    return 1;
  }
  if (what != 1 || length != (size_t)layer->outputs * layer->taps * layer->channels) return 0;
  for (int o = 0; o < layer->outputs; o++)
    for (int tap = 0; tap < layer->taps; tap++, out += layer->channels) {
      if (!layer->is_first || step->is_sliced) {
        gather_products(step, layer, o, tap, 0, layer->channels, out);
        continue;
      }
      for (int c = 0; c < layer->channels; c++) {
        int64_t sum = 0;
        for (int t = 0; t < step->threads; t++)
          if (layer->has_products[t])
            sum += value_product(layer->products[t] + ((size_t)o * layer->taps + tap) * layer->lane_pitch, c, layer->channels);
        out[c] = (int32_t)sum;
      }
    }
  return 1;
}
