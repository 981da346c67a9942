/* Forward: images to planes and bits, sums of every layer, batch norm as thresholds, scores. */
#include "step.h"
#include <math.h>
#include <string.h>

/* Variance floor, and the gain that turns a clip into a sign: packages/cbnn/src/graph/operations/batch-norm.ts. */
static const float EPSILON = 1e-4f, SIGN_GAIN = 1e20f;

/* One pixel's slices, as bits and as values; `plane` bytes from plane to plane. */
static inline void read_slices(const Step *step, const uint8_t *pixel, int words, uint64_t *bits, uint8_t *values, size_t plane) {
  uint64_t found[words];
  for (int w = 0; w < words; w++) found[w] = 0;
  for (int c = 0; c < step->channels; c++) {
    const uint64_t *of = step->bits_of + ((size_t)c * 256 + pixel[c]) * words;
    for (int w = 0; w < words; w++) found[w] |= of[w];
  }
  for (int w = 0; w < words; w++) bits[w] = found[w];
  const uint8_t *of = step->values_of;
  for (int p = 0; p < step->planes; p++, values += plane)
    for (int i = 0; i < step->bytes_of_bits; i++, of += 256 * 8) {
      const uint8_t *eight = of + (found[i / 8] >> (8 * (i % 8)) & 255) * 8;
      const int left = step->slices - 8 * i;
      if (left >= 8) memcpy(values + 8 * i, eight, 8);
      else
        for (int j = 0; j < left; j++) values[8 * i + j] = eight[j];
    }
}

/* Bytes from plane to plane of a dense first layer, whose values are those of all images, the last tile filled up. */
static size_t dense_plane(const Step *step) { return (step->batch + ROWS - 1) / ROWS * ROWS * step->plane_bytes; }

/* Image `n` of the batch: its bits, and its planes of values `plane` bytes apart, both inside their padding. */
static void read_image(Step *step, int n, uint8_t *values, size_t plane) {
  StepLayer *layer = step->layer;
  const LayerSpec *spec = &layer->spec;
  const int channels = step->channels, pad = spec->is_dense ? 0 : spec->pad_start, lanes = layer->channels, words = layer->words;
  const size_t columns = spec->is_dense ? (size_t)step->width : step->row_bytes / lanes;
  const uint8_t *pixel = step->pixels + (size_t)n * step->height * step->width * channels;
  uint64_t *bits = layer->input + (size_t)n * layer->image_words;
  for (int y = 0; y < step->height; y++) {
    const size_t row = (y + pad) * columns + pad;
    uint8_t *to = values + row * lanes;
    for (int x = 0; x < step->width; x++, pixel += channels, to += lanes) {
      if (step->is_sliced) {
        read_slices(step, pixel, words, bits + (row + x) * words, to, plane);
        continue;
      }
      for (int c = 0; c < channels; c++) {
        to[c] = pixel[c] >> 4;
        to[plane + c] = pixel[c] & 15;
        to[2 * plane + c] = 1;
      }
    }
  }
}

/* ROWS x BLOCK sums of the first layer, from rows of a at `values`, `pixel` bytes apart in every plane. */
static void first_tile(const Step *step, StepSpace *space, int block, const uint8_t *values, size_t plane, size_t pixel, int32_t *sums) {
  const StepKernels *kernels = step->kernels;
  const size_t run = (size_t)step->run_steps * BLOCK * 4;
  for (int r = 0; r < ROWS; r++) memcpy(sums + r * BLOCK, step->first_base + block * BLOCK, BLOCK * sizeof *sums);
  for (int p = 0; p < step->planes; p++) {
    for (int r = 0; r < step->runs; r++)
      space->segments[r] = (Segment){(const int8_t *)values + p * plane + r * step->row_bytes,
                                     (const uint8_t *)step->first_weights + ((size_t)block * step->runs + r) * run, step->run_steps};
    if (step->planes == 1) {
      kernels->tile_values(sums, BLOCK, space->segments, step->runs, pixel, step->flush);
      return;
    }
    int32_t products[ROWS * BLOCK] __attribute__((aligned(64))) = {0};
    kernels->tile_values(products, BLOCK, space->segments, step->runs, pixel, step->flush);
    kernels->combine(sums, products, step->plane_factor[p]);
  }
}

static void pool(const Step *step, StepLayer *layer, const int32_t *sums, int count, const int *steps, size_t at, int block, int thread) {
  const size_t to = at * layer->pitch + (size_t)block * BLOCK, own = (size_t)thread * layer->pitch + (size_t)block * BLOCK;
  const StepKernels *kernels = step->kernels;
  (layer->is_wide ? kernels->pool32 : layer->spec.bound > MOST_NARROW ? kernels->pool16_large : kernels->pool16)(
      sums, count, steps, layer->spec.pool, (char *)layer->p + to * (layer->is_wide ? 4 : 2), layer->pitch,
      layer->winner ? layer->winner + to : 0, layer->sum + own, layer->square + own);
}

static void first_convolution(Step *step, int n, int thread) {
  StepLayer *layer = step->layer;
  const LayerSpec *spec = &layer->spec;
  StepSpace *space = step->space + thread;
  uint8_t *values = step->values + thread * step->planes * step->plane_bytes;
  read_image(step, n, values, step->plane_bytes);
  const int pitch = (spec->width + ROWS - 1) / ROWS * ROWS, size = spec->pool;
  const size_t pixel = (size_t)spec->stride * layer->channels;
  const int steps[2] = {size * BLOCK, pitch * BLOCK};
  for (int block = 0; block < layer->out_blocks; block++)
    for (int band = 0; band < spec->pooled_height; band++) {
      for (int y = 0; y < size; y++)
        for (int x = 0; x < spec->width; x += ROWS)
          first_tile(step, space, block, values + (band * size + y) * spec->stride * step->row_bytes + x * pixel, step->plane_bytes, pixel,
                     space->sums + (y * pitch + x) * BLOCK);
      for (int x = 0; x < spec->pooled_width; x += WINDOWS) {
        const int count = spec->pooled_width - x < WINDOWS ? spec->pooled_width - x : WINDOWS;
        pool(step, layer, space->sums + (size_t)x * size * BLOCK, count, steps,
             (size_t)n * layer->pixels + (size_t)band * spec->pooled_width + x, block, thread);
      }
    }
}

/* Sums of one block at all places of image `n`; of a dense layer, of all images. */
static void count_block(Step *step, StepLayer *layer, int n, int block, int thread) {
  const int size = layer->spec.pool, window = size * size, windows = layer->places / window;
  const int steps[2] = {window * BLOCK, size * BLOCK};
  int32_t *sums = step->space[thread].sums;
  for (int w = 0; w < windows; w += WINDOWS) {
    const int count = windows - w < WINDOWS ? windows - w : WINDOWS, places = count * window;
    const int32_t *base = layer->base + block * BLOCK;
    const uint16_t *kind = layer->kind + w * window;
    if (layer->is_looked_up) {
      const uint16_t *counts = step->space[thread].counts + block * lookup_size(layer);
      step->kernels->uncount16(counts, layer->position + w * window, base, layer->pitch, kind, places, sums);
    } else {
      step->kernels->bits->counts(&layer->bits, block, layer->from + w * window, (places + TILE - 1) / TILE * TILE,
                                  layer->input + n * layer->image_words, sums);
      step->kernels->uncount(sums, base, layer->pitch, kind, places);
    }
    pool(step, layer, sums, count, steps, (size_t)n * layer->pixels + w, block, thread);
  }
}

/* Layer `k`'s output becomes the bits of layer `k + 1`. */
static void activate(Step *step, int k, int n) {
  StepLayer *layer = step->layer + k, *next = layer + 1;
  const LayerSpec *spec = &next->spec;
  const int pad = spec->is_dense ? 0 : spec->pad_start, rows = spec->is_dense ? 1 : spec->input_height;
  const int columns = spec->is_dense ? layer->pixels : spec->input_width;
  uint64_t *to = next->input + n * next->image_words + pad * next->row_words + pad * next->words;
  for (int y = 0; y < rows; y++, to += next->row_words)
    (layer->is_wide ? step->kernels->bits->activate32 : step->kernels->bits->activate16)(
        p_at(layer, n, y * columns), columns, layer->out_blocks, layer->thresholds, layer->inverted, (uint32_t *)to,
        2 * (size_t)next->words);
}

static void convolution_task(void *context, int n, int thread) {
  Step *step = context;
  StepLayer *layer = step->layer + step->current;
  if (step->current == 0) {
    first_convolution(step, n, thread);
    return;
  }
  activate(step, step->current - 1, n);
  StepSpace *space = step->space + thread;
  if (layer->is_looked_up)
    step->kernels->bits->lookup_counts(&layer->lookup, layer->input + n * layer->image_words, &space->lookup, space->counts);
  for (int block = 0; block < layer->out_blocks; block++) count_block(step, layer, n, block, thread);
}

static void read_task(void *context, int n, int thread) {
  Step *step = context;
  (void)thread;
  if (step->current == 0) read_image(step, n, step->values + n * step->plane_bytes, dense_plane(step));
  else activate(step, step->current - 1, n);
}

static void first_dense_block(Step *step, int block, int thread) {
  StepLayer *layer = step->layer;
  StepSpace *space = step->space + thread;
  const size_t plane = dense_plane(step);
  const int steps[2] = {BLOCK, BLOCK};
  for (int n = 0; n < step->batch; n += ROWS) {
    first_tile(step, space, block, step->values + n * step->plane_bytes, plane, step->plane_bytes, space->sums);
    pool(step, layer, space->sums, step->batch - n < ROWS ? step->batch - n : ROWS, steps, n, block, thread);
  }
}

static void dense_task(void *context, int block, int thread) {
  Step *step = context;
  if (step->current == 0) first_dense_block(step, block, thread);
  else count_block(step, step->layer + step->current, 0, block, thread);
}

/* The value whose sign is the bit, in 1e20ths and shifted by one; it never falls, or never rises, with p. */
typedef struct {
  float mean, gain, offset;
} Line;

static float value_at(const Line *line, int p) { return ((float)p - line->mean) * line->gain + line->offset; }

/* The smallest p in [-bound, bound] whose value, or its negative where it falls, is at least `level`; bound + 1 where none is. */
static int first_reaching(const Line *line, float level, int bound) {
  const float sign = line->gain < 0 ? -1.f : 1.f;
#define REACHES(p) (sign * value_at(line, p) >= level)
  int low = -bound, high = bound + 1;
  const double guess = (double)line->mean + ((double)sign * level - line->offset) / line->gain;
  if (guess > -bound + 2. && guess < bound - 2.) {
    const int near = (int)guess;
    if (!REACHES(near - 2) && REACHES(near + 2)) {
      low = near - 1;
      high = near + 2;
    }
  }
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (REACHES(middle)) high = middle;
    else low = middle + 1;
  }
#undef REACHES
  return low;
}

/* Statistics of the batch from exact sums, and what follows from them: docs/training-step.md 4. */
static void normalize(Step *step, StepLayer *layer) {
  const int64_t samples = (int64_t)step->batch * layer->pixels;
  const float share = (float)(1.0 / (double)samples);
  const int bound = layer->spec.bound;
  memset(layer->inverted, 0, sizeof *layer->inverted * layer->out_blocks);
  for (int c = 0; c < layer->outputs; c++) {
    int64_t sum = 0, square = 0;
    for (int t = 0; t < step->threads; t++) {
      sum += layer->sum[t * layer->pitch + c];
      square += layer->square[t * layer->pitch + c];
    }
    const __int128 spread = (__int128)samples * square - (__int128)sum * sum;
    layer->mean[c] = (float)sum * share;
    layer->variance[c] = (float)((double)spread / ((double)samples * (double)samples));
    layer->inverse[c] = 1.f / sqrtf(layer->variance[c] + EPSILON);
    if (layer->is_last) continue;
    const float scale = layer->gamma.value[c] * layer->inverse[c];
    const Line line = {layer->mean[c], scale * SIGN_GAIN, layer->beta.value[c] * SIGN_GAIN + 1.f};
    const int falls = line.gain < 0;
    /* Falling, the bit is on until the value drops below 0: its opposite begins where -value reaches beyond 0. */
    int threshold = falls ? first_reaching(&line, 0x1p-149f, bound) : first_reaching(&line, 0.f, bound);
    const int first = first_reaching(&line, -SIGN_GAIN, bound), last = first_reaching(&line, nextafterf(SIGN_GAIN, INFINITY), bound) - 1;
    layer->low[c] = first;
    layer->high[c] = last;
    if (layer->is_wide) ((int32_t *)layer->thresholds)[c] = threshold;
    else ((int16_t *)layer->thresholds)[c] = (int16_t)threshold;
    layer->inverted[c / BLOCK] |= (uint32_t)falls << (c % BLOCK);
  }
  /* Lanes behind the last channel give no bits and pass no gradient on. */
  for (int c = layer->outputs; c < layer->pitch; c++) {
    layer->low[c] = 1;
    layer->high[c] = 0;
    if (layer->is_wide) ((int32_t *)layer->thresholds)[c] = INT32_MAX;
    else ((int16_t *)layer->thresholds)[c] = INT16_MAX;
  }
}

void run_forward(Step *step) {
  for (int k = 0; k < step->layers; k++) {
    StepLayer *layer = step->layer + k;
    step->current = k;
    const size_t sums = (size_t)step->threads * layer->pitch;
    memset(layer->sum, 0, sizeof *layer->sum * sums);
    memset(layer->square, 0, sizeof *layer->square * sums);
    if (layer->spec.is_dense) {
      run_tasks(step->pool, read_task, step, step->batch);
      run_tasks(step->pool, dense_task, step, layer->out_blocks);
    } else {
      run_tasks(step->pool, convolution_task, step, step->batch);
    }
    normalize(step, layer);
  }
  const StepLayer *last = step->layer + step->layers - 1;
  for (int n = 0; n < step->batch; n++)
    for (int c = 0; c < step->classes; c++)
      step->scores[n * step->classes + c] =
          ((float)sum_at(last, n, 0, c) - last->mean[c]) * (last->gamma.value[c] * last->inverse[c]) + last->beta.value[c];
}
