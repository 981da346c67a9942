/*
 * What a layer's weights' gradient is made of: sums over the batch of int8 gradients times inputs. By dot products of bytes, a
 * step being four pixels in a row; or by tables, where those are faster (tables-avx2.h).
 */
#include "step.h"
#include <string.h>

/* Values and bits are at most 2, gradients 127. */
enum { FLUSH = INT16_MAX / (2 * 2 * MOST_GRADIENT) };

void put_values(const Step *step, const uint8_t *const pixel[4], int block, uint8_t *out) {
  memset(out, 0, BLOCK * 4);
  for (int lane = 0; lane < BLOCK && block * BLOCK + lane < step->layer->lanes; lane++)
    for (int j = 0; j < 4; j++) {
      if (!pixel[j]) continue;
      const int l = block * BLOCK + lane;
      out[lane * 4 + j] = l == 2 * step->channels ? 1 : l % 2 ? pixel[j][l / 2] & 15 : pixel[j][l / 2] >> 4;
    }
}

const uint8_t *pixel_at(const Step *step, int n, int y, int x) {
  if (n >= step->batch || y < 0 || y >= step->height || x < 0 || x >= step->width) return 0;
  return step->pixels + (((size_t)n * step->height + y) * step->width + x) * step->channels;
}

/* Words of one block of the input of image `n`, row `y` of the image, as the kernel's column kx meets it. */
static const uint32_t *words_at(const StepLayer *layer, int n, int y, int kx, int block) {
  return (const uint32_t *)(layer->input + (size_t)n * layer->image_words + (size_t)(y + layer->spec.pad_start) * layer->row_words) +
         (size_t)kx * 2 * layer->words + block;
}

/* The input of images first .. first + count - 1 as quads of pixels, for every column of the kernel and phase of the stride. */
static void input_quads(const Step *step, const StepLayer *layer, int first, int count, int block, uint8_t *out) {
  const LayerSpec *spec = &layer->spec;
  const int stride = spec->stride, words = 2 * layer->words, quads = layer->quads;
  const size_t row_bytes = (size_t)quads * BLOCK * 4;
  const size_t offset[4] = {0, (size_t)stride * words, (size_t)2 * stride * words, (size_t)3 * stride * words};
  for (int kx = 0; kx < spec->kernel; kx++)
    for (int phase = 0; phase < stride; phase++)
      for (int i = 0; i < count; i++)
        for (int row = 0; row < layer->phase_rows; row++, out += row_bytes) {
          const int y = row * stride + phase - spec->pad_start;
          if (layer->is_first && !step->is_sliced) {
            for (int q = 0; q < quads; q++) {
              const uint8_t *pixel[4];
              for (int j = 0; j < 4; j++) pixel[j] = pixel_at(step, first + i, y, (4 * q + j) * stride + kx - spec->pad_start);
              put_values(step, pixel, block, out + (size_t)q * BLOCK * 4);
            }
            continue;
          }
          if (y < 0 || y >= spec->input_height) {
            memset(out, 1, row_bytes);
            continue;
          }
          step->kernels->expand(words_at(layer, first + i, y, kx, block), offset, 4 * offset[1], layer->edge + kx * quads, quads, out);
        }
}

/* Quads of the gradient of `count` images, and their products with the input. */
static void multiply(const Step *step, StepLayer *layer, int first, int count, const int8_t *gradient, int thread) {
  const LayerSpec *spec = &layer->spec;
  const StepSpace *space = step->space + thread;
  const size_t map = (size_t)layer->rows * layer->columns * layer->pitch;
  const size_t quad_row = (size_t)layer->quads * ROWS * 4, group = (size_t)count * spec->height * quad_row;
  for (int i = 0; i < count; i++)
    for (int block = 0; block < layer->out_blocks; block++)
      for (int y = 0; y < spec->height; y++)
        step->kernels->quads(gradient + i * map + ((size_t)(layer->before_rows + y) * layer->columns + layer->before_columns) * layer->pitch +
                                 (size_t)block * BLOCK,
                             layer->pitch, layer->quads,
                             space->gradient_quads + (size_t)block * (BLOCK / ROWS) * group + ((size_t)i * spec->height + y) * quad_row,
                             group);

  const int kernel = spec->kernel, stride = spec->stride, flush = layer->is_first ? step->lanes_flush : FLUSH;
  const int steps = spec->height * layer->quads, fresh = !layer->has_products[thread];
  const size_t step_bytes = BLOCK * 4, out_stride = (size_t)layer->taps * layer->lane_pitch;
  for (int block = 0; block < layer->in_blocks; block++) {
    input_quads(step, layer, first, count, block, space->input_quads);
    for (int tap = 0; tap < layer->taps; tap++) {
      const int ky = tap / kernel, kx = tap % kernel;
      for (int o = 0; o < layer->outputs; o += ROWS) {
        for (int i = 0; i < count; i++)
          space->segments[i] = (Segment){
              (const int8_t *)space->gradient_quads + ((size_t)(o / ROWS) * count + i) * steps * ROWS * 4,
              space->input_quads + ((((size_t)kx * stride + ky % stride) * count + i) * layer->phase_rows + ky / stride) *
                                       layer->quads * step_bytes,
              steps};
        int32_t *to = layer->products[thread] + (size_t)o * out_stride + (size_t)tap * layer->lane_pitch + block * BLOCK;
        step->kernels->tile_quads(to, out_stride, space->segments, count, flush, fresh);
      }
    }
  }
}

/* Which entries the input of `count` images picks, as `input_quads`; outside the image the one that is 0. */
static void choose_entries(const Step *step, const StepLayer *layer, int first, int count, uint8_t *out) {
  const LayerSpec *spec = &layer->spec;
  const int stride = spec->stride, words = 2 * layer->words;
  const size_t row_bytes = (size_t)layer->quads * layer->lane_pitch;
  const size_t offset[4] = {0, (size_t)stride * words, (size_t)2 * stride * words, (size_t)3 * stride * words};
  for (int kx = 0; kx < spec->kernel; kx++)
    for (int phase = 0; phase < stride; phase++)
      for (int i = 0; i < count; i++)
        for (int row = 0; row < layer->phase_rows; row++, out += row_bytes) {
          const int y = row * stride + phase - spec->pad_start;
          if (y < 0 || y >= spec->input_height) memset(out, 0, row_bytes);
          else
            for (int block = 0; block < layer->in_blocks; block++)
              step->kernels->choose(words_at(layer, first + i, y, kx, block), offset, 4 * offset[1], layer->quads, out + block * BLOCK,
                                    layer->lane_pitch);
        }
}

/* Sums of the gradient where a tap lies outside the image: its bits are 0 there, as if it were -1. */
static void add_outside(const Step *step, StepLayer *layer, const int8_t *map, int thread) {
  const LayerSpec *spec = &layer->spec;
  const size_t row = (size_t)layer->columns * layer->pitch;
  map += (size_t)layer->before_rows * row + (size_t)layer->before_columns * layer->pitch;
  for (int tap = 0; tap < layer->taps; tap++) {
    const int ky = tap / spec->kernel - spec->pad_start, kx = tap % spec->kernel - spec->pad_start;
    for (int y = 0; y < spec->height; y++) {
      const int iy = y * spec->stride + ky, is_row_outside = iy < 0 || iy >= spec->input_height;
      for (int x = 0; x < spec->width; x++) {
        const int ix = x * spec->stride + kx;
        if (!is_row_outside && ix >= 0 && ix < spec->input_width) continue;
        const int count = is_row_outside ? spec->width : 1;
        for (int block = 0; block < layer->out_blocks; block++)
          step->kernels->add_pixels(map + y * row + (size_t)x * layer->pitch + block * BLOCK, layer->pitch, count,
                                    layer->outside[thread] + (size_t)tap * layer->pitch + block * BLOCK);
        x += count - 1;
      }
    }
  }
}

/* Fills tables with quads at .. at + count - 1 of the images' gradients, one block of outputs. */
static void fill(const Step *step, const StepLayer *layer, const int8_t *gradient, int block, int at, int count, int16_t *tables) {
  const LayerSpec *spec = &layer->spec;
  const size_t map = (size_t)layer->rows * layer->columns;
  while (count > 0) {
    const int row = at / layer->quads, quad = at % layer->quads, run = layer->quads - quad < count ? layer->quads - quad : count;
    const size_t pixel = row / spec->height * map + (size_t)(layer->before_rows + row % spec->height) * layer->columns +
                         layer->before_columns + 4 * quad;
    step->kernels->fill_tables(gradient + pixel * layer->pitch + block * BLOCK, layer->pitch, run, tables);
    tables += (size_t)run * QUAD_CHOICES * BLOCK;
    at += run;
    count -= run;
  }
}

static void look_up(const Step *step, StepLayer *layer, int first, int count, const int8_t *gradient, int thread) {
  const LayerSpec *spec = &layer->spec;
  const StepSpace *space = step->space + thread;
  const int stride = spec->stride, image_quads = spec->height * layer->quads, all = count * image_quads;
  const size_t sums = (size_t)layer->taps * layer->lane_pitch * BLOCK;
  if (!layer->has_products[thread]) {
    memset(layer->products[thread], 0, sizeof **layer->products * layer->out_blocks * sums);
    memset(layer->outside[thread], 0, sizeof **layer->outside * layer->taps * layer->pitch);
  }
  choose_entries(step, layer, first, count, space->choices);
  for (int i = 0; i < count; i++) add_outside(step, layer, gradient + (size_t)i * layer->rows * layer->columns * layer->pitch, thread);
  for (int block = 0; block < layer->out_blocks; block++)
    for (int at = 0; at < all; at += TABLE_QUADS) {
      const int quads = all - at < TABLE_QUADS ? all - at : TABLE_QUADS;
      fill(step, layer, gradient, block, at, quads, space->tables);
      for (int tap = 0; tap < layer->taps; tap++) {
        const int ky = tap / spec->kernel, kx = tap % spec->kernel;
        Choices choices[TABLE_QUADS];
        int images = 0;
        for (int from = at; from < at + quads; images++) {
          const int i = from / image_quads, end = (i + 1) * image_quads < at + quads ? (i + 1) * image_quads : at + quads;
          const size_t row = (((size_t)kx * stride + ky % stride) * count + i) * layer->phase_rows + ky / stride;
          choices[images] = (Choices){space->choices + (row * layer->quads + from % image_quads) * layer->lane_pitch, end - from};
          from = end;
        }
        step->kernels->look_up(space->tables, choices, images, layer->lane_pitch, layer->channels,
                               layer->products[thread] + block * sums + (size_t)tap * layer->lane_pitch * BLOCK);
      }
    }
}

void weight_products(const Step *step, StepLayer *layer, int first, int count, const int8_t *gradient, int thread) {
  (layer->looks_up ? look_up : multiply)(step, layer, first, count, gradient, thread);
  layer->has_products[thread] = 1;
}

void gather_products(const Step *step, const StepLayer *layer, int o, int tap, int c, int count, int32_t *out) {
  for (int i = 0; i < count; i++) out[i] = 0;
  for (int t = 0; t < step->threads; t++) {
    const int32_t less = layer->correction[(size_t)t * layer->pitch + o];
    for (int i = 0; i < count; i++) out[i] -= less;
    if (!layer->has_products[t]) continue;
    if (layer->looks_up) {
      const int32_t outside = layer->outside[t][(size_t)tap * layer->pitch + o];
      const int32_t *from = layer->products[t] +
                            (((size_t)(o / BLOCK) * layer->taps + tap) * layer->lane_pitch + c) * BLOCK + o % BLOCK;
      for (int i = 0; i < count; i++) out[i] += 2 * from[(size_t)i * BLOCK] + outside;
    } else {
      const int32_t *from = layer->products[t] + ((size_t)o * layer->taps + tap) * layer->lane_pitch + c;
      for (int i = 0; i < count; i++) out[i] += from[i];
    }
  }
}
