/* Forward: weights and images as bfloat16, sums of every layer, batch norm, activations, scores. */
#include "step.h"
#include <math.h>
#include <string.h>

/* Variance floor, and the gain that turns a clip into a sign: packages/cbnn/src/graph/operations/batch-norm.ts. */
static const float EPSILON = 1e-4f, SIGN_GAIN = 1e20f;

/* Weights of one block as pairs along the kernel's rows. */
static void prepare_forward(const RealStep *step, const RealLayer *layer, int block) {
  const int lanes = lanes_of(layer->outputs, block);
  const size_t row = (size_t)layer->kernel * layer->run;
  uint16_t tile[BLOCK][BLOCK] __attribute__((aligned(64)));
  memset(tile, 0, sizeof tile);
  for (int ky = 0; ky < layer->kernel; ky++)
    for (int first = 0; first < layer->run; first += BLOCK) {
      const int count = layer->run - first < BLOCK ? layer->run - first : BLOCK;
      uint32_t *out = layer->weights + (((size_t)block * layer->kernel + ky) * layer->run_pairs + first / 2) * BLOCK;
      for (int i = 0; i < lanes; i++) {
        step->kernels->round(layer->own.weights + ((size_t)block * BLOCK + i) * row + (size_t)ky * layer->run + first, count, tile[i]);
        if (count % 2) tile[i][count] = 0;
      }
      for (int pair = 0; pair < (count + 1) / 2; pair++, out += BLOCK)
        for (int i = 0; i < BLOCK; i++) memcpy(out + i, tile[i] + 2 * pair, sizeof *out);
    }
}

/* The same weights as pairs of outputs, by inputs. */
static void prepare_backward(const RealStep *step, const RealLayer *layer, int block) {
  const int lanes = lanes_of(layer->outputs, block), taps = layer->kernel * layer->kernel;
  const size_t row = (size_t)taps * layer->channels;
  for (int in = 0; in < layer->sources * layer->source_blocks; in++) {
    const int first = in % layer->source_blocks * BLOCK, count = lanes_of(layer->source_channels, in % layer->source_blocks);
    for (int tap = 0; tap < taps; tap++) {
      const size_t at = (size_t)tap * layer->channels + (size_t)(in / layer->source_blocks) * layer->source_channels + first;
      uint32_t *out = layer->back + (((size_t)in * taps + tap) * layer->out_pairs + (size_t)block * BLOCK / 2) * BLOCK;
      for (int o = 0; o < lanes; o += 2, out += BLOCK) {
        uint16_t two[2][BLOCK] = {{0}};
        for (int j = 0; j < 2 && o + j < lanes; j++)
          step->kernels->round(layer->own.weights + ((size_t)block * BLOCK + o + j) * row + at, count, two[j]);
        step->kernels->pairs(two[0], BLOCK, 0, 1, out);
      }
    }
  }
}

static void prepare_task(void *context, int index, int thread) {
  const RealStep *step = context;
  (void)thread;
  const RealLayer *layer = step->layer;
  while (index >= layer->blocks) index -= (layer++)->blocks;
  prepare_forward(step, layer, index);
  if (step->learns && !layer->is_first) prepare_backward(step, layer, index);
}

/* Image `n`: +-1 of every slice, or 2v - 255, which has 8 bits and so is exact. */
static void read_image(RealStep *step, int n) {
  const RealLayer *layer = step->layer;
  const uint8_t *pixel = step->pixels + (size_t)n * step->height * step->width * step->channels;
  for (int y = 0; y < step->height; y++) {
    uint16_t *x = layer->x + layer->x_start + n * layer->x_image + y * layer->x_row;
    for (int i = 0; i < step->width; i++, pixel += step->channels)
      if (step->is_sliced)
        for (int k = 0; k < step->slices; k++) *x++ = pixel[step->slice[k].channel] >> step->slice[k].bit & 1 ? 0x3f80 : 0xbf80;
      else
        for (int c = 0; c < step->channels; c++) *x++ = bfloat16((float)(2 * pixel[c] - 255));
  }
}

/* One block of what layer `k` made of image `n` becomes the next one's input. */
static void activate(const RealStep *step, int k, int n, int block) {
  const RealLayer *layer = step->layer + k, *next = layer + 1;
  const float *p = layer->p + block_at(layer, n, block);
  uint16_t *x = next->x + next->x_start + n * next->x_image + block * BLOCK;
  /* A dense layer's pixels are images. */
  Noise noise = {0, layer->is_dense ? 1 : (size_t)layer->pixels, layer->is_dense ? (size_t)layer->outputs : 1};
  const int is_drawn = layer->own.noise && step->learns;
  for (int y = 0; y < layer->pooled_height; y++) {
    const size_t first = ((size_t)n * layer->outputs + block * BLOCK) * noise.channel + (size_t)y * layer->pooled_width;
    if (is_drawn) noise.at = layer->own.noise + first;
    step->kernels->activate(p + (size_t)y * layer->pooled_width * BLOCK, layer->pooled_width, line_of(step, layer, block), noise,
                            lanes_of(layer->outputs, block), x + y * next->x_row, next->x_pixel);
  }
}

/* Magnitudes of image `n` of what layer `k` made: of all its blocks. */
static void measure(const RealStep *step, int k, int n) {
  const RealLayer *layer = step->layer + k;
  const size_t apart = (size_t)layer->pixels * BLOCK;
  step->kernels->magnitudes(layer->p + block_at(layer, n, 0), layer->pixels, layer->blocks, apart, line_of(step, layer, 0),
                            1.f / (float)layer->outputs, layer->magnitude + (size_t)n * layer->pixels);
}

static void add_up_block(const RealStep *step, const RealLayer *layer, int n, int block, int thread) {
  const RealSpace *space = step->space + thread;
  const size_t pair_row = (size_t)layer->run_pairs * BLOCK, row = (size_t)layer->stride * layer->channels;
  float *p = layer->p + block_at(layer, n, block), *z = layer->pool > 1 ? space->z : p;
  const uint16_t *x = layer->x + (size_t)n * layer->rows * layer->columns * layer->channels;
  for (int t = 0; t < layer->tiles; t++) {
    const RealTile *tile = layer->tile + t;
    for (int ky = 0; ky < layer->kernel; ky++)
      space->runs[ky] = (Run){x + tile->from * row + (size_t)ky * layer->columns * layer->channels,
                              layer->weights + ((size_t)block * layer->kernel + ky) * pair_row, layer->run_pairs};
    float sums[ROWS * BLOCK] __attribute__((aligned(64)));
    step->kernels->tile(sums, space->runs, layer->kernel, row);
    for (int r = 0; r < ROWS; r++)
      if (tile->to[r] >= 0) memcpy(z + (size_t)tile->to[r] * BLOCK, sums + r * BLOCK, BLOCK * sizeof *sums);
  }
  const int places = layer->height * layer->width;
  if (layer->k) step->kernels->scale(z, layer->k + (size_t)n * places, places);
  if (layer->pool > 1)
    step->kernels->pool(z, layer->pooled_height, layer->pooled_width, layer->pool, p, layer->winner + block_at(layer, n, block));
  const size_t to = ((size_t)n * layer->blocks + block) * BLOCK;
  step->kernels->moments(p, layer->pixels, 1.f / (float)layer->pixels, layer->first + to, layer->second + to);
}

static void convolution_task(void *context, int n, int thread) {
  RealStep *step = context;
  const RealLayer *layer = step->layer + step->current;
  if (step->current == 0) read_image(step, n);
  else
    for (int block = 0; block < layer[-1].blocks; block++) activate(step, step->current - 1, n, block);
  if (layer->k) {
    measure(step, step->current - 1, n);
    find_scales(layer, n);
  }
  for (int block = 0; block < layer->blocks; block++) add_up_block(step, layer, n, block, thread);
}

static void read_task(void *context, int n, int thread) {
  (void)thread;
  read_image(context, n);
}

static void activate_task(void *context, int index, int thread) {
  const RealStep *step = context;
  (void)thread;
  const int blocks = step->layer[step->current - 1].blocks;
  activate(step, step->current - 1, index / blocks, index % blocks);
}

static void measure_task(void *context, int n, int thread) {
  const RealStep *step = context;
  (void)thread;
  measure(step, step->current - 1, n);
}

static void dense_task(void *context, int block, int thread) {
  const RealStep *step = context;
  add_up_block(step, step->layer + step->current, 0, block, thread);
}

static void shifted_task(void *context, int index, int thread) {
  const RealStep *step = context;
  const RealLayer *layer = step->layer + step->current;
  (void)thread;
  const int block = index % layer->blocks;
  step->kernels->shifted_square(layer->p + (size_t)index * layer->pixels * BLOCK, layer->pixels, layer->mean + block * BLOCK,
                                layer->second + (size_t)index * BLOCK);
}

/* Statistics of the batch, and what follows from them: docs/training-step.md 8.3. */
static void normalize(RealStep *step, RealLayer *layer) {
  const double count = (double)layer->images * layer->pixels;
  const float share = 1.f / (float)layer->pixels;
  const int pitch = layer->blocks * BLOCK;
  for (int c = 0; c < layer->outputs; c++) {
    double sum = 0, square = 0;
    for (int n = 0; n < layer->images; n++) sum += layer->first[(size_t)n * pitch + c];
    const double mean = sum / count;
    for (int n = 0; n < layer->images; n++) {
      const double apart = (double)(layer->first[(size_t)n * pitch + c] * share) - mean;
      square += layer->second[(size_t)n * pitch + c] + apart * apart * layer->pixels;
    }
    layer->mean[c] = (float)mean;
    layer->variance[c] = (float)(square / count);
  }
  if (step->has_shifts) {
    share_out(step, shifted_task, layer->images * layer->blocks);
    for (int c = 0; c < layer->outputs; c++) {
      double square = 0;
      for (int n = 0; n < layer->images; n++) square += layer->second[(size_t)n * pitch + c];
      layer->variance[c] = (float)(square / count);
    }
  }
  for (int c = 0; c < layer->outputs; c++) {
    const float inverse = 1.f / sqrtf(layer->variance[c] + EPSILON), gamma = layer->own.gamma[c];
    layer->inverse[c] = step->has_shifts ? power_of_two(inverse) : inverse;
    layer->factor[c] = step->has_shifts ? power_of_two(gamma) : gamma;
    const float scale = layer->factor[c] * layer->inverse[c];
    const int is_sign = layer->activation == SIGN;
    layer->gain[c] = is_sign ? scale * SIGN_GAIN : scale;
    layer->offset[c] = is_sign ? layer->own.beta[c] * SIGN_GAIN + 1.f : layer->own.beta[c];
  }
}

void run_real_forward(RealStep *step) {
  for (int k = 0; k < step->layers; k++) {
    RealLayer *layer = step->layer + k;
    step->current = k;
    if (layer->is_dense) {
      if (k == 0) share_out(step, read_task, step->batch);
      else share_out(step, activate_task, layer[-1].images * layer[-1].blocks);
      if (layer->k) {
        share_out(step, measure_task, layer[-1].images);
        for (int n = 0; n < step->batch; n++) find_scales(layer, n);
      }
      share_out(step, dense_task, layer->blocks);
    } else {
      share_out(step, convolution_task, step->batch);
    }
    normalize(step, layer);
  }
  const RealLayer *last = step->layer + step->layers - 1;
  for (int n = 0; n < step->batch; n++)
    for (int c = 0; c < step->classes; c++) {
      const float p = last->p[block_at(last, 0, c / BLOCK) + (size_t)n * BLOCK + c % BLOCK];
      step->scores[(size_t)n * step->classes + c] = (p - last->mean[c]) * last->gain[c] + last->offset[c];
    }
}

static int all_blocks(const RealStep *step) {
  int blocks = 0;
  for (int k = 0; k < step->layers; k++) blocks += step->layer[k].blocks;
  return blocks;
}

void prepare_real_weights(RealStep *step) { share_out(step, prepare_task, all_blocks(step)); }
