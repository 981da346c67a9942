/*
 * Backward, from the last layer to the first. Of each layer: the gradient of its sums, rounded to int8; from that, the products that
 * its weights' gradient is made of, and the gradient that it hands to the layer before.
 */
#include "step.h"
#include <math.h>
#include <string.h>

/* Images whose gradients' squares fit 32 bits: a row of a dense layer's gradients. */
enum { SOME_IMAGES = 1 << 16 };
/* Values and bits are at most 2, gradients 127. */
enum { FLUSH = INT16_MAX / (2 * 2 * MOST_GRADIENT) };

/* Constants of dz = scale * dy + curve * p + offset, divided by `unit`: docs/training-step.md 5. */
static void set_gradient(Step *step, StepLayer *layer, float unit) {
  const double samples = (double)step->batch * layer->pixels;
  for (int c = 0; c < layer->outputs; c++) {
    const double inverse = layer->inverse[c], scale = (double)layer->gamma.value[c] * inverse;
    const double curve = -scale * inverse * layer->dgamma[c] / samples;
    layer->slope[c] = (float)(scale * layer->dy_unit / unit);
    layer->curve[c] = (float)(curve / unit);
    layer->offset[c] = (float)((-scale * layer->dbeta[c] / samples - layer->mean[c] * curve) / unit);
  }
}

/* Sums of dy and dy * (p - mean) over the batch become gradients of beta and gamma. */
static void finish_batch_norm(StepLayer *layer) {
  for (int c = 0; c < layer->outputs; c++) {
    double first = 0, second = 0;
    for (int i = 0; i < layer->partials; i++) {
      first += layer->first[(size_t)i * layer->pitch + c];
      second += layer->second[(size_t)i * layer->pitch + c];
    }
    layer->dbeta[c] = (float)(first * layer->dy_unit);
    layer->dgamma[c] = (float)(second * layer->dy_unit * layer->inverse[c]);
  }
}

/* Wellons' "lowbias32": every bit of the key changes half the others. */
static uint32_t mixed(uint32_t key) {
  key = (key ^ key >> 16) * 0x7feb352d;
  key = (key ^ key >> 15) * 0x846ca68b;
  return key ^ key >> 16;
}

/* Of pixels at .. at + count - 1, the batch's row number `row_index`. */
static float gradient_row(const Step *step, const StepLayer *layer, size_t at, uint32_t row_index, int block, int count, int8_t *out,
                          size_t row, int32_t *sum, int64_t *counts) {
  const size_t from = at * layer->pitch + (size_t)block * BLOCK;
  const uint32_t key = mixed(step->number * (uint32_t)step->layers + (uint32_t)(layer - step->layer));
  const GradientOf of = {layer->slope + block * BLOCK, layer->curve + block * BLOCK, layer->offset + block * BLOCK,
                         mixed(key + row_index), (uint32_t)(block * BLOCK)};
  return (layer->is_wide ? step->kernels->gradient32 : step->kernels->gradient16)(
      (const char *)layer->p + from * (layer->is_wide ? 4 : 2), layer->dy + from, layer->winner ? layer->winner + from : 0, layer->pitch,
      count, layer->spec.pool, of, out, row, layer->pitch, sum, counts);
}

/* The int8 gradient of image `n` into the thread's padded map. */
static void image_gradient(Step *step, int k, int n, int8_t *map, int thread) {
  StepLayer *layer = step->layer + k;
  const LayerSpec *spec = &layer->spec;
  const size_t row = (size_t)layer->columns * layer->pitch;
  int32_t *sum = layer->correction + (size_t)thread * layer->pitch;
  for (int block = 0; block < layer->out_blocks; block++)
    for (int y = 0; y < spec->pooled_height; y++) {
      int8_t *out = map + (size_t)(layer->before_rows + y * spec->pool) * row + (size_t)layer->before_columns * layer->pitch +
                    (size_t)block * BLOCK;
      const int row_index = n * spec->pooled_height + y;
      const float largest = gradient_row(step, layer, (size_t)row_index * spec->pooled_width, (uint32_t)row_index, block,
                                         spec->pooled_width, out, row, sum + block * BLOCK, layer->counts[thread]);
      if (largest > layer->largest[thread]) layer->largest[thread] = largest;
    }
}

/* Hands a tile of the gradient of layer `k`'s input to layer k - 1. */
static void estimate(const Step *step, int k, const int32_t *sums, const int32_t *correction, const int64_t pixel[ROWS], int block,
                     int partial) {
  StepLayer *before = step->layer + k - 1;
  const size_t to = (size_t)partial * before->pitch + (size_t)block * BLOCK;
  (before->is_wide ? step->kernels->estimate32 : step->kernels->estimate16)(
      sums, correction, pixel, before->p, before->dy, before->low + block * BLOCK, before->high + block * BLOCK,
      before->mean + block * BLOCK, before->first + to, before->second + to);
}

static void input_gradient(const Step *step, int k, StepSpace *space, int first, int count) {
  const StepLayer *layer = step->layer + k, *before = layer - 1;
  const int map = layer->rows * layer->columns;
  const int8_t *gradient = space->gradient[k];
  step->kernels->byte_sums(gradient, layer->pitch, count * map, space->pixel_sums);
  int32_t *correction = space->corrections;
  for (int i = 0; i < count; i++)
    for (int f = 0; f < layer->phases; f++) {
      const Phase *phase = layer->phase + f;
      for (int t = 0; t < phase->tiles; t++, correction += ROWS) {
        for (int r = 0; r < ROWS; r++) correction[r] = 0;
        for (int m = 0; m < phase->meetings; m++) {
          const int32_t *from = space->pixel_sums + i * map + phase->tile[t].from + phase->meeting[m].offset;
          for (int r = 0; r < ROWS; r++) correction[r] += from[r];
        }
      }
    }
  const size_t tap_bytes = (size_t)layer->out_quads * BLOCK * 4;
  for (int block = 0; block < layer->in_blocks; block++) {
    const uint8_t *signs = layer->signs + (size_t)block * layer->taps * tap_bytes;
    correction = space->corrections;
    for (int i = 0; i < count; i++)
      for (int f = 0; f < layer->phases; f++) {
        const Phase *phase = layer->phase + f;
        for (int t = 0; t < phase->tiles; t++, correction += ROWS) {
          const Tile *tile = phase->tile + t;
          for (int m = 0; m < phase->meetings; m++)
            space->segments[m] = (Segment){
                gradient + ((size_t)i * map + tile->from + phase->meeting[m].offset) * layer->pitch,
                signs + phase->meeting[m].tap * tap_bytes, layer->out_quads};
          int64_t pixel[ROWS];
          for (int r = 0; r < ROWS; r++) {
            const int64_t at = ((int64_t)(first + i) * before->pixels + tile->to[r]) * before->pitch + block * BLOCK;
            pixel[r] = tile->to[r] < 0 ? -1 : at;
            /* By the time the sums are there, so is what they are compared with. */
            __builtin_prefetch((const char *)before->p + at * (before->is_wide ? 4 : 2));
            __builtin_prefetch(before->dy + at, 1);
          }
          int32_t sums[ROWS * BLOCK] __attribute__((aligned(64)));
          step->kernels->tile(sums, BLOCK, space->segments, phase->meetings, layer->pitch, FLUSH);
          estimate(step, k, sums, correction, pixel, block, first + i);
        }
      }
  }
}

static void convolution_task(void *context, int index, int thread) {
  Step *step = context;
  const int k = step->current;
  StepLayer *layer = step->layer + k;
  StepSpace *space = step->space + thread;
  const int first = (int)((int64_t)step->batch * index / layer->groups);
  const int count = (int)((int64_t)step->batch * (index + 1) / layer->groups) - first;
  if (count <= 0) return;
  const size_t map = (size_t)layer->rows * layer->columns * layer->pitch;
  double time = clock_seconds();
  for (int i = 0; i < count; i++) image_gradient(step, k, first + i, space->gradient[k] + i * map, thread);
  time = clocked(space->seconds + ROUND_GRADIENTS, time);
  weight_products(step, layer, first, count, space->gradient[k], thread);
  time = clocked(space->seconds + WEIGHT_PRODUCTS, time);
  if (k > 0) input_gradient(step, k, space, first, count);
  clocked(space->seconds + INPUT_GRADIENTS, time);
}

/* Only the size of the gradient: where nothing is known of it yet. */
static void size_task(void *context, int n, int thread) {
  Step *step = context;
  const int k = step->current;
  image_gradient(step, k, n, step->space[thread].gradient[k], thread);
}

static void clear_gradient(Step *step, StepLayer *layer) {
  memset(layer->largest, 0, sizeof *layer->largest * step->threads);
  memset(layer->counts, 0, sizeof *layer->counts * step->threads);
  memset(layer->has_products, 0, sizeof *layer->has_products * step->threads);
  memset(layer->correction, 0, sizeof *layer->correction * step->threads * layer->pitch);
}

float largest_gradient(const Step *step, const StepLayer *layer) {
  float largest = 0;
  for (int t = 0; t < step->threads; t++) largest = layer->largest[t] > largest ? layer->largest[t] : largest;
  return largest;
}

static void convolution_backward(Step *step, int k) {
  StepLayer *layer = step->layer + k;
  clear_gradient(step, layer);
  if (!(layer->unit > 0)) {
    set_gradient(step, layer, 1);
    run_tasks(step->pool, size_task, step, step->batch);
    const float largest = largest_gradient(step, layer);
    layer->unit = largest > 0 ? largest / MOST_GRADIENT : 1;
    clear_gradient(step, layer);
  }
  set_gradient(step, layer, layer->unit);
  run_tasks(step->pool, convolution_task, step, layer->groups);
}

/* One tap of one block of inputs: its weights' products, and its gradient. */
static void dense_task(void *context, int index, int thread) {
  Step *step = context;
  const int k = step->current;
  StepLayer *layer = step->layer + k;
  StepSpace *space = step->space + thread;
  const int tap = index / layer->in_blocks, block = index % layer->in_blocks, words = 2 * layer->words;
  const size_t image = 2 * layer->image_words;
  const size_t offset[4] = {0, image, 2 * image, 3 * image};
  if (layer->is_first && !step->is_sliced)
    for (int q = 0; q < layer->quads; q++) {
      const uint8_t *pixel[4];
      for (int j = 0; j < 4; j++) pixel[j] = pixel_at(step, 4 * q + j, tap / step->width, tap % step->width);
      put_values(step, pixel, block, space->input_quads + (size_t)q * BLOCK * 4);
    }
  else
    step->kernels->expand((const uint32_t *)layer->input + (size_t)tap * words + block, offset, 4 * image, 0, layer->quads,
                          space->input_quads);
  const size_t out_stride = (size_t)layer->taps * layer->lane_pitch;
  for (int o = 0; o < layer->outputs; o += ROWS) {
    const Segment segment = {(const int8_t *)layer->dense_quads + (size_t)o * layer->quads * 4, space->input_quads, layer->quads};
    int32_t *to = layer->products[0] + (size_t)o * out_stride + (size_t)tap * layer->lane_pitch + block * BLOCK;
    step->kernels->tile_quads(to, out_stride, &segment, 1, layer->is_first ? step->lanes_flush : FLUSH, 1);
  }
  if (k == 0) return;
  const StepLayer *before = layer - 1;
  const uint8_t *signs = layer->signs + ((size_t)block * layer->taps + tap) * layer->out_quads * BLOCK * 4;
  for (int n = 0; n < step->batch; n += ROWS) {
    int32_t sums[ROWS * BLOCK] __attribute__((aligned(64)));
    const Segment segment = {layer->dense_gradient + (size_t)n * layer->pitch, signs, layer->out_quads};
    step->kernels->tile(sums, BLOCK, &segment, 1, layer->pitch, FLUSH);
    int64_t pixel[ROWS];
    for (int r = 0; r < ROWS; r++)
      pixel[r] = n + r < step->batch ? ((int64_t)(n + r) * before->pixels + tap) * before->pitch + block * BLOCK : -1;
    estimate(step, k, sums, layer->dense_sums + n, pixel, block, tap);
  }
}

static void dense_gradient(Step *step, StepLayer *layer) {
  for (int block = 0; block < layer->out_blocks; block++)
    for (int n = 0; n < step->batch; n += SOME_IMAGES) {
      const int count = step->batch - n < SOME_IMAGES ? step->batch - n : SOME_IMAGES;
      const float largest = gradient_row(step, layer, n, (uint32_t)(n / SOME_IMAGES), block, count, layer->dense_gradient + (size_t)n * layer->pitch + block * BLOCK, 0,
                                         layer->correction + block * BLOCK, layer->counts[0]);
      if (largest > layer->largest[0]) layer->largest[0] = largest;
    }
}

/* Dense layers' gradients are few, and their largest changes much from step to step: it is taken of this one. */
static void dense_backward(Step *step, int k) {
  StepLayer *layer = step->layer + k;
  clear_gradient(step, layer);
  set_gradient(step, layer, 1);
  dense_gradient(step, layer);
  const float largest = layer->largest[0];
  layer->unit = largest > 0 ? largest / MOST_GRADIENT : 1;
  clear_gradient(step, layer);
  set_gradient(step, layer, layer->unit);
  dense_gradient(step, layer);
  step->kernels->byte_sums(layer->dense_gradient, layer->pitch, step->batch, layer->dense_sums);
  for (int block = 0; block < layer->out_blocks; block++)
    step->kernels->quads(layer->dense_gradient + block * BLOCK, layer->pitch, layer->quads,
                         layer->dense_quads + (size_t)block * BLOCK * layer->quads * 4, (size_t)layer->quads * ROWS * 4);
  layer->has_products[0] = 1;
  run_tasks(step->pool, dense_task, step, layer->taps * layer->in_blocks);
}

void run_backward(Step *step) {
  double time = clock_seconds();
  for (int k = step->layers - 1; k >= 0; k--) {
    StepLayer *layer = step->layer + k;
    step->current = k;
    if (!layer->is_last) finish_batch_norm(layer);
    if (k > 0) {
      const size_t partials = (size_t)layer[-1].partials * layer[-1].pitch;
      memset(layer[-1].first, 0, sizeof *layer->first * partials);
      memset(layer[-1].second, 0, sizeof *layer->second * partials);
    }
    if (layer->spec.is_dense) dense_backward(step, k);
    else convolution_backward(step, k);
    if (k > 0) layer[-1].dy_unit = layer->unit;
    time = clocked(step->seconds + (layer->spec.is_dense ? DENSE_BACKWARD : CONV_BACKWARD), time);
  }
}
