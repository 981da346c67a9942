/*
 * Networks with few weights left: each is multiplied with what it is for, and nothing else is. In a convolution that is a whole row
 * of neighbouring places (a map lies in planes, one behind the other with its border, so that a tap is an offset, and places that
 * reach over the end of a row are computed for nothing); in a dense layer it is the same value of some images.
 */
#include "real.h"
#include <string.h>

struct PrunedLayer {
  int is_dense, outputs, channels, height, width; /* of the input */
  int before, pitch;
  size_t plane, image; /* floats */
  int pool, stride, pooled_height, pooled_width;
  int positions; /* from the first place to the last, at a stride of 1 */
  SparseRows rows;
  float *mean, *scale, *beta;
};

#define TAKE(size) take(&engine->allocations, &engine->bytes, engine->most, size)

static int build_rows(RealEngine *engine, PrunedLayer *layer, const LayerSpec *spec, const float *weights) {
  SparseRows *rows = &layer->rows;
  const size_t fan_in = (size_t)spec->fan_in, channels = (size_t)layer->channels, taps = fan_in / channels;
  rows->outputs = spec->outputs;
  rows->start = TAKE(((size_t)spec->outputs + 1) * sizeof(uint32_t));
  if (!rows->start) return 0;
  size_t total = 0;
  for (int o = 0; o < spec->outputs; o++) {
    size_t own = 0;
    for (size_t i = 0; i < fan_in; i++) own += weights[o * fan_in + i] != 0;
    total += spec->is_dense ? (own + PARTIALS - 1) / PARTIALS * PARTIALS : own;
    if (total > UINT32_MAX) return 0;
    rows->start[o + 1] = (uint32_t)total;
  }
  rows->offset = TAKE(total * sizeof(uint32_t));
  rows->weight = TAKE(total * sizeof(float));
  if (!rows->offset || !rows->weight) return 0;
  for (int o = 0; o < spec->outputs; o++) {
    size_t at = rows->start[o];
    for (size_t j = 0; j < fan_in; j++) {
      /* Channel by channel: what the taps of one read is next to each other (128 channels a fifth faster than tap by tap). */
      const size_t c = j / taps, tap = j % taps, i = spec->is_dense ? j : tap * channels + c;
      const float weight = weights[o * fan_in + i];
      if (weight == 0) continue;
      rows->weight[at] = weight;
      rows->offset[at++] = (uint32_t)(spec->is_dense ? i : c * layer->plane + tap / spec->kernel * layer->pitch + tap % spec->kernel);
    }
  }
  return 1;
}

int build_pruned(RealEngine *engine, const ModelSpec *model, const RealSpec *layers) {
  engine->pruned = TAKE(sizeof(PrunedLayer) * model->layers);
  if (!engine->pruned) return 0;
  for (int k = 0; k < model->layers; k++) {
    PrunedLayer *layer = engine->pruned + k;
    const LayerSpec *spec = model->layer + k;
    const int border = spec->is_dense ? 0 : spec->pad_start + spec->pad_end;
    layer->is_dense = spec->is_dense;
    layer->outputs = spec->outputs;
    layer->channels = spec->input_channels;
    layer->height = spec->input_height;
    layer->width = spec->input_width;
    layer->before = spec->is_dense ? 0 : spec->pad_start;
    layer->pitch = spec->input_width + border;
    layer->plane = (size_t)(spec->input_height + border) * layer->pitch;
    layer->image = layer->plane * spec->input_channels;
    layer->pool = spec->pool;
    layer->stride = spec->stride;
    layer->pooled_height = spec->pooled_height;
    layer->pooled_width = spec->pooled_width;
    layer->positions = (spec->height - 1) * spec->stride * layer->pitch + (spec->width - 1) * spec->stride + 1;
    if ((size_t)layer->positions > engine->sums) engine->sums = (size_t)layer->positions;
    if ((size_t)spec->pooled_width > engine->maps) engine->maps = (size_t)spec->pooled_width;
    const size_t bytes = (size_t)spec->outputs * sizeof(float);
    layer->mean = TAKE(bytes);
    layer->scale = TAKE(bytes);
    layer->beta = TAKE(bytes);
    if (!layer->mean || !layer->scale || !layer->beta || !build_rows(engine, layer, spec, layers[k].weights)) return 0;
    memcpy(layer->mean, layers[k].mean, bytes);
    memcpy(layer->scale, layers[k].scale, bytes);
    memcpy(layer->beta, layers[k].beta, bytes);
  }
  return 1;
}

#undef TAKE
#define TAKE(size) take(&workspace->allocations, &workspace->bytes, engine->most - engine->bytes, size)

int make_pruned_workspace(const RealEngine *engine, RealWorkspace *workspace) {
  workspace->input = TAKE(sizeof(void *) * engine->layers);
  if (!workspace->input) return 0;
  for (int k = 0; k < engine->layers; k++) {
    const PrunedLayer *layer = engine->pruned + k;
    workspace->input[k] = TAKE(layer->image * (layer->is_dense ? IMAGES : 1) * sizeof(float));
    if (!workspace->input[k]) return 0;
  }
  return (workspace->sums = TAKE(engine->sums * sizeof(float))) && (workspace->y = TAKE((engine->maps + IMAGES) * sizeof(float)));
}

/* A row of places: the largest sum of each window, normalized, and what is above 0 of it. */
static inline __attribute__((always_inline)) void hand_on(const float *sums, int width, int pitch, int pool, int stride, float mean,
                                                          float scale, float beta, float *y) {
  for (int x = 0; x < width; x++) {
    const float *window = sums + x * pool * stride;
    float largest = *window;
    for (int dy = 0; dy < pool; dy++)
      for (int dx = 0; dx < pool; dx++) {
        const float sum = window[(dy * pitch + dx) * stride];
        largest = sum > largest ? sum : largest;
      }
    const float normalized = (largest - mean) * scale + beta;
    y[x] = normalized > 0 ? normalized : 0;
  }
}

static void run_convolution(const RealEngine *engine, RealWorkspace *workspace, const PrunedLayer *layer, const float *in, float *out,
                            int lanes) {
  const PrunedLayer *next = layer + 1;
  const int pitch = layer->pitch, width = layer->pooled_width, pool = layer->pool, stride = layer->stride;
  for (int o = 0; o < layer->outputs; o++) {
    engine->kernels->slide(&layer->rows, o, in, layer->positions, workspace->sums);
    const float mean = layer->mean[o], scale = layer->scale[o], beta = layer->beta[o];
    for (int row = 0; row < layer->pooled_height; row++) {
      const float *sums = workspace->sums + (size_t)row * pool * stride * pitch;
      float *y = next->is_dense ? workspace->y : out + o * next->plane + (size_t)(row + next->before) * next->pitch + next->before;
      if (stride == 1 && pool == 1) hand_on(sums, width, pitch, 1, 1, mean, scale, beta, y);
      else if (stride == 1 && pool == 2) hand_on(sums, width, pitch, 2, 1, mean, scale, beta, y);
      else hand_on(sums, width, pitch, pool, stride, mean, scale, beta, y);
      if (next->is_dense)
        for (int x = 0; x < width; x++) out[(((size_t)row * width + x) * layer->outputs + o) * lanes] = y[x];
    }
  }
}

/* For one image, as `gather` for many. */
static float gather_one(const SparseRows *rows, int row, const float *in) {
  float total[PARTIALS] = {0};
  for (uint32_t i = rows->start[row]; i < rows->start[row + 1]; i += PARTIALS)
    for (int j = 0; j < PARTIALS; j++) total[j] += in[rows->offset[i + j]] * rows->weight[i + j];
  return (total[0] + total[1]) + (total[2] + total[3]);
}

/* `count` images of a dense layer, [value][lanes]. */
static void run_dense(const RealEngine *engine, RealWorkspace *workspace, int k, int count, int lanes, float *scores) {
  const PrunedLayer *layer = engine->pruned + k;
  const float *in = workspace->input[k];
  const int is_last = k + 1 == engine->layers;
  for (int o = 0; o < layer->outputs; o++) {
    float *sums = workspace->y;
    if (lanes == 1) *sums = gather_one(&layer->rows, o, in);
    else engine->kernels->gather(&layer->rows, o, in, sums);
    for (int n = 0; n < count; n++) {
      const float y = (sums[n] - layer->mean[o]) * layer->scale[o] + layer->beta[o];
      if (is_last) scores[(size_t)n * layer->outputs + o] = y;
      else ((float *)workspace->input[k + 1])[(size_t)o * lanes + n] = y > 0 ? y : 0;
    }
  }
}

static void take_planes(const PrunedLayer *layer, const float *planes, float *to, int lanes) {
  for (int c = 0; c < layer->channels; c++)
    for (int y = 0; y < layer->height; y++, planes += layer->width) {
      if (!layer->is_dense) {
        memcpy(to + c * layer->plane + (size_t)(y + layer->before) * layer->pitch + layer->before, planes, layer->width * sizeof *to);
        continue;
      }
      for (int x = 0; x < layer->width; x++) to[(((size_t)y * layer->width + x) * layer->channels + c) * lanes] = planes[x];
    }
}

void run_pruned(const RealEngine *engine, RealWorkspace *workspace, const float *planes, int count, float *scores) {
  int dense = 0;
  while (!engine->pruned[dense].is_dense) dense++;
  for (int start = 0; start < count; start += IMAGES) {
    const int images = count - start < IMAGES ? count - start : IMAGES, lanes = images == 1 ? 1 : IMAGES;
    for (int n = 0; n < images; n++) {
      const float *own = planes + (size_t)(start + n) * engine->image;
      take_planes(engine->pruned, own, (float *)workspace->input[0] + (dense == 0 ? n : 0), lanes);
      for (int k = 0; k < dense; k++)
        run_convolution(engine, workspace, engine->pruned + k, workspace->input[k],
                        (float *)workspace->input[k + 1] + (k + 1 == dense ? n : 0), lanes);
    }
    for (int k = dense; k < engine->layers; k++)
      run_dense(engine, workspace, k, images, lanes, scores + (size_t)start * engine->classes);
  }
}
