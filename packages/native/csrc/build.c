/* Lays a model out for the kernels, once: weights in blocks of 32 outputs, thresholds as limits of mismatches. */
#include "clock.h"
#include "engine.h"
#include "windows.h"
#include <stdlib.h>
#include <string.h>

/* Tables of a first layer beyond this are slower than plain products, and a waste. */
static const size_t MOST_TABLE_BYTES = 16 << 20;
/* Of each way to compute a first layer, to find the faster; at so many positions. */
enum { TURNS = 4, MOST_TIMED = 1 << 14 };

static int words_of(int channels) { return (channels + 63) / 64; }

static int weight_of(const LayerSpec *spec, int output, size_t i) {
  if (spec->has_integers) return ((const int8_t *)spec->weights)[(size_t)output * spec->fan_in + i];
  return bit_of(row_of(spec, output), i) ? 1 : -1;
}

#define TAKE(size) take(&engine->allocations, &engine->bytes, most, size)

/* The map that layer `k` writes: the input of the next one, with its border. */
static Map map_behind(const ModelSpec *model, int k) {
  const LayerSpec *spec = model->layer + k;
  Map map = {0};
  if (k + 1 == model->layers) return map;
  const LayerSpec *next = spec + 1;
  map.height = spec->pooled_height;
  map.width = spec->pooled_width;
  map.channels = spec->outputs;
  map.words = words_of(map.channels);
  map.before = next->is_dense ? 0 : next->pad_start;
  const int border = next->is_dense ? 0 : next->pad_start + next->pad_end;
  map.row_stride = (map.width + border) * map.words;
  map.image_words = (size_t)(map.height + border) * map.row_stride;
  return map;
}

/* Whether four places of a tile are one window of the pooling behind it: then no map lies in between. */
static int pools_in_tiles(const Layer *layer, const LayerSpec *spec) { return layer->kind == BITS && spec->pool == 2; }

/*
 * Windows of a convolution; those that pooling drops are left out. Input rows are `row_stride` apart, pixels `pixel`. They are
 * in the order of the output, or in that of the pooled output and its own windows. Else, where pooling follows, outputs go to a
 * map of their own first.
 */
int place_windows(Layer *layer, const LayerSpec *spec, int row_stride, int pixel, const uint32_t *row_kind, const uint32_t *column_kind,
                  int column_kinds, Place *places) {
  const int height = spec->pool > 1 ? spec->pooled_height * spec->pool : spec->height;
  const int width = spec->pool > 1 ? spec->pooled_width * spec->pool : spec->width;
  const Map *out = &layer->out;
  const int in_tiles = pools_in_tiles(layer, spec), step = in_tiles ? 2 : 1;
  int count = 0;
  for (int y0 = 0; y0 < height; y0 += step)
    for (int x0 = 0; x0 < width; x0 += step)
      for (int i = 0; i < step * step; i++) {
        const int y = y0 + i / 2 % 2, x = x0 + i % 2;
        Place *place = places + count++;
        place->from = (uint32_t)(y * spec->stride * row_stride + x * spec->stride * pixel);
        place->kind = row_kind ? row_kind[y] * (uint32_t)column_kinds + column_kind[x] : 0;
        if (spec->pool > 1 && !in_tiles) place->to = (uint32_t)((y * width + x) * blocks_of(spec->outputs));
        else
          place->to = (uint32_t)(2 * ((y / step + out->before) * out->row_stride + (x / step + out->before) * out->words));
      }
  return count;
}

int build_bits(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Map *in) {
  BitLayer *bits = &layer->bits;
  const int is_last = spec->thresholds == 0;
  bits->outputs = spec->outputs;
  bits->blocks = blocks_of(spec->outputs);
  bits->pools = pools_in_tiles(layer, spec);
  bits->rows = spec->is_dense ? 1 : spec->kernel;
  bits->run = spec->is_dense ? (int)in->image_words : spec->kernel * in->words;
  bits->row_stride = spec->is_dense ? bits->run : in->row_stride;
  const size_t steps = (size_t)bits->rows * bits->run;
  bits->weights = TAKE(bits->blocks * steps * BLOCK * sizeof(uint64_t));
  if (!bits->weights) return 0;
  const int channels = spec->input_channels;
  const int taps = spec->fan_in / channels;
  for (int o = 0; o < spec->outputs; o++) {
    uint64_t *to = bits->weights + (size_t)(o / BLOCK) * steps * BLOCK + o % BLOCK;
    for (int tap = 0; tap < taps; tap++)
      for (int w = 0; w < in->words; w++) to[((size_t)tap * in->words + w) * BLOCK] = word_of(spec, o, tap, w);
  }

  const int rows = spec->is_dense ? BATCH : spec->height, columns = spec->is_dense ? 1 : spec->width;
  Reach row_reach[MOST_REACHES], column_reach[MOST_REACHES];
  uint32_t *row_kind = calloc((size_t)spec->height + spec->width, sizeof *row_kind);
  if (!row_kind) return 0;
  uint32_t *column_kind = row_kind + spec->height;
  int row_kinds = 1, column_kinds = 1;
  if (!spec->is_dense) {
    row_kinds = distinct_reaches(spec->height, spec->stride, spec->pad_start, spec->kernel, spec->input_height, row_reach, row_kind);
    column_kinds = distinct_reaches(spec->width, spec->stride, spec->pad_start, spec->kernel, spec->input_width, column_reach, column_kind);
  }
  const size_t padded = (size_t)bits->blocks * BLOCK;
  bits->limits = TAKE(sizeof(int64_t) * row_kinds * column_kinds * padded);
  layer->places = TAKE(sizeof(Place) * rows * columns);
  if (!bits->limits || !layer->places) {
    free(row_kind);
    return 0;
  }
  for (size_t i = 0; i < (size_t)row_kinds * column_kinds * padded; i++) bits->limits[i] = -1;
  if (!is_last)
    for (int r = 0; r < row_kinds; r++)
      for (int c = 0; c < column_kinds; c++)
        for (int o = 0; o < spec->outputs; o++) {
          int products = spec->fan_in, outside = 0;
          if (!spec->is_dense) {
            /* Words of the border are 0: a tap there counts its weights of +1 as mismatches, and is no product. */
            const uint64_t *w = bits->weights + (size_t)(o / BLOCK) * steps * BLOCK + o % BLOCK;
            products = 0;
            for (int ky = 0; ky < spec->kernel; ky++)
              for (int kx = 0; kx < spec->kernel; kx++) {
                if (ky >= row_reach[r].first && ky < row_reach[r].last && kx >= column_reach[c].first &&
                    kx < column_reach[c].last) {
                  products += channels;
                  continue;
                }
                for (int k = 0; k < in->words; k++)
                  outside += __builtin_popcountll(w[((size_t)(ky * spec->kernel + kx) * in->words + k) * BLOCK]);
              }
          }
          /* sum = products - 2 * (mismatches - outside) >= threshold. Thresholds are at most the bound + 1. */
          bits->limits[((size_t)r * column_kinds + c) * padded + o] =
              outside + floor_half(products - spec->thresholds[o]);
        }
  if (spec->is_dense)
    for (int i = 0; i < BATCH; i++) {
      layer->places[i].from = (uint32_t)(i * in->image_words);
      layer->places[i].to = is_last ? (uint32_t)(i * bits->blocks) : (uint32_t)(2 * i * layer->out.image_words);
    }
  else
    layer->place_count =
        place_windows(layer, spec, in->row_stride, in->words, row_kind, column_kind, column_kinds, layer->places);
  free(row_kind);
  return 1;
}

static int sources_of(const ModelSpec *model, Source *sources) {
  int count = 0;
  if (model->is_sliced)
    for (int i = 0; i < model->slices; i++) {
      const SliceSpec *slice = model->slice + i;
      sources[count++] = (Source){slice->channel, slice->bit, slice->shift, i};
    }
  else
    for (int channel = 0; channel < model->channels; channel++)
      for (int bit = 0; bit < 8; bit++) sources[count++] = (Source){channel, bit, bit, channel};
  return count;
}

/* Parts of `size` slices, whose entries are `unit` apart. */
static int build_parts(Engine *engine, size_t most, const Source *sources, int count, int size, int unit) {
  engine->parts = (count + size - 1) / size;
  engine->part = TAKE(sizeof(Part) * engine->parts);
  if (!engine->part) return 0;
  for (int p = 0; p < engine->parts; p++) {
    Part *part = engine->part + p;
    for (int j = 0; j < size && p * size + j < count; j++) {
      const Source *source = sources + p * size + j;
      int i = 0;
      while (i < part->channels && part->channel[i] != source->channel) i++;
      if (i == part->channels) part->channel[part->channels++] = source->channel;
      for (int value = 0; value < 256; value++)
        part->offset[i][value] += (uint16_t)((value >> source->bit & 1) * (1 << j) * unit);
    }
  }
  return 1;
}

int entry_of(const LayerSpec *spec, const Source *sources, int count, int size, int output, int tap, int part, int entry) {
  int sum = 0;
  for (int j = 0; j < size && part * size + j < count; j++) {
    const Source *source = sources + part * size + j;
    const int value = weight_of(spec, output, (size_t)tap * spec->input_channels + source->input) * (1 << source->shift);
    sum += entry >> j & 1 ? value : -value;
  }
  return sum;
}

static int build_tables(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Source *sources,
                        int source_count) {
  TableLayer *tables = &layer->tables;
  const int is_wide = layer->kind == TABLES32;
  const size_t number = is_wide ? sizeof(int32_t) : sizeof(int16_t);
  const size_t steps = (size_t)tables->rows * tables->run;
  tables->tables = TAKE(tables->blocks * steps * ENTRIES * BLOCK * number);
  tables->thresholds = TAKE((size_t)tables->blocks * BLOCK * number);
  layer->places = TAKE(sizeof(Place) * spec->height * spec->width);
  if (!tables->tables || !tables->thresholds || !layer->places) return 0;
  for (int o = 0; o < tables->blocks * BLOCK; o++) {
    const int is_there = o < spec->outputs;
    if (is_wide) ((int32_t *)tables->thresholds)[o] = is_there ? spec->thresholds[o] : INT32_MAX;
    else ((int16_t *)tables->thresholds)[o] = (int16_t)(is_there ? spec->thresholds[o] : INT16_MAX);
    if (!is_there) continue;
    for (size_t step = 0; step < steps; step++) {
      const int tap = (int)(step / engine->parts), part = (int)(step % engine->parts);
      const size_t table = ((size_t)(o / BLOCK) * steps + step) * ENTRIES * BLOCK + o % BLOCK;
      for (int entry = 0; entry < 1 << PART; entry++) {
        const int sum = entry_of(spec, sources, source_count, PART, o, tap, part, entry);
        if (is_wide) ((int32_t *)tables->tables)[table + (size_t)entry * BLOCK] = sum;
        else ((int16_t *)tables->tables)[table + (size_t)entry * BLOCK] = (int16_t)sum;
      }
    }
  }
  layer->place_count = place_windows(layer, spec, tables->row_stride, engine->parts, 0, 0, 0, layer->places);
  return 1;
}

static int build_products(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec) {
  ProductLayer *products = &layer->products;
  products->outputs = spec->outputs;
  products->rows = spec->is_dense ? 1 : spec->kernel;
  products->run = spec->is_dense ? spec->fan_in : spec->kernel * spec->input_channels;
  products->row_stride = spec->is_dense ? 0 : engine->border_columns * spec->input_channels;
  products->weights = TAKE((size_t)spec->outputs * spec->fan_in * sizeof(int16_t));
  layer->places = TAKE(sizeof(Place) * spec->height * spec->width);
  if (!products->weights || !layer->places) return 0;
  for (int o = 0; o < spec->outputs; o++)
    for (int i = 0; i < spec->fan_in; i++)
      products->weights[(size_t)o * spec->fan_in + i] = (int16_t)weight_of(spec, o, i);
  if (spec->thresholds) {
    layer->thresholds = TAKE(spec->outputs * sizeof(int32_t));
    if (!layer->thresholds) return 0;
    memcpy(layer->thresholds, spec->thresholds, spec->outputs * sizeof(int32_t));
  }
  layer->place_count =
      place_windows(layer, spec, products->row_stride, spec->input_channels, 0, 0, 0, layer->places);
  if (spec->outputs > 0 && (size_t)layer->place_count * spec->outputs > engine->sums)
    engine->sums = (size_t)layer->place_count * spec->outputs;
  return 1;
}

/*
 * Whether permutations are faster than tables on this processor: some turns of each, on any values, at as many positions as the
 * largest usual map has. No where memory lacks for it.
 */
static int permutations_are_faster(const Engine *engine, const Layer *tables, const Layer *permuted, size_t most) {
  Allocation *room = 0;
  size_t bytes = engine->bytes;
  PermutedLayer some = permuted->permuted;
  const int places = tables->place_count < MOST_TIMED ? tables->place_count : MOST_TIMED;
  if (some.vectors > MOST_TIMED / LANES16) some.vectors = MOST_TIMED / LANES16;
  const size_t pixels = (size_t)engine->border_rows * engine->border_columns;
  const size_t words = tables->out.image_words + (size_t)tables->place_count * tables->tables.blocks;
  const size_t indices = pixels * (tables->tables.run + 1) + engine->first_values;
  uint16_t *in = take(&room, &bytes, most, sizeof *in * indices);
  uint32_t *out = take(&room, &bytes, most, 2 * sizeof *out * words);
  uint32_t *masks = take(&room, &bytes, most, sizeof *masks * some.vectors * BLOCK);
  double best[2] = {0};
  /* Tables of zeros alone would be in the cache. Permutations see the lower five bits only. */
  uint32_t noise = 1;
  for (size_t i = 0; in && i < indices; i++, noise = noise * 1664525 + 1013904223)
    in[i] = (uint16_t)((noise >> 28) * BLOCK * sizeof(int16_t));
  for (int turn = 0; in && out && masks && turn < 2 * TURNS; turn++) {
    const double begun = clock_seconds();
    if (turn % 2) engine->kernels->permuted(&some, in, masks, out);
    else engine->kernels->tables16(&tables->tables, tables->places, places, in, out);
    keep_shortest(best, turn, begun);
  }
  free_all(room);
  return best[1] * permuted->permuted.vectors / some.vectors < best[0] * tables->place_count / places;
}

static int build_first(Engine *engine, size_t most, First first, const ModelSpec *model, Layer *layer, const LayerSpec *spec) {
  const int pad = spec->pad_start + spec->pad_end;
  engine->border_rows = spec->input_height + pad;
  engine->border_columns = spec->input_width + pad;
  engine->border_before = spec->pad_start;
  Source *sources = malloc(sizeof *sources * (model->is_sliced ? model->slices : 8 * model->channels));
  if (!sources) return 0;
  const int count = sources_of(model, sources);
  const int parts = (count + PART - 1) / PART;
  const size_t pixels = (size_t)engine->border_rows * engine->border_columns;
  /* Thresholds reach up to the bound + 1. */
  const int is_wide = spec->bound + 1ll > INT16_MAX;
  TableLayer *tables = &layer->tables;
  tables->outputs = spec->outputs;
  tables->blocks = blocks_of(spec->outputs);
  tables->rows = spec->kernel;
  tables->run = spec->kernel * parts;
  tables->row_stride = engine->border_columns * parts;
  const size_t entry_bytes = BLOCK * (is_wide ? sizeof(int32_t) : sizeof(int16_t));
  const size_t bytes = (size_t)tables->blocks * tables->rows * tables->run * ENTRIES * entry_bytes;
  int done;
  if (spec->is_dense || bytes > MOST_TABLE_BYTES) {
    layer->kind = PRODUCTS;
    engine->first_values = pixels * spec->input_channels;
    done = build_products(engine, most, layer, spec);
  } else {
    layer->kind = is_wide ? TABLES32 : TABLES16;
    Allocation *const before = engine->allocations;
    const size_t bytes_before = engine->bytes;
    done = build_parts(engine, most, sources, count, PART, (int)entry_bytes) && build_tables(engine, most, layer, spec, sources, count);
    engine->first_values = pixels * engine->parts;
    if (done && !is_wide && engine->kernels->permuted && first != BY_TABLES) {
      const Engine by_tables = *engine;
      Layer permuted = *layer;
      permuted.kind = PERMUTED;
      int is_better = build_parts(engine, most, sources, count, FIVE, 1) && build_permuted(engine, most, &permuted, spec, sources, count);
      if (is_better && first == FASTER) is_better = permutations_are_faster(engine, layer, &permuted, most);
      /* What was taken for the other is given back: for tables, below what was taken after them. */
      if (is_better) {
        Allocation **tables = &engine->allocations;
        while (*tables != by_tables.allocations) tables = &(*tables)->next;
        free_until(tables, before);
        engine->bytes -= by_tables.bytes - bytes_before;
        permuted.tables = (TableLayer){0};
        *layer = permuted;
      } else {
        free_until(&engine->allocations, by_tables.allocations);
        *engine = by_tables;
      }
    }
  }
  free(sources);
  return done;
}

static int build_layer(Engine *engine, size_t most, Ways ways, const ModelSpec *model, int k) {
  const LayerSpec *spec = model->layer + k;
  Layer *layer = engine->layer + k;
  layer->is_dense = spec->is_dense;
  layer->outputs = spec->outputs;
  layer->fan_in = spec->fan_in;
  layer->height = spec->height;
  layer->width = spec->width;
  layer->out = map_behind(model, k);
  const Map *in = k > 0 ? &engine->layer[k - 1].out : 0;
  const Kernels *kernels = engine->kernels;
  const int can_be = k > 0 && ways.convolutions != COUNTED && lookup_work(spec, kernels->lookup_bytes) > 0;
  layer->kind = can_be && (ways.convolutions == LOOKED_UP || lookups_are_faster(spec, kernels)) ? LOOKUP : BITS;
  int done;
  if (k == 0) done = build_first(engine, most, ways.first, model, layer, spec);
  else if (layer->kind == BITS) done = build_bits(engine, most, layer, spec, in);
  else done = build_lookup(engine, most, layer, spec, in, kernels->lookup_bytes);
  if (!done) return 0;
  layer->pool = layer->bits.pools ? 1 : spec->pool;
  if (layer->pool > 1) {
    const size_t words = (size_t)spec->pooled_height * spec->pooled_width * spec->pool * spec->pool * blocks_of(spec->outputs);
    if (words > engine->unpooled_words) engine->unpooled_words = words;
  }
  if (spec->thresholds) return 1;
  layer->scale = TAKE(spec->outputs * sizeof(int32_t));
  layer->bias = TAKE(spec->outputs * sizeof(int32_t));
  if (!layer->scale || !layer->bias) return 0;
  memcpy(layer->scale, spec->scale, spec->outputs * sizeof(int32_t));
  memcpy(layer->bias, spec->bias, spec->outputs * sizeof(int32_t));
  const size_t sums = (size_t)BATCH * blocks_of(spec->outputs) * BLOCK;
  if (sums > engine->sums) engine->sums = sums;
  return 1;
}

Engine *build_engine(const ModelSpec *model, const Kernels *kernels, Ways ways, size_t most, const char **why) {
  Engine *engine = calloc(1, sizeof *engine);
  *why = "there is no memory left for it";
  if (!engine) return 0;
  engine->kernels = kernels;
  engine->most = most;
  engine->height = model->height;
  engine->width = model->width;
  engine->channels = model->channels;
  engine->is_sliced = model->is_sliced;
  engine->low = model->low;
  engine->high = model->high;
  engine->classes = model->classes;
  engine->slices = model->slices;
  engine->layers = model->layers;
  engine->slice = TAKE(sizeof(SliceSpec) * model->slices);
  engine->layer = TAKE(sizeof(Layer) * model->layers);
  int done = engine->slice && engine->layer;
  if (done && model->code) done = !!(engine->code = TAKE(256));
  if (done && model->code) memcpy(engine->code, model->code, 256);
  if (done) memcpy(engine->slice, model->slice, sizeof(SliceSpec) * model->slices);
  for (int k = 0; done && k < model->layers; k++) done = build_layer(engine, most, ways, model, k);
  if (done) return engine;
  *why = "it needs too much memory";
  free_engine(engine);
  return 0;
}

void free_engine(Engine *engine) {
  free_all(engine->allocations);
  free(engine);
}
