/* Images through the layers. */
#include "engine.h"
#include <stdlib.h>
#include <string.h>

#define TAKE(size) take(&workspace->allocations, &workspace->bytes, engine->most - engine->bytes, size)

Workspace *make_workspace(const Engine *engine) {
  Workspace *workspace = calloc(1, sizeof *workspace);
  if (!workspace) return 0;
  const Layer *first = engine->layer;
  int done = 1;
#define NEED(field, count) done = done && (workspace->field = TAKE((count) * sizeof *workspace->field))
  NEED(image, (size_t)engine->height * engine->width * engine->channels);
  if (first->kind == PRODUCTS) NEED(values, MAPS * engine->first_values);
  else NEED(indices, MAPS * engine->first_values);
  NEED(unpooled, engine->unpooled_words);
  NEED(sums, engine->sums);
  done = done && take_lookup_space(&workspace->allocations, &workspace->bytes, engine->most - engine->bytes, &engine->lookup,
                                   &workspace->lookup);
  NEED(input, (size_t)engine->layers);
  for (int k = 1; done && k < engine->layers; k++)
    NEED(input[k], engine->layer[k - 1].out.image_words * (engine->layer[k].is_dense ? BATCH : MAPS));
  if (!done) {
    free_workspace(workspace);
    return 0;
  }
  if (first->kind == TABLES16 || first->kind == TABLES32) {
    const uint16_t nothing = (ENTRIES - 1) * BLOCK * (first->kind == TABLES32 ? sizeof(int32_t) : sizeof(int16_t));
    for (size_t i = 0; i < MAPS * engine->first_values; i++) workspace->indices[i] = nothing;
  }
  return workspace;
}

void free_workspace(Workspace *workspace) {
  free_all(workspace->allocations);
  free(workspace);
}

/* What each value of an image becomes when it is stretched: section 5 of docs/model-format.md. */
static void stretch(const Engine *engine, const uint8_t *pixels, int64_t count, uint8_t *map) {
  uint32_t histogram[256] = {0};
  for (int64_t i = 0; i < count; i++) histogram[pixels[i]]++;
  const int64_t ranks[2] = {count * engine->low / 100 + 1, (count * engine->high + 99) / 100};
  int ends[2];
  for (int i = 0; i < 2; i++) {
    int value = 0;
    for (int64_t below = histogram[0]; below < ranks[i]; below += histogram[value]) value++;
    ends[i] = value;
  }
  const int low = ends[0], range = ends[1] - ends[0];
  if (range <= 0) return;
  for (int value = 0; value < 256; value++) {
    const int above = value < low ? 0 : value - low > range ? range : value - low;
    map[value] = (uint8_t)((above * 255 + (range >> 1)) / range);
  }
}

/* Stretched, then coded. */
static void prepare(const Engine *engine, const uint8_t *pixels, uint8_t *out) {
  const int64_t count = (int64_t)engine->height * engine->width * engine->channels;
  uint8_t map[256];
  for (int value = 0; value < 256; value++) map[value] = (uint8_t)value;
  if (engine->low >= 0) stretch(engine, pixels, count, map);
  if (engine->code)
    for (int value = 0; value < 256; value++) map[value] = engine->code[map[value]];
  for (int64_t i = 0; i < count; i++) out[i] = map[pixels[i]];
}

/* Which table entry every part of every pixel takes: parts beside each other, or each a plane of its own. */
static void index_image(const Engine *engine, uint16_t *indices, const uint8_t *image) {
  const int channels = engine->channels, width = engine->width, is_planes = engine->layer->kind == PERMUTED;
  const size_t apart = is_planes ? 1 : (size_t)engine->parts, part_apart = is_planes ? engine->layer->permuted.plane : 1;
  for (int p = 0; p < engine->parts; p++) {
    const Part *part = engine->part + p;
    for (int y = 0; y < engine->height; y++) {
      const uint8_t *from = image + (size_t)y * width * channels;
      uint16_t *to = indices + p * part_apart +
                     ((size_t)(y + engine->border_before) * engine->border_columns + engine->border_before) * apart;
      if (part->channels == 1) {
        const uint16_t *offset = part->offset[0];
        from += part->channel[0];
        for (int x = 0; x < width; x++) to[x * apart] = offset[from[x * channels]];
      } else
        for (int x = 0; x < width; x++) {
          uint16_t sum = 0;
          for (int i = 0; i < part->channels; i++) sum += part->offset[i][from[x * channels + part->channel[i]]];
          to[x * apart] = sum;
        }
    }
  }
}

static void value_image(const Engine *engine, int16_t *values, const uint8_t *image) {
  const int channels = engine->channels, inputs = engine->is_sliced ? engine->slices : channels;
  for (int y = 0; y < engine->height; y++)
    for (int x = 0; x < engine->width; x++) {
      const uint8_t *pixel = image + ((size_t)y * engine->width + x) * channels;
      int16_t *to = values + ((size_t)(y + engine->border_before) * engine->border_columns + x +
                                         engine->border_before) * inputs;
      for (int i = 0; i < inputs; i++)
        if (engine->is_sliced) {
          const SliceSpec *slice = engine->slice + i;
          const int16_t value = (int16_t)(1 << slice->shift);
          to[i] = pixel[slice->channel] >> slice->bit & 1 ? value : (int16_t)-value;
        } else to[i] = (int16_t)(2 * pixel[i] - 255);
    }
}

/* Sums of products become bits. */
static void threshold_products(const Layer *layer, const int32_t *sums, uint32_t *out) {
  const int blocks = blocks_of(layer->outputs);
  for (int p = 0; p < layer->place_count; p++, sums += layer->outputs)
    for (int block = 0; block < blocks; block++) {
      uint32_t mask = 0;
      for (int lane = 0; lane < BLOCK && block * BLOCK + lane < layer->outputs; lane++) {
        const int o = block * BLOCK + lane;
        mask |= (uint32_t)(sums[o] >= layer->thresholds[o]) << lane;
      }
      out[layer->places[p].to + block] = mask;
    }
}

/* The largest of some sums passes a threshold where any of them does. */
static void pool_bits(const Layer *layer, const uint32_t *from, uint32_t *to) {
  const int blocks = blocks_of(layer->outputs), pool = layer->pool;
  const Map *out = &layer->out;
  const size_t row = (size_t)out->width * pool * blocks;
  for (int y = 0; y < out->height; y++)
    for (int x = 0; x < out->width; x++) {
      uint32_t *pixel = to + 2 * ((size_t)(y + out->before) * out->row_stride + (size_t)(x + out->before) * out->words);
      const uint32_t *window = from + (size_t)y * pool * row + (size_t)x * pool * blocks;
      for (int block = 0; block < blocks; block++) {
        uint32_t any = 0;
        for (int dy = 0; dy < pool; dy++)
          for (int dx = 0; dx < pool; dx++) any |= window[dy * row + dx * blocks + block];
        pixel[block] = any;
      }
    }
}

/* Image `n` of a batch through layer `k`, from where the layer before left it. */
static void run_map(const Engine *engine, Workspace *workspace, int k, int n) {
  const Layer *layer = engine->layer + k;
  const Kernels *kernels = engine->kernels;
  const size_t slot = n % MAPS, input = slot * engine->first_values;
  const uint64_t *in = k > 0 ? workspace->input[k] + slot * engine->layer[k - 1].out.image_words : 0;
  const size_t out_slot = engine->layer[k + 1].is_dense ? (size_t)n : slot;
  uint32_t *out = (uint32_t *)(workspace->input[k + 1] + out_slot * layer->out.image_words);
  uint32_t *bits = layer->pool > 1 ? workspace->unpooled : out;
  const Place *places = layer->places;
  const int count = layer->place_count;
  switch (layer->kind) {
    case BITS: kernels->bits(&layer->bits, places, count, in, bits); break;
    case LOOKUP: kernels->lookups(&layer->lookup, in, &workspace->lookup, bits); break;
    case TABLES16: kernels->tables16(&layer->tables, places, count, workspace->indices + input, bits); break;
    case TABLES32: kernels->tables32(&layer->tables, places, count, workspace->indices + input, bits); break;
    case PERMUTED: kernels->permuted(&layer->permuted, workspace->indices + input, (uint32_t *)workspace->sums, bits); break;
    case PRODUCTS:
      kernels->products(&layer->products, places, count, workspace->values + input, workspace->sums);
      threshold_products(layer, workspace->sums, bits);
      break;
  }
  if (layer->pool > 1) pool_bits(layer, workspace->unpooled, out);
}

/* The first layer's input of image `n`. */
static void take_image(const Engine *engine, Workspace *workspace, const uint8_t *image, int n, int prepared) {
  const size_t input = n % MAPS * engine->first_values;
  if (!prepared && (engine->low >= 0 || engine->code)) {
    prepare(engine, image, workspace->image);
    image = workspace->image;
  }
  if (engine->layer->kind == PRODUCTS) value_image(engine, workspace->values + input, image);
  else index_image(engine, workspace->indices + input, image);
}

static void run_batch(const Engine *engine, Workspace *workspace, const uint8_t *pixels, int count, int prepared,
                      int32_t *scores) {
  const size_t size = (size_t)engine->height * engine->width * engine->channels;
  const Layer *first = engine->layer, *last = engine->layer + engine->layers - 1;
  if (first == last) {
    for (int n = 0; n < count; n++) {
      take_image(engine, workspace, pixels + n * size, 0, prepared);
      engine->kernels->products(&first->products, first->places, 1, workspace->values, workspace->sums);
      for (int c = 0; c < engine->classes; c++)
        scores[(size_t)n * engine->classes + c] = workspace->sums[c] * last->scale[c] + last->bias[c];
    }
    return;
  }
  for (int start = 0; start < count; start += MAPS) {
    const int end = start + MAPS < count ? start + MAPS : count;
    for (int n = start; n < end; n++) take_image(engine, workspace, pixels + n * size, n, prepared);
    for (int k = 0; k == 0 || !engine->layer[k].is_dense; k++)
      for (int n = start; n < end; n++) run_map(engine, workspace, k, n);
  }
  for (int k = 1; k < engine->layers; k++) {
    const Layer *layer = engine->layer + k;
    if (!layer->is_dense) continue;
    if (layer != last) {
      engine->kernels->bits(&layer->bits, layer->places, count, workspace->input[k], (uint32_t *)workspace->input[k + 1]);
      continue;
    }
    engine->kernels->mismatches(&layer->bits, layer->places, count, workspace->input[k], workspace->sums);
    for (int n = 0; n < count; n++)
      for (int c = 0; c < engine->classes; c++) {
        const int sum = layer->fan_in - 2 * workspace->sums[(size_t)n * layer->bits.blocks * BLOCK + c];
        scores[(size_t)n * engine->classes + c] = sum * layer->scale[c] + layer->bias[c];
      }
  }
}

void run_images(const Engine *engine, Workspace *workspace, const uint8_t *pixels, int count, int prepared,
                int32_t *scores) {
  const size_t size = (size_t)engine->height * engine->width * engine->channels;
  for (int start = 0; start < count; start += BATCH) {
    const int n = count - start < BATCH ? count - start : BATCH;
    run_batch(engine, workspace, pixels + start * size, n, prepared, scores + (size_t)start * engine->classes);
  }
}

void run_layer(const Engine *engine, Workspace *workspace, int k) {
  const Layer *layer = engine->layer + k;
  if (k + 1 == engine->layers) {
    if (layer->kind == PRODUCTS)
      engine->kernels->products(&layer->products, layer->places, 1, workspace->values, workspace->sums);
    else engine->kernels->mismatches(&layer->bits, layer->places, 1, workspace->input[k], workspace->sums);
  } else if (k > 0 && layer->is_dense)
    engine->kernels->bits(&layer->bits, layer->places, 1, workspace->input[k], (uint32_t *)workspace->input[k + 1]);
  else run_map(engine, workspace, k, 0);
}

void read_bits(const Engine *engine, const Workspace *workspace, int k, uint8_t *bits) {
  const Map *map = &engine->layer[k].out;
  const uint64_t *words = workspace->input[k + 1];
  for (int y = 0; y < map->height; y++)
    for (int x = 0; x < map->width; x++)
      for (int c = 0; c < map->channels; c++) {
        const uint64_t word =
            words[(size_t)(y + map->before) * map->row_stride + (size_t)(x + map->before) * map->words + c / 64];
        *bits++ = word >> (c % 64) & 1;
      }
}
