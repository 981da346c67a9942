/*
 * Backward, from the last layer to the first. Of each layer: the gradient of its sums, rounded to bfloat16; the gradient that it hands
 * to the layer in front; and that of the weights it multiplies with.
 */
#include "step.h"
#include <string.h>

/* Constants of dz, from sums of dy and dy * (p - mean) over the batch: docs/training-step.md 8.5. */
static void finish_batch_norm(RealLayer *layer) {
  const double count = (double)layer->images * layer->pixels;
  const int pitch = layer->blocks * BLOCK;
  for (int c = 0; c < layer->outputs; c++) {
    double first = 0, second = 0;
    for (int n = 0; n < layer->images; n++) {
      first += layer->first[(size_t)n * pitch + c];
      second += layer->second[(size_t)n * pitch + c];
    }
    layer->own.dbeta[c] = (float)first;
    layer->own.dgamma[c] = (float)(second * layer->inverse[c]);
    const double inverse = layer->inverse[c], scale = (double)layer->factor[c] * inverse;
    layer->slope[c] = (float)scale;
    layer->curve[c] = (float)(-scale * inverse * inverse * second / count);
    layer->constant[c] = (float)(-scale * first / count);
  }
}

static void sum_gradient(const RealStep *step, const RealLayer *layer, int n, int block) {
  const size_t pixel = layer->outputs, row = layer->dz_columns * pixel, from = block_at(layer, n, block);
  const GradientOf of = {layer->slope + block * BLOCK, layer->mean + block * BLOCK, layer->curve + block * BLOCK,
                         layer->constant + block * BLOCK};
  uint16_t *dz = layer->dz + ((size_t)n * layer->dz_rows + layer->before) * row + layer->before * pixel + block * BLOCK;
  const size_t places = (size_t)layer->height * layer->width, width = layer->width;
  for (int y = 0; y < layer->pooled_height; y++) {
    const size_t at = from + (size_t)y * layer->pooled_width * BLOCK, place = (size_t)y * layer->pool * width;
    const Scaled scaled = layer->k ? (Scaled){layer->k + n * places + place, layer->dk + ((size_t)n * layer->blocks + block) * places + place, width}
                                   : (Scaled){0};
    step->kernels->gradient(layer->dy + at, layer->p + at, layer->winner ? layer->winner + at : 0, layer->pooled_width, layer->pool, of,
                            scaled, lanes_of(layer->outputs, block), dz + (size_t)y * layer->pool * row, row, pixel);
  }
}

/* Gradient of the activations of block `in` of the layer in front: of one image, or, from a dense layer, of all. */
static void input_gradient(const RealStep *step, const RealLayer *layer, int n, int in, int thread) {
  const RealLayer *before = layer - 1;
  const int taps = layer->kernel * layer->kernel;
  const size_t tap_pairs = (size_t)layer->out_pairs * BLOCK, pixel = layer->outputs;
  const uint16_t *dz = layer->dz + (size_t)n * layer->dz_rows * layer->dz_columns * pixel;
  const uint32_t *weights = layer->back + (size_t)in * taps * tap_pairs;
  const int is_flat = layer->is_dense && !before->is_dense;
  float *to = before->dy + block_at(before, n, in % layer->source_blocks) + (size_t)(in / layer->source_blocks) * BLOCK;
  const size_t apart = (is_flat ? (size_t)before->blocks * before->pixels : 1) * BLOCK;
  Run *runs = step->space[thread].runs;
  for (int f = 0; f < layer->phases; f++) {
    const RealPhase *phase = layer->phase + f;
    for (int t = 0; t < phase->tiles; t++) {
      const RealTile *tile = phase->tile + t;
      for (int m = 0; m < phase->meetings; m++)
        runs[m] = (Run){dz + (tile->from + phase->meeting[m].offset) * pixel, weights + phase->meeting[m].tap * tap_pairs, layer->out_pairs};
      float sums[ROWS * BLOCK] __attribute__((aligned(64)));
      step->kernels->tile(sums, runs, phase->meetings, pixel);
      for (int r = 0; r < ROWS; r++)
        if (tile->to[r] >= 0) memcpy(to + tile->to[r] * apart, sums + r * BLOCK, BLOCK * sizeof *sums);
    }
  }
}

/* Straight-through estimator, and what batch norm's gradient is made of, of one block. */
static void estimate(const RealStep *step, const RealLayer *layer, int n, int block) {
  const size_t at = block_at(layer, n, block), to = ((size_t)n * layer->blocks + block) * BLOCK;
  step->kernels->estimate(layer->dy + at, layer->p + at, layer->pixels, line_of(step, layer, block),
                          layer->dmagnitude ? layer->dmagnitude + (size_t)n * layer->pixels : 0, layer->first + to, layer->second + to);
}

static void convolution_task(void *context, int n, int thread) {
  const RealStep *step = context;
  const RealLayer *layer = step->layer + step->current;
  for (int block = 0; block < layer->blocks; block++) sum_gradient(step, layer, n, block);
  if (layer->k) find_magnitude_gradients(layer, n);
  for (int in = 0; !layer->is_first && in < layer->source_blocks; in++) {
    input_gradient(step, layer, n, in, thread);
    estimate(step, layer - 1, n, in);
  }
}

static void sums_task(void *context, int block, int thread) {
  const RealStep *step = context;
  (void)thread;
  sum_gradient(step, step->layer + step->current, 0, block);
}

static void inputs_task(void *context, int in, int thread) {
  const RealStep *step = context;
  input_gradient(step, step->layer + step->current, 0, in, thread);
}

static void estimate_task(void *context, int index, int thread) {
  const RealStep *step = context;
  const RealLayer *layer = step->layer + step->current - 1;
  (void)thread;
  estimate(step, layer, index / layer->blocks, index % layer->blocks);
}

/* Products of one block of outputs, and some blocks of the kernel's rows: images, rows and pairs of pixels in their order. */
static void weights_task(void *context, int index, int thread) {
  const RealStep *step = context;
  const RealLayer *layer = step->layer + step->current;
  const RealStepKernels *kernels = step->kernels;
  const RealSpace *space = step->space + thread;
  const int block = index / layer->chunks, chunk = index % layer->chunks, kernel = layer->kernel, stride = layer->stride;
  const int first_lanes = layer->lane_blocks * chunk / layer->chunks, last_lanes = layer->lane_blocks * (chunk + 1) / layer->chunks;
  const int steps = layer->height * layer->pairs, odd = layer->width % 2;
  const size_t pixel = layer->outputs, row = layer->dz_columns * pixel, row_pairs = (size_t)layer->pairs * BLOCK;
  const size_t x_row = (size_t)layer->columns * layer->channels, image_pairs = (size_t)stride * layer->phase_rows * row_pairs;
  const size_t tap_row = layer->is_straight ? (size_t)layer->run : (size_t)layer->lane_blocks * BLOCK, apart = kernel * tap_row;
  float *products = layer->is_straight ? layer->own.dweights : layer->products;
  for (int first = 0; first < layer->images; first += layer->group) {
    const int count = layer->images - first < layer->group ? layer->images - first : layer->group;
    uint32_t *pairs = space->gradient_pairs;
    for (int i = 0; i < count; i++)
      for (int y = 0; y < layer->height; y++, pairs += row_pairs) {
        const uint16_t *dz = layer->dz + ((size_t)(first + i) * layer->dz_rows + layer->before + y) * row + layer->before * pixel +
                             block * BLOCK;
        kernels->pairs(dz, pixel, 2 * pixel, layer->pairs, pairs);
        /* The last pixel of an odd row has none beside it. */
        if (odd)
          for (int lane = 0; lane < BLOCK; lane++) pairs[row_pairs - BLOCK + lane] &= 0xffff;
      }
    for (int lanes = first_lanes; lanes < last_lanes; lanes++) {
      for (int i = 0; i < count; i++)
        for (int y = 0; y < layer->rows; y++)
          kernels->pairs(layer->x + ((size_t)(first + i) * layer->rows + y) * x_row + lanes * BLOCK, (size_t)stride * layer->channels,
                         2 * (size_t)stride * layer->channels, layer->pairs,
                         space->input_pairs + i * image_pairs + ((size_t)(y % stride) * layer->phase_rows + y / stride) * row_pairs);
      for (int ky = 0; ky < kernel; ky++)
        for (int o = 0; o < BLOCK && block * BLOCK + o < layer->outputs; o += ROWS) {
          for (int i = 0; i < count; i++)
            space->runs[i] = (Run){(const uint16_t *)(space->gradient_pairs + (size_t)i * steps * BLOCK + o),
                                   space->input_pairs + i * image_pairs +
                                       ((size_t)(ky % stride) * layer->phase_rows + ky / stride) * row_pairs,
                                   steps};
          kernels->tile_pairs(products + ((size_t)block * BLOCK + o) * apart + ky * tap_row + lanes * BLOCK, apart, space->runs, count,
                              first == 0);
        }
    }
  }
  if (layer->is_straight) return;
  for (int o = block * BLOCK; o < (block + 1) * BLOCK && o < layer->outputs; o++)
    for (int ky = 0; ky < kernel; ky++) {
      const int from = first_lanes * BLOCK, to = last_lanes * BLOCK < layer->run ? last_lanes * BLOCK : layer->run;
      memcpy(layer->own.dweights + ((size_t)o * kernel + ky) * layer->run + from, products + o * apart + ky * tap_row + from,
             (to - from) * sizeof *products);
    }
}

void run_real_backward(RealStep *step) {
  const RealLayer *last = step->layer + step->layers - 1;
  for (int block = 0; block < last->blocks; block++) estimate(step, last, 0, block);
  for (int k = step->layers - 1; k >= 0; k--) {
    RealLayer *layer = step->layer + k;
    step->current = k;
    double time = clock_seconds();
    finish_batch_norm(layer);
    if (!layer->is_dense) {
      share_out(step, convolution_task, step->batch);
    } else {
      share_out(step, sums_task, layer->blocks);
      for (int n = 0; layer->k && n < step->batch; n++) find_magnitude_gradients(layer, n);
      if (k > 0) {
        share_out(step, inputs_task, layer->sources * layer->source_blocks);
        share_out(step, estimate_task, layer[-1].images * layer[-1].blocks);
      }
    }
    time = clocked(step->seconds + REAL_INPUTS, time);
    share_out(step, weights_task, layer->blocks * layer->chunks);
    clocked(step->seconds + REAL_WEIGHTS, time);
  }
}
