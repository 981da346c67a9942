/* Lays a real training step out, once: every buffer, and which pixel meets which weight. */
#include "step.h"
#include <stdlib.h>

#define TAKE(field, count) (done = done && ((field) = take(&step->allocations, &step->bytes, most, (size_t)(count) * sizeof *(field))))

static int divided_up(int value, int by) { return (value + by - 1) / by; }

/* Products of at least this many steps in a row: less, and loading and storing the sums would show. */
enum { LONG_ENOUGH = 128 };
/* Products of weights are shared out in so many pieces a thread, or the last one would be waited for. */
enum { PIECES = 4 };

/*
 * Tiles of a map of rows x columns, `pitch` positions from row to row: every row by itself, or one behind the other with what lies
 * between, whichever are fewer. `to` becomes row * columns + column.
 */
static int lay_tiles(int rows, int columns, int pitch, RealTile *tile) {
  if (rows < 1 || columns < 1) return 0;
  const int of_row = divided_up(columns, ROWS), apart = rows * of_row, together = divided_up((rows - 1) * pitch + columns, ROWS);
  const int is_apart = apart <= together, count = is_apart ? apart : together;
  for (int t = 0; tile && t < count; t++) {
    const int row = is_apart ? t / of_row : 0, column = (is_apart ? t % of_row : t) * ROWS;
    tile[t].from = row * pitch + column;
    for (int r = 0; r < ROWS; r++) {
      const int y = is_apart ? row : (column + r) / pitch, x = is_apart ? column + r : (column + r) % pitch;
      tile[t].to[r] = y < rows && x < columns ? y * columns + x : -1;
    }
  }
  return count;
}

static void set_shape(RealLayer *layer, const RealLayer *before, const LayerSpec *spec, int batch) {
  layer->is_dense = spec->is_dense;
  layer->outputs = spec->outputs;
  layer->blocks = blocks_of(spec->outputs);
  layer->images = spec->is_dense ? 1 : batch;
  layer->channels = spec->is_dense ? spec->fan_in : spec->input_channels;
  layer->kernel = spec->is_dense ? 1 : spec->kernel;
  layer->stride = spec->is_dense ? 1 : spec->stride;
  layer->pad = spec->is_dense ? 0 : spec->pad_start;
  layer->pool = spec->is_dense ? 1 : spec->pool;
  layer->input_height = spec->is_dense ? 1 : spec->input_height;
  layer->input_width = spec->is_dense ? batch : spec->input_width;
  layer->rows = layer->input_height + (spec->is_dense ? 0 : spec->pad_start + spec->pad_end);
  layer->columns = layer->input_width + (spec->is_dense ? 0 : spec->pad_start + spec->pad_end);
  layer->pooled_height = spec->is_dense ? 1 : spec->pooled_height;
  layer->pooled_width = spec->is_dense ? batch : spec->pooled_width;
  layer->height = layer->pooled_height * layer->pool;
  layer->width = layer->pooled_width * layer->pool;
  layer->pixels = layer->pooled_height * layer->pooled_width;
  layer->run = layer->kernel * layer->channels;
  layer->run_pairs = divided_up(layer->run, 2);
  layer->out_pairs = divided_up(layer->outputs, 2);
  layer->lane_blocks = blocks_of(layer->run);
  layer->is_straight = layer->run % BLOCK == 0 && layer->outputs % ROWS == 0;
  layer->sources = before && layer->is_dense && !before->is_dense ? before->pixels : 1;
  layer->source_channels = layer->channels / layer->sources;
  layer->source_blocks = blocks_of(layer->source_channels);
  /* Where pixels of the map in front, or the image's, go. */
  const int width = spec->input_width, channels = spec->input_channels;
  if (layer->is_dense) {
    layer->x_image = layer->channels;
    layer->x_row = (size_t)width * channels;
    layer->x_pixel = before && before->is_dense ? layer->channels : channels;
  } else {
    layer->x_pixel = layer->channels;
    layer->x_row = (size_t)layer->columns * layer->channels;
    layer->x_image = layer->rows * layer->x_row;
    layer->x_start = layer->pad * (layer->x_row + layer->x_pixel);
  }
}

/* The gradient of the sums, with as much padding as taps reach beyond it, and what each pixel of the input meets there. */
static int lay_phases(RealStep *step, size_t most, RealLayer *layer) {
  const int kernel = layer->kernel, stride = layer->stride, pad = layer->pad;
  int done = 1, after_rows = 0, after_columns = 0;
  for (int tap = 0; tap < kernel; tap++)
    for (int first = 0; first < stride; first++) {
      if ((first + pad - tap) % stride) continue;
      const int from = (first + pad - tap) / stride;
      const int rows = divided_up(layer->input_height - first, stride), columns = divided_up(layer->input_width - first, stride);
      if (-from > layer->before) layer->before = -from;
      if (rows + from - layer->height > after_rows) after_rows = rows + from - layer->height;
      if (columns + from - layer->width > after_columns) after_columns = columns + from - layer->width;
    }
  layer->dz_rows = layer->before + layer->height + after_rows;
  layer->dz_columns = layer->before + layer->width + after_columns;
  if (layer->is_first) return 1;
  layer->phases = stride * stride;
  TAKE(layer->phase, layer->phases);
  for (int f = 0; done && f < layer->phases; f++) {
    RealPhase *phase = layer->phase + f;
    const int first_row = f / stride, first_column = f % stride;
    TAKE(phase->meeting, kernel * kernel);
    for (int tap = 0; done && tap < kernel * kernel; tap++) {
      const int y = first_row + pad - tap / kernel, x = first_column + pad - tap % kernel;
      if (y % stride || x % stride) continue;
      phase->meeting[phase->meetings].offset = (layer->before + y / stride) * layer->dz_columns + layer->before + x / stride;
      phase->meeting[phase->meetings++].tap = tap;
    }
    const int rows = divided_up(layer->input_height - first_row, stride);
    const int columns = divided_up(layer->input_width - first_column, stride);
    phase->tiles = lay_tiles(rows, columns, layer->dz_columns, 0);
    TAKE(phase->tile, phase->tiles + 1);
    if (!done) return 0;
    lay_tiles(rows, columns, layer->dz_columns, phase->tile);
    for (int t = 0; t < phase->tiles; t++)
      for (int r = 0; r < ROWS; r++) {
        int32_t *to = phase->tile[t].to + r;
        if (*to >= 0) *to = (first_row + *to / columns * stride) * layer->input_width + first_column + *to % columns * stride;
      }
  }
  return done;
}

static int lay_layer(RealStep *step, size_t most, RealLayer *layer) {
  int done = 1;
  /* Tiles, and pairs, may reach over the last pixel. */
  const size_t behind = (size_t)(ROWS * layer->stride + layer->kernel) * layer->channels + 2 * BLOCK;
  TAKE(layer->x, (size_t)layer->images * layer->rows * layer->columns * layer->channels + behind);
  TAKE(layer->weights, (size_t)layer->blocks * layer->kernel * layer->run_pairs * BLOCK);
  layer->tiles = lay_tiles(layer->height, layer->width, layer->columns, 0);
  TAKE(layer->tile, layer->tiles);
  if (!done) return 0;
  lay_tiles(layer->height, layer->width, layer->columns, layer->tile);
  const size_t sums = (size_t)layer->images * layer->blocks * layer->pixels * BLOCK, pitch = (size_t)layer->blocks * BLOCK;
  TAKE(layer->p, sums);
  TAKE(layer->dy, sums);
  if (layer->pool > 1) TAKE(layer->winner, sums);
  if (layer->activation == SCALED_SIGN) {
    TAKE(layer->magnitude, (size_t)layer->images * layer->pixels);
    TAKE(layer->dmagnitude, (size_t)layer->images * layer->pixels);
  }
  if (!layer->is_first && layer[-1].activation == SCALED_SIGN) {
    const size_t places = (size_t)layer->images * layer->height * layer->width;
    TAKE(layer->k, places);
    TAKE(layer->dk, places * layer->blocks);
  }
  TAKE(layer->first, layer->images * pitch);
  TAKE(layer->second, layer->images * pitch);
  float **const vectors[] = {&layer->mean, &layer->variance, &layer->inverse, &layer->factor, &layer->gain,
                             &layer->offset, &layer->slope, &layer->curve, &layer->constant};
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) TAKE(*vectors[i], pitch);

  done = done && lay_phases(step, most, layer);
  TAKE(layer->dz, ((size_t)layer->images * layer->dz_rows * layer->dz_columns + 2 * ROWS) * layer->outputs + 2 * BLOCK);
  const int taps = layer->kernel * layer->kernel;
  if (!layer->is_first) TAKE(layer->back, (size_t)layer->sources * layer->source_blocks * taps * layer->out_pairs * BLOCK);
  if (!layer->is_straight) TAKE(layer->products, pitch * layer->kernel * layer->lane_blocks * BLOCK);
  layer->pairs = divided_up(layer->width, 2);
  layer->phase_rows = divided_up(layer->rows, layer->stride);
  layer->group = divided_up(LONG_ENOUGH, layer->height * layer->pairs);
  if (layer->group > layer->images) layer->group = layer->images;
  layer->chunks = divided_up(PIECES * step->threads, layer->blocks);
  if (layer->chunks > layer->lane_blocks) layer->chunks = layer->lane_blocks;
  return done;
}

static int lay_space(RealStep *step, size_t most, RealSpace *space) {
  int done = 1;
  size_t z = 0, gradients = 0, inputs = 0, runs = 0;
#define MOST(have, need) have = (size_t)(need) > have ? (size_t)(need) : have
  for (int k = 0; k < step->layers; k++) {
    const RealLayer *layer = step->layer + k;
    if (layer->pool > 1) MOST(z, (size_t)layer->height * layer->width * BLOCK);
    MOST(gradients, (size_t)layer->group * layer->height * layer->pairs * BLOCK);
    MOST(inputs, (size_t)layer->group * layer->stride * layer->phase_rows * layer->pairs * BLOCK);
    MOST(runs, layer->kernel * layer->kernel);
    MOST(runs, layer->group);
  }
#undef MOST
  TAKE(space->z, z);
  TAKE(space->gradient_pairs, gradients);
  TAKE(space->input_pairs, inputs);
  TAKE(space->runs, runs);
  return done;
}

static int lay_out(RealStep *step, const RealSpec *spec, size_t most) {
  int done = 1;
  TAKE(step->layer, step->layers);
  TAKE(step->slice, step->slices + 1);
  TAKE(step->tensor, spec->tensors);
  TAKE(step->space, step->threads);
  TAKE(step->scores, (size_t)step->batch * step->classes);
  if (!done) return 0;
  for (int i = 0; i < step->slices; i++) step->slice[i] = spec->model->slice[i];
  for (int i = 0; i < spec->tensors; i++) step->tensor[i] = spec->tensor[i];
  for (int k = 0; done && k < step->layers; k++) {
    RealLayer *layer = step->layer + k;
    layer->own = spec->arrays[k];
    layer->is_first = k == 0;
    layer->activation = spec->activation[k] == SIGN && layer->own.noise ? DRAWN_SIGN : spec->activation[k];
    set_shape(layer, k > 0 ? layer - 1 : 0, spec->model->layer + k, step->batch);
    done = lay_layer(step, most, layer);
  }
  for (int t = 0; done && t < step->threads; t++) done = lay_space(step, most, step->space + t);
  return done;
}

RealStep *build_real_step(const RealSpec *spec, const RealStepKernels *kernels, size_t most, const char **why) {
  RealStep *step = calloc(1, sizeof *step);
  *why = "there is no memory left";
  if (!step) return 0;
  const ModelSpec *model = spec->model;
  step->kernels = kernels;
  step->layers = model->layers;
  step->batch = spec->batch;
  step->classes = model->classes;
  step->threads = spec->threads;
  step->height = model->height;
  step->width = model->width;
  step->channels = model->channels;
  step->is_sliced = model->is_sliced;
  step->slices = model->slices;
  step->is_hinge = spec->is_hinge;
  step->has_shifts = spec->has_shifts;
  step->tensors = spec->tensors;
  *why = "it needs more memory than there is; use a smaller batch, or another device";
  if (lay_out(step, spec, most)) {
    step->pool = make_pool(spec->threads);
    if (step->pool) return step;
    *why = "so many threads cannot be started; use fewer";
  }
  free_real_step(step);
  return 0;
}

void free_real_step(RealStep *step) {
  free_pool(step->pool);
  free_all(step->allocations);
  free(step);
}
