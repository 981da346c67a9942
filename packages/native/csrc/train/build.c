/* Lays a training step out, once: every buffer, and which pixel meets which weight. */
#include "step.h"
#include <stdlib.h>
#include <string.h>

#define TAKE(field, count) (done = done && ((field) = take(&step->allocations, &step->bytes, most, (size_t)(count) * sizeof *(field))))

static int up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }
static int divided_up(int value, int by) { return (value + by - 1) / by; }

/* Steps that tiles can take before 16 bits may overflow, for |a| and b up to these. */
static int flush_of(int a, int b) { return INT16_MAX / (2 * a * b); }

/* Products of at least this many steps in a row: less, and loading and storing the sums would show. */
enum { LONG_ENOUGH = 256 };
/* Looked-up counts, of every thread, take at most half as much memory as the batch's activations in single precision. */
static int is_looked_up(const Step *step, const StepLayer *layer) {
  const Kernels *kernels = step->kernels->bits;
  if (layer->is_first || step->convolutions == COUNTED) return 0;
  if (step->convolutions == LOOKED_UP) return lookup_work(&layer->spec, kernels->lookup_bytes) > 0;
  if (!lookups_are_faster(&layer->spec, kernels)) return 0;
  const double positions = (double)lookup_positions(&layer->spec, kernels->lookup_bytes);
  return step->threads * positions * sizeof(uint16_t) <= (double)step->batch * layer->pixels * sizeof(float) / 2;
}

static int lay_forward(Step *step, size_t most, StepLayer *layer) {
  const LayerSpec *spec = &layer->spec;
  int done = 1;
  const int dense = spec->is_dense, batch = step->batch;
  layer->words = (layer->channels + 63) / 64;
  const int row_pixels = dense ? layer->taps : spec->input_width + spec->pad_start + spec->pad_end;
  const int rows = dense ? 1 : spec->input_height + spec->pad_start + spec->pad_end;
  layer->row_words = (size_t)row_pixels * layer->words;
  layer->image_words = rows * layer->row_words;
  /* Images behind the last fill a quad; columns behind the last are read, and meet gradients of 0. */
  TAKE(layer->input, (size_t)(batch + 3) * layer->image_words + (size_t)(8 * spec->stride + spec->kernel) * layer->words);

  const int window = spec->pool * spec->pool;
  const int windows = dense ? batch : spec->pooled_height * spec->pooled_width;
  if ((size_t)windows * window > INT32_MAX / BLOCK || (size_t)batch * layer->image_words > UINT32_MAX) return 0;
  layer->places = windows * window;
  TAKE(layer->from, layer->places + TILE);
  TAKE(layer->kind, layer->places + TILE);
  layer->is_looked_up = is_looked_up(step, layer);
  if (layer->is_looked_up) {
    done = done && lay_lookup(&step->allocations, &step->bytes, most, &layer->lookup, &step->lookup, spec, step->kernels->bits->lookup_bytes);
    TAKE(layer->position, layer->places + TILE);
  }
  TAKE(layer->row_reach, MOST_REACHES);
  TAKE(layer->column_reach, MOST_REACHES);
  uint32_t *row_kind = malloc(sizeof *row_kind * (spec->height + spec->width));
  if (!done || !row_kind) {
    free(row_kind);
    return 0;
  }
  uint32_t *column_kind = row_kind + spec->height;
  layer->row_kinds = layer->column_kinds = 1;
  if (!dense) {
    layer->row_kinds = distinct_reaches(spec->height, spec->stride, spec->pad_start, spec->kernel, spec->input_height,
                                        layer->row_reach, row_kind);
    layer->column_kinds = distinct_reaches(spec->width, spec->stride, spec->pad_start, spec->kernel, spec->input_width,
                                           layer->column_reach, column_kind);
  }
  for (int i = 0; i < layer->places + TILE; i++) {
    const int place = i < layer->places ? i : layer->places - 1;
    const int w = place / window, j = place % window;
    if (dense) {
      layer->from[i] = (uint32_t)(w * layer->image_words);
      continue;
    }
    const int y = w / spec->pooled_width * spec->pool + j / spec->pool, x = w % spec->pooled_width * spec->pool + j % spec->pool;
    if (layer->is_looked_up) layer->position[i] = (uint32_t)(y * spec->stride * layer->lookup.pitch + x * spec->stride);
    layer->from[i] = (uint32_t)(y * spec->stride * layer->row_words + (size_t)x * spec->stride * layer->words);
    layer->kind[i] = (uint16_t)(row_kind[y] * (uint32_t)layer->column_kinds + column_kind[x]);
  }
  free(row_kind);

  layer->bits = (BitLayer){.outputs = layer->outputs, .blocks = layer->out_blocks};
  layer->bits.rows = dense ? 1 : spec->kernel;
  layer->bits.run = (dense ? layer->taps : spec->kernel) * layer->words;
  layer->bits.row_stride = (int)layer->row_words;
  if (dense) layer->bits.row_stride = layer->bits.run;
  if (!layer->is_first) {
    TAKE(layer->bits.weights, (size_t)layer->out_blocks * layer->taps * layer->words * BLOCK);
    TAKE(layer->ones, (size_t)layer->taps * layer->pitch);
    TAKE(layer->base, (size_t)layer->row_kinds * layer->column_kinds * layer->pitch);
  }

  const size_t values = (size_t)batch * layer->pixels * layer->pitch;
  layer->p = take(&step->allocations, &step->bytes, most, values * (layer->is_wide ? 4 : 2));
  layer->thresholds = take(&step->allocations, &step->bytes, most, (size_t)layer->pitch * 4);
  done = done && layer->p && layer->thresholds;
  if (spec->pool > 1) TAKE(layer->winner, values);
  TAKE(layer->dy, values);
  TAKE(layer->sum, step->threads * layer->pitch);
  TAKE(layer->square, step->threads * layer->pitch);
  TAKE(layer->inverted, layer->out_blocks);
  TAKE(layer->low, layer->pitch);
  TAKE(layer->high, layer->pitch);
  TAKE(layer->inverse, layer->pitch);
  TAKE(layer->mean, layer->pitch);
  TAKE(layer->variance, layer->pitch);
  TAKE(layer->dgamma, layer->pitch);
  TAKE(layer->dbeta, layer->pitch);
  TAKE(layer->slope, layer->pitch);
  TAKE(layer->curve, layer->pitch);
  TAKE(layer->offset, layer->pitch);
  return done;
}

/* Tiles of one phase: rows of the input by themselves, or one behind the other with the padding between, whichever are fewer. */
static int lay_tiles(const LayerSpec *spec, const StepLayer *layer, int first_row, int first_column, Tile *tile) {
  const int stride = spec->stride;
  const int rows = divided_up(spec->input_height - first_row, stride), columns = divided_up(spec->input_width - first_column, stride);
  if (rows < 1 || columns < 1) return 0;
  const int apart = rows * divided_up(columns, ROWS), together = divided_up((rows - 1) * layer->columns + columns, ROWS);
  const int count = apart < together ? apart : together;
  for (int t = 0; tile && t < count; t++) {
    const int row = apart <= together ? t / divided_up(columns, ROWS) : 0;
    const int column = apart <= together ? t % divided_up(columns, ROWS) * ROWS : t * ROWS;
    tile[t].from = (layer->before_rows + row) * layer->columns + layer->before_columns + column;
    for (int r = 0; r < ROWS; r++) {
      const int y = apart <= together ? row : (column + r) / layer->columns;
      const int x = apart <= together ? column + r : (column + r) % layer->columns;
      const int inside = y < rows && x < columns;
      tile[t].to[r] = inside ? (first_row + y * stride) * spec->input_width + first_column + x * stride : -1;
    }
  }
  return count;
}

/* Tables take outputs by 32 and channels by 4, dot products outputs by 8 and channels by 32; a table's product takes 0.6 of the time. */
static int tables_are_faster(const Step *step, const StepLayer *layer) {
  if (!step->kernels->look_up || layer->spec.is_dense || (layer->is_first && !step->is_sliced)) return 0;
  return 0.6 * layer->pitch * up(layer->channels, 4) < (double)up(layer->outputs, ROWS) * layer->lane_pitch;
}

static int lay_backward(Step *step, size_t most, StepLayer *layer) {
  const LayerSpec *spec = &layer->spec;
  int done = 1;
  const int dense = spec->is_dense, threads = step->threads, stride = spec->stride;
  layer->out_quads = divided_up(layer->outputs, 4);
  if (!layer->is_first) TAKE(layer->signs, (size_t)layer->in_blocks * layer->taps * layer->out_quads * BLOCK * 4);
  TAKE(layer->largest, threads);
  TAKE(layer->counts, threads);
  TAKE(layer->has_products, threads);
  TAKE(layer->products, threads);
  TAKE(layer->correction, threads * layer->pitch);
  layer->looks_up = tables_are_faster(step, layer);
  TAKE(layer->outside, threads);
  for (int t = 0; done && t < (dense ? 1 : threads); t++) {
    TAKE(layer->products[t], (size_t)layer->pitch * layer->taps * layer->lane_pitch);
    if (layer->looks_up) TAKE(layer->outside[t], (size_t)layer->taps * layer->pitch);
  }
  if (dense) {
    const int images = up(step->batch, ROWS);
    layer->quads = divided_up(step->batch, 4);
    TAKE(layer->dense_gradient, (size_t)images * layer->pitch);
    TAKE(layer->dense_quads, (size_t)layer->pitch * layer->quads * 4);
    TAKE(layer->dense_sums, images);
    return done;
  }

  const int kernel = spec->kernel, pad = spec->pad_start;
  /* How far taps reach beyond the gradient's map. */
  int after_rows = 0, after_columns = 0;
  for (int tap = 0; tap < kernel; tap++)
    for (int first = 0; first < stride; first++) {
      if ((first + pad - tap) % stride) continue;
      const int from = (first + pad - tap) / stride;
      const int rows = divided_up(spec->input_height - first, stride), columns = divided_up(spec->input_width - first, stride);
      if (-from > layer->before_rows) layer->before_rows = layer->before_columns = -from;
      if (rows + from - spec->height > after_rows) after_rows = rows + from - spec->height;
      if (columns + from - spec->width > after_columns) after_columns = columns + from - spec->width;
    }
  layer->quads = divided_up(spec->width, 4);
  layer->rows = layer->before_rows + spec->height + after_rows;
  layer->columns = layer->before_columns + spec->width + after_columns;
  /* Quads of a row end in zeros. */
  if (layer->columns < layer->before_columns + 4 * layer->quads) layer->columns = layer->before_columns + 4 * layer->quads;

  const int steps = spec->height * layer->quads;
  layer->groups = up(divided_up(step->batch, divided_up(LONG_ENOUGH, steps)), threads);
  layer->group = divided_up(step->batch, layer->groups);
  layer->phase_rows = divided_up(spec->input_height + pad + spec->pad_end, stride);
  TAKE(layer->edge, kernel * layer->quads);
  for (int kx = 0; done && kx < kernel; kx++)
    for (int q = 0; q < layer->quads; q++)
      for (int j = 0; j < 4; j++) {
        const int x = (4 * q + j) * stride + kx - pad;
        if (x < 0 || x >= spec->input_width) layer->edge[kx * layer->quads + q] |= 1u << (8 * j);
      }

  if (layer->is_first) return done;
  layer->phases = stride * stride;
  TAKE(layer->phase, layer->phases);
  for (int f = 0; done && f < layer->phases; f++) {
    Phase *phase = layer->phase + f;
    const int first_row = f / stride, first_column = f % stride;
    TAKE(phase->meeting, layer->taps);
    for (int tap = 0; done && tap < layer->taps; tap++) {
      const int y = first_row + pad - tap / kernel, x = first_column + pad - tap % kernel;
      if (y % stride == 0 && x % stride == 0)
        phase->meeting[phase->meetings++] = (Meeting){y / stride * layer->columns + x / stride, tap};
    }
    phase->tiles = lay_tiles(spec, layer, first_row, first_column, 0);
    TAKE(phase->tile, phase->tiles + 1);
    if (done) lay_tiles(spec, layer, first_row, first_column, phase->tile);
  }
  return done;
}

/* Which plane a slice is in, and how far it is shifted there: shifts of four bits and more have a plane of their own. */
static int plane_of(const Step *step, int k) { return step->planes > 1 && step->slice[k].shift > 3; }
static int shift_in(const Step *step, int k) { return step->slice[k].shift - 4 * plane_of(step, k); }

/* What turns pixels into bits and values of slices: docs/training-step.md 3. */
static int lay_tables(Step *step, size_t most, int words) {
  int done = 1;
  TAKE(step->bits_of, (size_t)step->channels * 256 * words);
  TAKE(step->values_of, (size_t)step->planes * step->bytes_of_bits * 256 * 8);
  for (int k = 0; done && k < step->slices; k++) {
    const SliceSpec slice = step->slice[k];
    for (int value = 0; value < 256; value++)
      step->bits_of[((size_t)slice.channel * 256 + value) * words + k / 64] |= (uint64_t)(value >> slice.bit & 1) << (k % 64);
    const int plane = plane_of(step, k), unit = 1 << shift_in(step, k);
    step->centre[(size_t)plane * step->slices + k] = (uint8_t)unit;
    for (int byte = 0; byte < 256; byte++)
      step->values_of[(((size_t)plane * step->bytes_of_bits + k / 8) * 256 + byte) * 8 + k % 8] =
          (uint8_t)(byte >> (k % 8) & 1 ? 2 * unit : 0);
  }
  return done;
}

static int lay_first(Step *step, size_t most) {
  StepLayer *layer = step->layer;
  const LayerSpec *spec = &layer->spec;
  const int dense = spec->is_dense, channels = layer->channels;
  int done = 1, largest = 15;
  if (!step->is_sliced) {
    /* 2v - 255 = 32 * high + 2 * low - 255 inside the image, 0 outside. */
    step->planes = 3;
    step->plane_factor[0] = 32;
    step->plane_factor[1] = 2;
    step->plane_factor[2] = -255;
  } else {
    int most_shift = 0;
    for (int i = 0; i < step->slices; i++) most_shift = step->slice[i].shift > most_shift ? step->slice[i].shift : most_shift;
    step->planes = most_shift > 3 ? 2 : 1;
    step->plane_factor[0] = 1;
    step->plane_factor[1] = 16;
    largest = most_shift > 3 ? 16 : 2 << most_shift;
  }
  step->flush = flush_of(largest, step->is_integer ? 127 : 1);
  step->lanes_flush = flush_of(MOST_GRADIENT, step->is_sliced ? 2 : 15);
  step->bytes_of_bits = divided_up(step->slices, 8);
  TAKE(step->centre, step->planes * channels);
  if (step->is_sliced) done = done && lay_tables(step, most, layer->words);

  step->runs = dense ? 1 : spec->kernel;
  step->row_bytes = (size_t)(dense ? layer->taps : spec->input_width + spec->pad_start + spec->pad_end) * channels;
  step->plane_rows = dense ? 1 : spec->input_height + spec->pad_start + spec->pad_end;
  /* Tiles may reach over the last column, and the last step over the last value. */
  step->plane_bytes = (step->plane_rows * step->row_bytes / channels + (dense ? 0 : (size_t)ROWS * spec->stride) + 3) * channels;
  step->run_steps = divided_up((dense ? layer->taps : spec->kernel) * channels, 4);
  const int images = dense ? up(step->batch, ROWS) : step->threads;
  const size_t all = step->planes * images * step->plane_bytes;
  TAKE(step->values, all + 8);
  TAKE(step->first_weights, (size_t)layer->out_blocks * step->runs * step->run_steps * BLOCK * 4);
  TAKE(step->first_base, layer->pitch);
  TAKE(step->first_scale, layer->outputs);
  /* The padding stays at the centres; the rest is overwritten by every image. */
  for (size_t i = 0; done && i < all; i++) {
    const size_t plane = dense ? i / (images * step->plane_bytes) : i / step->plane_bytes % step->planes;
    step->values[i] = step->centre[plane * channels + i % channels];
  }
  return done;
}

static int lay_space(Step *step, size_t most, StepSpace *space) {
  int done = 1;
  size_t quads = 0, inputs = 0, choices = 0, pixels = 0, sums = (size_t)ROWS * BLOCK, corrections = 0, segments = 1, counts = 0;
  TAKE(space->gradient, step->layers);
  for (int k = 0; done && k < step->layers; k++) {
    const StepLayer *layer = step->layer + k;
    const LayerSpec *spec = &layer->spec;
#define MOST(have, need) have = (size_t)(need) > have ? (size_t)(need) : have
    MOST(sums, (size_t)(WINDOWS * spec->pool * spec->pool + TILE) * BLOCK);
    if (layer->is_looked_up) MOST(counts, layer->out_blocks * lookup_size(layer));
    if (layer->is_first) {
      MOST(sums, (size_t)spec->pool * up(spec->width, ROWS) * BLOCK);
      MOST(segments, step->runs);
    }
    if (spec->is_dense) {
      MOST(inputs, layer->quads * BLOCK * 4);
      continue;
    }
    const size_t padded = (size_t)layer->group * layer->rows * layer->columns + ROWS;
    TAKE(space->gradient[k], padded * layer->pitch);
    const size_t input_rows = (size_t)spec->kernel * spec->stride * layer->group * (layer->phase_rows + 1);
    if (layer->looks_up) {
      MOST(choices, input_rows * layer->quads * layer->lane_pitch);
    } else {
      MOST(quads, (size_t)layer->group * spec->height * layer->quads * layer->pitch * 4);
      MOST(inputs, input_rows * layer->quads * BLOCK * 4);
    }
    MOST(pixels, padded);
    size_t tiles = 0;
    for (int f = 0; f < layer->phases; f++) tiles += layer->phase[f].tiles;
    MOST(corrections, tiles * layer->group * ROWS);
    MOST(segments, layer->taps > layer->group ? layer->taps : layer->group);
#undef MOST
  }
  TAKE(space->gradient_quads, quads);
  TAKE(space->input_quads, inputs);
  TAKE(space->choices, choices);
  TAKE(space->tables, choices > 0 ? TABLE_QUADS * QUAD_CHOICES * BLOCK : 0);
  TAKE(space->pixel_sums, pixels);
  TAKE(space->sums, sums);
  TAKE(space->corrections, corrections);
  TAKE(space->segments, segments);
  TAKE(space->counts, counts);
  done = done && take_lookup_space(&step->allocations, &step->bytes, most, &step->lookup, &space->lookup);
  return done;
}

static int lay_out(Step *step, const StepSpec *spec, size_t most) {
  const ModelSpec *model = spec->model;
  int done = 1;
  TAKE(step->slice, model->slices);
  TAKE(step->layer, model->layers);
  TAKE(step->space, step->threads);
  TAKE(step->scores, (size_t)step->batch * model->classes);
  const int channels = model->layer->input_channels;
  TAKE(step->place, channels);
  if (!done) return 0;
  memcpy(step->slice, model->slice, sizeof *step->slice * model->slices);
  memcpy(step->place, spec->place, sizeof *step->place * channels);
  for (int k = 0; k < step->layers; k++) {
    StepLayer *layer = step->layer + k;
    layer->spec = model->layer[k];
    const LayerSpec *shape = &layer->spec;
    layer->is_first = k == 0;
    layer->is_last = k + 1 == step->layers;
    layer->is_latent = k > 0 || !step->is_integer;
    layer->rate_scale = spec->rate_scale[k];
    layer->weights = spec->parameters[3 * k];
    layer->gamma = spec->parameters[3 * k + 1];
    layer->beta = spec->parameters[3 * k + 2];
    layer->channels = shape->input_channels;
    layer->taps = shape->is_dense ? shape->input_height * shape->input_width : shape->kernel * shape->kernel;
    layer->lanes = layer->is_first && !step->is_sliced ? 2 * layer->channels + 1 : layer->channels;
    layer->outputs = shape->outputs;
    layer->in_blocks = divided_up(layer->lanes, BLOCK);
    layer->out_blocks = divided_up(layer->outputs, BLOCK);
    layer->pitch = layer->out_blocks * BLOCK;
    layer->lane_pitch = layer->in_blocks * BLOCK;
    layer->pixels = shape->is_dense ? 1 : shape->pooled_height * shape->pooled_width;
    layer->is_wide = shape->bound > MOST_STORED;
    /* Sums over a batch have to fit: of gradients in 32 bits, of squares in 63. */
    const double samples = (double)step->batch * shape->height * shape->width;
    const int factor = k == 0 && !step->is_sliced ? 15 : 2;
    if (samples * factor * MOST_GRADIENT > INT32_MAX || samples * shape->bound * shape->bound > 9e18 ||
        (double)layer->taps * layer->outputs * 2 * MOST_GRADIENT > INT32_MAX)
      return 0;
    done = done && lay_forward(step, most, layer) && lay_backward(step, most, layer);
  }
  for (int k = 0; done && k < step->layers; k++) {
    StepLayer *layer = step->layer + k;
    layer->partials = layer->is_last ? 0 : layer[1].spec.is_dense ? layer[1].taps : step->batch;
    TAKE(layer->first, (size_t)layer->partials * layer->pitch);
    TAKE(layer->second, (size_t)layer->partials * layer->pitch);
  }
  done = done && lay_first(step, most);
  for (int t = 0; done && t < step->threads; t++) done = lay_space(step, most, step->space + t);
  return done;
}

Step *build_step(const StepSpec *spec, const StepKernels *kernels, size_t most, const char **why) {
  Step *step = calloc(1, sizeof *step);
  *why = "there is no memory left";
  if (!step) return 0;
  const ModelSpec *model = spec->model;
  step->kernels = kernels;
  step->layers = model->layers;
  step->batch = spec->batch;
  step->classes = model->classes;
  step->threads = spec->threads;
  step->convolutions = spec->convolutions;
  step->height = model->height;
  step->width = model->width;
  step->channels = model->channels;
  step->is_sliced = model->is_sliced;
  step->slices = model->slices;
  step->is_hinge = spec->is_hinge;
  step->is_integer = spec->is_integer;
  *why = "it needs more memory than there is; use a smaller batch or fewer threads, or another device";
  if (lay_out(step, spec, most)) {
    step->pool = make_pool(spec->threads);
    if (step->pool) return step;
    *why = "so many threads cannot be started; use fewer";
  }
  free_step(step);
  return 0;
}

void free_step(Step *step) {
  free_pool(step->pool);
  free_all(step->allocations);
  free(step);
}
