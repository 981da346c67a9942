/* What happens to weights: Adam after a step, and their bits before the next. */
#include "step.h"
#include <math.h>
#include <string.h>

/* Gradients that are made at a time: they stay in the first-level cache. */
enum { SOME = 1024, MOST_WEIGHT = 127 };

static const float SMALLEST_SCALE = 1e-20f;

/* The task's layer and block of BLOCK outputs. */
static StepLayer *layer_of(Step *step, int index, int *block) {
  int k = 0;
  while (index >= step->layer[k].out_blocks) index -= step->layer[k++].out_blocks;
  *block = index;
  return step->layer + k;
}

static int all_blocks(const Step *step) {
  int blocks = 0;
  for (int k = 0; k < step->layers; k++) blocks += step->layer[k].out_blocks;
  return blocks;
}

/* An 8-bit image's gradient of one weight from its three lanes. */
static void gather_values(const Step *step, const StepLayer *layer, const int32_t *const *products, int copies, size_t at, float *out) {
  const int channels = step->channels;
  for (int c = 0; c < channels; c++) {
    int64_t sum = 0;
    for (int copy = 0; copy < copies; copy++) sum += value_product(products[copy] + at, c, channels);
    out[c] = (float)sum * layer->unit;
  }
}

/* Adam on weights c .. c + count - 1 of an output's tap. */
static void learn(const Step *step, StepLayer *layer, int o, int tap, int c, int count, float *gradient) {
  const size_t at = ((size_t)o * layer->taps + tap) * layer->channels + c;
  if (layer->is_first)
    for (int i = 0; i < count; i++)
      gradient[i] = (step->is_integer ? gradient[i] / step->first_scale[o] : gradient[i]) * step->place[c + i];
  step->kernels->adam(layer->weights.value + at, layer->weights.first + at, layer->weights.second + at, gradient, count,
                      layer->is_latent ? step->latent_rate * layer->rate_scale : step->float_rate, layer->is_latent);
}

/* Threads that have products; returns how many. */
static int threads_of(const Step *step, const StepLayer *layer, const int32_t *products[MOST_THREADS]) {
  int copies = 0;
  for (int t = 0; t < step->threads; t++)
    if (layer->has_products[t]) products[copies++] = layer->products[t];
  return copies;
}

/* Sums looked up in tables lie [channel][output]. */
static void learn_looked_up(const Step *step, StepLayer *layer, int block, int end) {
  const int32_t *products[MOST_THREADS];
  const int copies = threads_of(step, layer, products);
  for (int tap = 0; tap < layer->taps; tap++) {
    int32_t less[BLOCK] = {0};
    for (int t = 0; t < step->threads; t++)
      for (int o = 0; layer->has_products[t] && o < BLOCK; o++)
        less[o] += layer->correction[(size_t)t * layer->pitch + block * BLOCK + o] -
                   layer->outside[t][(size_t)tap * layer->pitch + block * BLOCK + o];
    for (int c = 0; c < layer->channels; c += BLOCK) {
      const int count = layer->channels - c < BLOCK ? layer->channels - c : BLOCK;
      const size_t at = (((size_t)block * layer->taps + tap) * layer->lane_pitch + c) * BLOCK;
      float gradient[BLOCK * BLOCK];
      step->kernels->gather_tables(products, copies, at, less, layer->unit, gradient);
      for (int o = block * BLOCK; o < end; o++) learn(step, layer, o, tap, c, count, gradient + o % BLOCK * BLOCK);
    }
  }
}

/* Of outputs that have their own sums in a row. */
static void learn_rows(const Step *step, StepLayer *layer, int block, int end) {
  const int32_t *products[MOST_THREADS];
  const int copies = threads_of(step, layer, products);
  for (int o = block * BLOCK; o < end; o++) {
    int32_t less = 0;
    for (int t = 0; t < step->threads; t++) less += layer->correction[(size_t)t * layer->pitch + o];
    for (int tap = 0; tap < layer->taps; tap++) {
      const size_t at = ((size_t)o * layer->taps + tap) * layer->lane_pitch;
      for (int c = 0; c < layer->channels; c += SOME) {
        const int count = layer->channels - c < SOME ? layer->channels - c : SOME;
        float gradient[SOME];
        if (layer->is_first && !step->is_sliced) gather_values(step, layer, products, copies, at, gradient);
        else step->kernels->gather(products, copies, at + c, less, layer->unit, count, gradient);
        learn(step, layer, o, tap, c, count, gradient);
      }
    }
  }
}

static void update_task(void *context, int index, int thread) {
  Step *step = context;
  (void)thread;
  int block;
  StepLayer *layer = layer_of(step, index, &block);
  const int end = layer->outputs < (block + 1) * BLOCK ? layer->outputs : (block + 1) * BLOCK;
  (layer->looks_up ? learn_looked_up : learn_rows)(step, layer, block, end);
  const int from = block * BLOCK, count = end - from;
  step->kernels->adam(layer->gamma.value + from, layer->gamma.first + from, layer->gamma.second + from, layer->dgamma + from, count, step->float_rate, 0);
  step->kernels->adam(layer->beta.value + from, layer->beta.first + from, layer->beta.second + from, layer->dbeta + from, count, step->float_rate, 0);
}

/* The next step's gradients are as large as this one's, or nearly so: docs/training-step.md 5. */
static void set_unit(const Step *step, StepLayer *layer) {
  float largest = largest_gradient(step, layer);
  int64_t squares = 0;
  for (int t = 0; t < step->threads; t++) squares += layer->counts[t][2];
  const double values = (double)step->batch * layer->pixels * layer->outputs;
  const float most = (float)(MOST_PEAK * sqrt((double)squares / values));
  if (most > 0 && most < largest) largest = most;
  if (largest > 0) layer->unit = layer->unit * largest / MOST_GRADIENT;
}

void update_weights(Step *step) {
  run_tasks(step->pool, update_task, step, all_blocks(step));
  for (int k = 0; k < step->layers; k++)
    if (!step->layer[k].spec.is_dense) set_unit(step, step->layer + k);
}

/* The first layer's weights as signed bytes, and the scale of integer ones: graph/operations/quantizers.ts. */
static void prepare_first(Step *step, StepLayer *layer, int o) {
  const int channels = layer->channels, count = layer->taps * channels, run = count / step->runs;
  const float *w = layer->weights.value + (size_t)o * count;
  float scale = 1;
  if (step->is_integer) {
    float largest = SMALLEST_SCALE;
    for (int i = 0; i < count; i++) {
      const float size = fabsf(w[i] * step->place[i % channels]);
      if (size > largest) largest = size;
    }
    scale = largest * (1.f / MOST_WEIGHT);
  }
  step->first_scale[o] = scale;
  int32_t base = 0;
  for (int i = 0; i < count; i++) {
    const int c = i % channels, r = i / run, j = i % run;
    const int whole = step->is_integer ? rounded(w[i] * step->place[c] / scale) : w[i] >= 0 ? 1 : -1;
    for (int p = 0; p < step->planes; p++) base -= step->plane_factor[p] * whole * step->centre[p * channels + c];
    step->first_weights[((((size_t)(o / BLOCK) * step->runs + r) * step->run_steps + j / 4) * BLOCK + o % BLOCK) * 4 + j % 4] =
        (int8_t)whole;
  }
  step->first_base[o] = base;
}

/* Bits of one output's weights, and how many are set in each tap. */
static void prepare_bits(const Step *step, StepLayer *layer, int o) {
  for (int tap = 0; tap < layer->taps; tap++) {
    const float *w = layer->weights.value + ((size_t)o * layer->taps + tap) * layer->channels;
    int ones = 0;
    uint64_t all[layer->words];
    for (int word = 0; word < layer->words; word++) {
      uint64_t bits = 0;
      for (int half = 0; half < 2; half++) {
        const int c = 64 * word + BLOCK * half;
        if (c + BLOCK <= layer->channels) bits |= (uint64_t)step->kernels->signs(w + c) << (BLOCK * half);
        else
          for (int i = c; i < layer->channels; i++) bits |= (uint64_t)(w[i] >= 0) << (i % 64);
      }
      all[word] = bits;
      ones += __builtin_popcountll(bits);
      layer->bits.weights[(((size_t)(o / BLOCK) * layer->taps + tap) * layer->words + word) * BLOCK + o % BLOCK] = bits;
    }
    layer->ones[(size_t)tap * layer->pitch + o] = ones;
    if (layer->is_looked_up) set_lookups(&layer->lookup, o, tap, all);
  }
}

/* Sums of places whose window reaches over the border: taps outside meet words of 0, and count none. */
static void prepare_base(StepLayer *layer, int o) {
  const int kernel = layer->spec.kernel;
  for (int r = 0; r < layer->row_kinds; r++)
    for (int c = 0; c < layer->column_kinds; c++) {
      int32_t base = 0;
      for (int tap = 0; tap < layer->taps; tap++) {
        const int y = tap / kernel, x = tap % kernel;
        const int inside = layer->spec.is_dense || (y >= layer->row_reach[r].first && y < layer->row_reach[r].last &&
                                                    x >= layer->column_reach[c].first && x < layer->column_reach[c].last);
        /* Looked up, positions outside count nothing. */
        const int outside = layer->is_looked_up ? 0 : layer->ones[(size_t)tap * layer->pitch + o];
        base += inside ? layer->channels : 2 * outside;
      }
      layer->base[((size_t)r * layer->column_kinds + c) * layer->pitch + o] = base;
    }
}

static void prepare_task(void *context, int index, int thread) {
  Step *step = context;
  (void)thread;
  int block;
  StepLayer *layer = layer_of(step, index, &block);
  const int end = layer->outputs < (block + 1) * BLOCK ? layer->outputs : (block + 1) * BLOCK;
  for (int o = block * BLOCK; o < end; o++) {
    if (layer->is_first) {
      prepare_first(step, layer, o);
      continue;
    }
    prepare_bits(step, layer, o);
    prepare_base(layer, o);
  }
  if (layer->is_first) return;
  /* The same bits for the gradient of the input: 2 for +1, quads of outputs. */
  const size_t words = 2 * BLOCK; /* of 32 bits, from word to word */
  const size_t offset[4] = {0, 2, 4, 6};
  for (int in = 0; in < layer->in_blocks; in++)
    for (int tap = 0; tap < layer->taps; tap++) {
      const int quads = (end - block * BLOCK + 3) / 4;
      const uint32_t *from = (const uint32_t *)layer->bits.weights +
                             (((size_t)block * layer->taps + tap) * layer->words + in / 2) * words + in % 2;
      uint8_t *to = layer->signs + (((size_t)in * layer->taps + tap) * layer->out_quads + (size_t)block * (BLOCK / 4)) * BLOCK * 4;
      step->kernels->expand(from, offset, 8, 0, quads, to);
    }
}

void prepare_weights(Step *step) { run_tasks(step->pool, prepare_task, step, all_blocks(step)); }
