/*
 * XNOR-Net (Rastegari et al. 2016, section 3.2). A binary layer's sum is that of an engine of bits, products - 2 * mismatches; it
 * is scaled by alpha of the output and by K of the place, the mean of the magnitudes that were binarized in the window:
 *
 *   z = sum * alpha * K,   p = largest z of a pooling window,   y = (p - mean) * scale + beta,   bit = y >= 0
 *
 * so a threshold will not do: sums become floats, chunk by chunk of places whose scratch stays in the first-level cache, and bits
 * again, and |y| is added up on the way for the next layer's K. The first layer, and where the technique says so the last, have
 * real weights; what lies before a real layer is y where it is above 0.
 */
#include "../windows.h"
#include "real.h"
#include <string.h>

/* Places whose sums are in the scratch at once: each takes 128 bytes in four arrays. */
enum { CHUNK = 64 };

/* What a layer reads: bits, or floats, with the border that it needs. */
typedef struct {
  int is_bits;
  int height, width, channels;
  int before, pitch;  /* of the border; pixels of a row with it */
  int pixel;          /* words, or floats */
  size_t image;       /* of the same */
  size_t magnitudes;  /* of an image */
} Input;

struct XnorLayer {
  int is_dense, outputs, blocks;
  int window, windows; /* places of a pooling window, windows of an image */
  Input in;
  BitLayer bits;
  FloatLayer floats;
  int32_t *bases; /* [kinds][blocks * BLOCK] */
  float *alpha, *mean, *scale, *beta; /* [blocks * BLOCK] */
  int height, width, kernel, stride, pad;
  /* of every place, window by window: where it begins, its kind of border, and its own K; of dense layers of every image */
  uint32_t *from, *kind, *at;
  /* of every window: where in the next layer's input, and in its magnitudes */
  uint32_t *to, *spot;
};

#define TAKE(size) take(&engine->allocations, &engine->bytes, engine->most, size)
#define NEED(field, count) done = done && (layer->field = TAKE((size_t)(count) * sizeof *layer->field))

static Input input_of(const LayerSpec *spec, Form form) {
  Input in = {.is_bits = form == BINARY, .height = spec->input_height, .width = spec->input_width, .channels = spec->input_channels};
  const int border = spec->is_dense ? 0 : spec->pad_start + spec->pad_end;
  in.before = spec->is_dense ? 0 : spec->pad_start;
  in.pixel = in.is_bits ? (in.channels + 63) / 64 : in.channels;
  in.pitch = in.width + border;
  in.magnitudes = (size_t)(in.height + border) * in.pitch;
  in.image = in.magnitudes * in.pixel;
  return in;
}

/* Bits where weights are above 0, and for every kind of border what is to be said of the taps outside: words there are 0. */
static int build_binary(RealEngine *engine, XnorLayer *layer, const LayerSpec *spec, const RealSpec *real) {
  BitLayer *bits = &layer->bits;
  const Input *in = &layer->in;
  bits->outputs = layer->outputs;
  bits->blocks = layer->blocks;
  bits->rows = spec->is_dense ? 1 : spec->kernel;
  bits->run = spec->is_dense ? (int)in->image : spec->kernel * in->pixel;
  bits->row_stride = spec->is_dense ? bits->run : in->pitch * in->pixel;
  const size_t steps = (size_t)bits->rows * bits->run;
  const int channels = spec->input_channels, taps = spec->fan_in / channels;
  bits->weights = TAKE(layer->blocks * steps * BLOCK * sizeof(uint64_t));
  if (!bits->weights) return 0;
  /* There are none, but the kernels make addresses of them. */
  bits->limits = (int64_t *)bits->weights;
  Reach row_reach[MOST_REACHES], column_reach[MOST_REACHES];
  uint32_t *row_kind = TAKE(((size_t)layer->height + layer->width) * sizeof *row_kind);
  if (!row_kind) return 0;
  uint32_t *column_kind = row_kind + layer->height;
  int rows = 1, columns = 1;
  if (!spec->is_dense) {
    rows = distinct_reaches(layer->height, spec->stride, spec->pad_start, spec->kernel, in->height, row_reach, row_kind);
    columns = distinct_reaches(layer->width, spec->stride, spec->pad_start, spec->kernel, in->width, column_reach, column_kind);
    for (int i = 0; i < layer->windows * layer->window; i++)
      layer->kind[i] = row_kind[layer->at[i] / layer->width] * (uint32_t)columns + column_kind[layer->at[i] % layer->width];
  }
  const size_t padded = (size_t)layer->blocks * BLOCK;
  layer->bases = TAKE(sizeof(int32_t) * rows * columns * padded);
  if (!layer->bases) return 0;
  for (int o = 0; o < layer->outputs; o++) {
    const float *own = real->weights + (size_t)o * spec->fan_in;
    uint64_t *to = bits->weights + (size_t)(o / BLOCK) * steps * BLOCK + o % BLOCK;
    for (int tap = 0; tap < taps; tap++)
      for (int c = 0; c < channels; c++)
        if (own[(size_t)tap * channels + c] > 0) to[((size_t)tap * in->pixel + c / 64) * BLOCK] |= (uint64_t)1 << (c % 64);
    layer->alpha[o] = __builtin_fabsf(own[0]);
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < columns; c++) {
        int products = 0, outside = 0;
        for (int tap = 0; tap < taps; tap++) {
          const int ky = tap / spec->kernel, kx = tap % spec->kernel;
          if (spec->is_dense || (ky >= row_reach[r].first && ky < row_reach[r].last && kx >= column_reach[c].first && kx < column_reach[c].last)) {
            products += channels;
            continue;
          }
          for (int word = 0; word < in->pixel; word++)
            outside += __builtin_popcountll(to[((size_t)tap * in->pixel + word) * BLOCK]);
        }
        layer->bases[((size_t)r * columns + c) * padded + o] = products + 2 * outside;
      }
  }
  return 1;
}

static int build_floats(RealEngine *engine, XnorLayer *layer, const LayerSpec *spec, const RealSpec *real) {
  FloatLayer *floats = &layer->floats;
  const Input *in = &layer->in;
  floats->rows = spec->is_dense ? 1 : spec->kernel;
  floats->run = spec->is_dense ? (int)in->image : spec->kernel * in->pixel;
  floats->row_stride = in->pitch * in->pixel;
  const size_t steps = (size_t)spec->fan_in;
  floats->weights = TAKE(layer->blocks * steps * BLOCK * sizeof(float));
  if (!floats->weights) return 0;
  for (int o = 0; o < layer->outputs; o++)
    for (size_t i = 0; i < steps; i++)
      floats->weights[((size_t)(o / BLOCK) * steps + i) * BLOCK + o % BLOCK] = real->weights[(size_t)o * steps + i];
  return 1;
}

static int build_layer(RealEngine *engine, const ModelSpec *model, const RealSpec *layers, int k) {
  const LayerSpec *spec = model->layer + k;
  XnorLayer *layer = engine->xnor + k;
  const int is_last = k + 1 == model->layers;
  layer->is_dense = spec->is_dense;
  layer->outputs = spec->outputs;
  layer->blocks = blocks_of(spec->outputs);
  layer->height = spec->height;
  layer->width = spec->width;
  layer->kernel = spec->kernel;
  layer->stride = spec->stride;
  layer->pad = spec->pad_start;
  layer->in = input_of(spec, layers[k].form);
  const Input *in = &layer->in, next = is_last ? (Input){.image = (size_t)spec->outputs} : input_of(spec + 1, layers[k + 1].form);
  const int pool = spec->pool;
  layer->window = spec->is_dense ? 1 : pool * pool;
  layer->windows = spec->is_dense ? BATCH : spec->pooled_height * spec->pooled_width;
  const size_t places = (size_t)layer->windows * layer->window, padded = (size_t)layer->blocks * BLOCK;
  int done = 1;
  NEED(alpha, padded);
  NEED(mean, padded);
  NEED(scale, padded);
  NEED(beta, padded);
  /* Tiles take more places than there may be. */
  NEED(from, places + TILE);
  NEED(kind, places + TILE);
  NEED(at, places + TILE);
  NEED(to, layer->windows);
  NEED(spot, layer->windows);
  if (!done) return 0;
  memcpy(layer->mean, layers[k].mean, spec->outputs * sizeof(float));
  memcpy(layer->scale, layers[k].scale, spec->outputs * sizeof(float));
  memcpy(layer->beta, layers[k].beta, spec->outputs * sizeof(float));
  const int words = next.is_bits ? 2 : 1; /* halves of 64 bits are written */
  for (int w = 0; w < layer->windows; w++) {
    if (spec->is_dense) {
      layer->from[w] = (uint32_t)(w * in->image);
      layer->at[w] = layer->spot[w] = (uint32_t)w;
      layer->to[w] = (uint32_t)(words * w * next.image);
      continue;
    }
    const int y = w / spec->pooled_width, x = w % spec->pooled_width;
    const size_t spot = (size_t)(y + next.before) * next.pitch + x + next.before;
    layer->spot[w] = (uint32_t)spot;
    layer->to[w] = (uint32_t)(words * spot * next.pixel);
    for (int i = 0; i < layer->window; i++) {
      const int py = y * pool + i / pool, px = x * pool + i % pool;
      layer->from[w * layer->window + i] = (uint32_t)(((size_t)py * in->pitch + px) * spec->stride * in->pixel);
      layer->at[w * layer->window + i] = (uint32_t)(py * spec->width + px);
    }
  }
  return (in->is_bits ? build_binary : build_floats)(engine, layer, spec, layers + k);
}

int build_xnor(RealEngine *engine, const ModelSpec *model, const RealSpec *layers) {
  engine->xnor = TAKE(sizeof(XnorLayer) * model->layers);
  for (int k = 0; k < model->layers; k++)
    if (!engine->xnor || !build_layer(engine, model, layers, k)) return 0;
  return 1;
}

#undef TAKE
#undef NEED
#define TAKE(size) take(&workspace->allocations, &workspace->bytes, engine->most - engine->bytes, size)

int make_xnor_workspace(const RealEngine *engine, RealWorkspace *workspace) {
  size_t blocks = 1, maps = 1;
  workspace->input = TAKE(sizeof(void *) * engine->layers);
  workspace->magnitude = TAKE(sizeof(float *) * engine->layers);
  if (!workspace->input || !workspace->magnitude) return 0;
  for (int k = 0; k < engine->layers; k++) {
    const XnorLayer *layer = engine->xnor + k;
    const Input *in = &layer->in;
    const size_t images = layer->is_dense ? BATCH : 1;
    workspace->input[k] = TAKE(images * in->image * (in->is_bits ? sizeof(uint64_t) : sizeof(float)));
    workspace->magnitude[k] = TAKE(images * in->magnitudes * sizeof(float));
    if (!workspace->input[k] || !workspace->magnitude[k]) return 0;
    if ((size_t)layer->blocks > blocks) blocks = (size_t)layer->blocks;
    const size_t map = (in->magnitudes > (size_t)layer->height * layer->width ? in->magnitudes : (size_t)layer->height * layer->width) + BATCH;
    if (map > maps) maps = map;
  }
  /* A chunk, or one place of all blocks. */
  const size_t sums = (CHUNK > blocks ? CHUNK : blocks) * BLOCK * sizeof(float);
  return (workspace->counts = TAKE(sums)) && (workspace->sums = TAKE(sums)) && (workspace->y = TAKE(sums)) &&
         (workspace->totals = TAKE(sums)) && (workspace->rows = TAKE(maps * sizeof(float))) &&
         (workspace->k = TAKE(maps * sizeof(float)));
}

/* K of every place of a convolution: means over windows, rows first. The border's magnitudes are 0. */
static void box(const XnorLayer *layer, const float *magnitude, float *rows, float *k) {
  const Input *in = &layer->in;
  const int kernel = layer->kernel, stride = layer->stride, width = layer->width;
  const float share = 1.0f / (float)(kernel * kernel);
  memset(rows, 0, sizeof *rows * in->height * width);
  for (int y = 0; y < in->height; y++) {
    const float *from = magnitude + (size_t)(y + in->before) * in->pitch;
    float *to = rows + (size_t)y * width;
    for (int kx = 0; kx < kernel; kx++)
      if (stride == 1)
        for (int x = 0; x < width; x++) to[x] += from[x + kx];
      else
        for (int x = 0; x < width; x++) to[x] += from[x * stride + kx];
  }
  for (int y = 0; y < layer->height; y++, k += width) {
    memset(k, 0, sizeof *k * width);
    for (int ky = 0; ky < kernel; ky++) {
      const int row = y * stride + ky - layer->pad;
      if (row < 0 || row >= in->height) continue;
      const float *from = rows + (size_t)row * width;
      for (int x = 0; x < width; x++) k[x] += from[x];
    }
    for (int x = 0; x < width; x++) k[x] *= share;
  }
}

/* K of every place, of `images` images of a dense layer; 1 where the technique has none. */
static void find_k(const RealEngine *engine, RealWorkspace *workspace, int layer_index, int images) {
  const XnorLayer *layer = engine->xnor + layer_index;
  const Input *in = &layer->in;
  float *k = workspace->k;
  if (!engine->has_k) {
    const int count = layer->is_dense ? images : layer->height * layer->width;
    for (int i = 0; i < count; i++) k[i] = 1;
  } else if (!layer->is_dense) box(layer, workspace->magnitude[layer_index], workspace->rows, k);
  else
    for (int n = 0; n < images; n++) {
      const float *own = workspace->magnitude[layer_index] + n * in->magnitudes;
      float total = 0;
      for (size_t i = 0; i < in->magnitudes; i++) total += own[i];
      k[n] = total * (1.0f / (float)in->magnitudes);
    }
}

/* The mean of the magnitudes of each window: BLOCK partial sums, then their halves onto each other. */
static void take_means(const XnorLayer *layer, float *totals, int first, int windows, float *magnitude) {
  const float share = 1.0f / (float)layer->outputs;
  for (int w = 0; w < windows; w++, totals += BLOCK) {
    for (int half = BLOCK / 2; half > 0; half /= 2)
      for (int i = 0; i < half; i++) totals[i] += totals[i + half];
    magnitude[layer->spot[first + w]] = *totals * share;
  }
}

/* What the block's outputs are to the next layer: bits and their magnitudes, floats above 0, or scores. */
static void hand_on(const RealEngine *engine, RealWorkspace *workspace, int k, int block, int first, int windows, void *out) {
  static const int32_t zeros[BLOCK] __attribute__((aligned(64)));
  static const uint32_t upright;
  const XnorLayer *layer = engine->xnor + k;
  const int lanes = layer->outputs - block * BLOCK < BLOCK ? layer->outputs - block * BLOCK : BLOCK;
  float *y = workspace->y;
  const int is_last = k + 1 == engine->layers;
  if (is_last || !layer[1].in.is_bits) {
    for (int w = 0; w < windows; w++, y += BLOCK) {
      float *to = (float *)out + layer->to[first + w] + block * BLOCK;
      for (int lane = 0; lane < lanes; lane++) to[lane] = is_last || y[lane] > 0 ? y[lane] : 0;
    }
    return;
  }
  engine->kernels->magnitudes(y, windows, workspace->totals);
  /* -0 becomes 0; as integers, floats from 0 on are those from 0 on. */
  for (int i = 0; i < windows * BLOCK; i++) y[i] += 0.0f;
  uint32_t words[CHUNK];
  engine->kernels->bits->activate32(y, windows, 1, zeros, &upright, words, 1);
  const uint32_t there = lanes == BLOCK ? ~0u : (1u << lanes) - 1;
  for (int w = 0; w < windows; w++) ((uint32_t *)out)[layer->to[first + w] + block] = words[w] & there;
}

/* Layer `k` at `windows` windows: of one image, or of a dense layer one of each image. */
static void run_windows(const RealEngine *engine, RealWorkspace *workspace, int k, int windows, void *out, float *magnitude) {
  const XnorLayer *layer = engine->xnor + k;
  const RealKernels *kernels = engine->kernels;
  const int is_binary = layer->in.is_bits, window = layer->window, each = CHUNK / window;
  const size_t padded = (size_t)layer->blocks * BLOCK;
  const void *in = workspace->input[k];
  const int is_single = windows == 1 && window == 1;
  if (is_binary) {
    find_k(engine, workspace, k, windows);
    if (is_single) kernels->bits->mismatches(&layer->bits, &(Place){0, 0, 0}, 1, in, workspace->counts);
  }
  for (int first = 0; first < windows; first += each) {
    const int count = windows - first < each ? windows - first : each, places = count * window;
    const int tiles = (places + TILE - 1) / TILE * TILE;
    const uint32_t *from = layer->from + first * window, *kind = layer->kind + first * window;
    float scale[CHUNK];
    for (int i = 0; is_binary && i < places; i++) scale[i] = workspace->k[layer->at[first * window + i]];
    memset(workspace->totals, 0, sizeof(float) * count * BLOCK);
    for (int block = 0; block < layer->blocks; block++) {
      const size_t lane = (size_t)block * BLOCK;
      if (is_binary) {
        const int32_t *counts = workspace->counts;
        if (is_single) counts += lane;
        else kernels->bits->counts(&layer->bits, block, from, tiles, in, workspace->counts);
        kernels->scale(counts, kind, layer->bases + lane, padded, layer->alpha + lane, scale, places, workspace->sums);
      } else kernels->products(&layer->floats, block, from, tiles, in, workspace->sums);
      kernels->normalize(workspace->sums, count, window, layer->mean + lane, layer->scale + lane, layer->beta + lane, workspace->y);
      hand_on(engine, workspace, k, block, first, count, out);
    }
    if (k + 1 < engine->layers && layer[1].in.is_bits) take_means(layer, workspace->totals, first, count, magnitude);
  }
}

/* [channels][height][width] to [height][width][channels], with the border. */
static void take_planes(const Input *in, const float *planes, float *to) {
  for (int c = 0; c < in->channels; c++)
    for (int y = 0; y < in->height; y++, planes += in->width) {
      float *row = to + ((size_t)(y + in->before) * in->pitch + in->before) * in->pixel + c;
      for (int x = 0; x < in->width; x++) row[(size_t)x * in->pixel] = planes[x];
    }
}

void run_xnor(const RealEngine *engine, RealWorkspace *workspace, const float *planes, int count, float *scores) {
  int dense = 0;
  while (!engine->xnor[dense].is_dense) dense++;
  for (int n = 0; n < count; n++) {
    const Input *in = &engine->xnor->in;
    take_planes(in, planes + n * engine->image, (float *)workspace->input[0] + (dense == 0 ? n * in->image : 0));
    for (int k = 0; k < dense; k++) {
      const Input *next = &engine->xnor[k + 1].in;
      const size_t slot = k + 1 == dense ? (size_t)n : 0;
      void *out = (char *)workspace->input[k + 1] + slot * next->image * (next->is_bits ? sizeof(uint64_t) : sizeof(float));
      run_windows(engine, workspace, k, engine->xnor[k].windows, out, workspace->magnitude[k + 1] + slot * next->magnitudes);
    }
  }
  for (int k = dense; k < engine->layers; k++) {
    const int is_last = k + 1 == engine->layers;
    run_windows(engine, workspace, k, count, is_last ? scores : workspace->input[k + 1], is_last ? 0 : workspace->magnitude[k + 1]);
  }
}
