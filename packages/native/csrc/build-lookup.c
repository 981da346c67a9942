/* Lays a convolution out for lookup.h: the shape of its tables, which entries each output adds, and where sums start. */
#include "engine.h"
#include <string.h>
#include <unistd.h>

/* Bytes of the tables of one pass: three quarters of the first-level cache, so that they stay in it. */
static int pass_bytes(void) {
  long cache = 0;
#ifdef _SC_LEVEL1_DCACHE_SIZE
  cache = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
  const long bytes = (cache > 0 ? cache : 32 * 1024) / 4 * 3;
  /* Offsets of entries have 16 bits. */
  return bytes < UINT16_MAX - LOOKUP_NOTHING ? (int)bytes : UINT16_MAX - LOOKUP_NOTHING;
}

typedef struct {
  int vectors, copies, pitch, reach, tiles, tile;
  int entry_bytes;
  double work;
} Geometry;

/*
 * Positions are those of the padded input, row behind row, or, with a copy of the planes for every kernel column, those of the
 * output alone: where rows are short, much of each tile would lie on the padding.
 */
static Geometry geometry_of(const LayerSpec *spec, int copies, int vectors, int vector_bytes) {
  const int pad = spec->pad_start + spec->pad_end;
  const int width = spec->input_width + pad - spec->kernel + 1, height = spec->input_height + pad - spec->kernel + 1;
  Geometry g;
  g.vectors = vectors;
  g.copies = copies;
  g.tile = 2 * vectors * vector_bytes;
  g.pitch = copies == 1 ? spec->input_width + pad : width;
  const int taps_reach = (spec->kernel - 1) * g.pitch + (copies == 1 ? spec->kernel - 1 : 0);
  g.reach = (g.tile / 2 + taps_reach + vector_bytes - 1) / vector_bytes * vector_bytes;
  g.tiles = ((height - 1) * g.pitch + width + g.tile - 1) / g.tile;
  g.entry_bytes = copies * g.reach;
  /* Table entries, and lookups: an index costs about as much as half a vector. */
  g.work = (double)g.tiles * (2.0 * PATTERNS * g.entry_bytes / vector_bytes +
                              (2.0 * vectors + 1) * spec->outputs * spec->kernel * spec->kernel);
  return g;
}

static int best_geometry(const LayerSpec *spec, int vector_bytes, Geometry *best) {
  int found = 0;
  for (int copies = 1; copies <= spec->kernel; copies += spec->kernel > 1 ? spec->kernel - 1 : 1)
    for (int vectors = 1; vectors <= 2; vectors++) {
      const Geometry g = geometry_of(spec, copies, vectors, vector_bytes);
      /* Offsets of entries have 16 bits. */
      if (PATTERNS * g.entry_bytes + LOOKUP_NOTHING > UINT16_MAX) continue;
      if (!found || g.work < best->work) *best = g;
      found = 1;
    }
  return found;
}

int fits_lookup(const LayerSpec *spec, int vector_bytes) {
  Geometry g;
  return !spec->is_dense && spec->fan_in < UINT16_MAX && best_geometry(spec, vector_bytes, &g);
}

/* Positions of a tile in the order of the sums: even and odd bytes of each vector, low nibbles, then high ones. */
static int place_of_sum(int i, int tile, int vector_bytes) {
  const int lanes = vector_bytes / 2;
  const int quarter = i / lanes % 4, v = i / (4 * lanes), lane = i % lanes;
  return (quarter >= 2 ? tile / 2 : 0) + v * vector_bytes + 2 * lane + quarter % 2;
}

#define TAKE(size) take(&engine->allocations, &engine->bytes, most, size)

int build_lookup(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Map *in, int vector_bytes) {
  LookupLayer *lookup = &layer->lookup;
  Geometry g;
  if (!best_geometry(spec, vector_bytes, &g)) return 0;
  const int kernel = spec->kernel, taps = kernel * kernel, channels = spec->input_channels;
  const int pad = spec->pad_start + spec->pad_end;
  lookup->outputs = spec->outputs;
  lookup->blocks = blocks_of(spec->outputs);
  lookup->groups = (channels + GROUP - 1) / GROUP;
  lookup->rows = spec->input_height + pad;
  lookup->columns = spec->input_width + pad;
  lookup->words = in->words;
  lookup->copies = g.copies;
  lookup->pitch = g.pitch;
  lookup->reach = g.reach;
  lookup->tile = g.tile;
  lookup->tiles = g.tiles;
  lookup->entry_bytes = g.entry_bytes;
  const size_t positions = (size_t)g.tiles * g.tile;
  /* The last tile's tables reach behind the map. */
  const size_t rows_end = (size_t)lookup->rows * g.pitch;
  const size_t tiles_end = positions - g.tile / 2 + g.reach;
  lookup->copy_stride = (rows_end > tiles_end ? rows_end : tiles_end) + vector_bytes;
  lookup->group_stride = g.copies * lookup->copy_stride;

  int most_groups = pass_bytes() / (PATTERNS * g.entry_bytes);
  if (most_groups > LOOKUPS / taps) most_groups = LOOKUPS / taps;
  if (most_groups < 1) most_groups = 1;
  lookup->passes = (lookup->groups + most_groups - 1) / most_groups;
  lookup->pass = TAKE(lookup->passes * sizeof *lookup->pass);
  if (!lookup->pass) return 0;
  size_t lookups = 0;
  for (int p = 0; p < lookup->passes; p++) {
    LookupPass *pass = lookup->pass + p;
    pass->first = (int)((int64_t)p * lookup->groups / lookup->passes);
    pass->groups = (int)((p + 1ll) * lookup->groups / lookup->passes) - pass->first;
    pass->lookups = (pass->groups * taps + 2) / 3 * 3;
    lookups += pass->lookups;
  }
  lookup->inside = TAKE(lookup->group_stride);
  lookup->neutral = TAKE(lookup->groups);
  lookup->indices = TAKE(lookups * spec->outputs * sizeof(uint16_t));
  lookup->starts = TAKE(2 * positions * sizeof(uint16_t));
  lookup->start_of = TAKE(spec->outputs);
  lookup->limits = TAKE(spec->outputs * sizeof(uint16_t));
  lookup->to = TAKE(positions * sizeof(int32_t));
  if (!lookup->inside || !lookup->neutral || !lookup->indices || !lookup->starts || !lookup->start_of ||
      !lookup->limits || !lookup->to)
    return 0;

  for (int copy = 0; copy < g.copies; copy++)
    for (int y = 0; y < spec->input_height; y++)
      for (int x = 0; x < spec->input_width; x++) {
        const int column = x + spec->pad_start - copy;
        if (column >= 0 && column < g.pitch)
          lookup->inside[copy * lookup->copy_stride + (size_t)(y + spec->pad_start) * g.pitch + column] = 1;
      }
  for (int group = 0; group < lookup->groups; group++) {
    const int from = group * GROUP, to = from + GROUP < channels ? from + GROUP : channels;
    lookup->neutral[group] = (uint8_t)(to / 2 - from / 2);
  }

  uint16_t *index = lookup->indices;
  for (int p = 0; p < lookup->passes; p++) {
    const LookupPass *pass = lookup->pass + p;
    for (int begin = 0; begin < pass->lookups; begin += LOOKUPS)
      for (int o = 0; o < spec->outputs; o++)
        for (int i = begin; i < pass->lookups && i < begin + LOOKUPS; i++) {
          const int group = i / taps, tap = i % taps;
          if (group >= pass->groups) {
            *index++ = 0;
            continue;
          }
          const uint8_t *row = row_of(spec, o);
          int pattern = 0;
          for (int j = 0; j < GROUP; j++) {
            const int c = (pass->first + group) * GROUP + j;
            if (c < channels) pattern |= bit_of(row, (size_t)tap * channels + c) << j;
          }
          const int ky = tap / kernel, kx = tap % kernel;
          const int offset = g.copies == 1 ? ky * g.pitch + kx : kx * g.reach + ky * g.pitch;
          *index++ = (uint16_t)(LOOKUP_NOTHING + (group * PATTERNS + pattern) * g.entry_bytes + offset);
        }
  }

  for (size_t i = 0; i < positions; i++) {
    const int position = (int)(i / g.tile * g.tile) + place_of_sum((int)(i % g.tile), g.tile, vector_bytes);
    const int y = position / g.pitch - spec->pad_start, x = position % g.pitch - spec->pad_start;
    if (channels % 2 == 0) break;
    const int top = y < 0 ? 0 : y, bottom = y + kernel > spec->input_height ? spec->input_height : y + kernel;
    const int left = x < 0 ? 0 : x, right = x + kernel > spec->input_width ? spec->input_width : x + kernel;
    const int inside = (bottom > top ? bottom - top : 0) * (right > left ? right - left : 0);
    lookup->starts[i] = (uint16_t)((taps - inside + 1) / 2);
    lookup->starts[positions + i] = (uint16_t)((taps - inside) / 2);
  }
  for (int o = 0; o < spec->outputs; o++) {
    const int room = spec->fan_in - spec->thresholds[o];
    lookup->start_of[o] = room % 2 != 0;
    lookup->limits[o] = (uint16_t)(floor_half(room) + 1);
  }
  for (size_t i = 0; i < positions; i++) lookup->to[i] = -1;
  for (int i = 0; i < layer->place_count; i++) {
    /* Places are in the units of the input's words; here it is positions. */
    const uint32_t word = layer->places[i].from;
    const int y = (int)(word / in->row_stride), x = (int)(word % in->row_stride) / in->words;
    lookup->to[(size_t)y * g.pitch + x] = (int32_t)layer->places[i].to;
  }
  lookup->byte_stride = (size_t)lookup->rows * lookup->columns + vector_bytes + 8;
  const size_t bytes = lookup->words * 8 * lookup->byte_stride;
  if (bytes > engine->lookup_bytes) engine->lookup_bytes = bytes;
  const size_t planes = lookup->groups * lookup->group_stride;
  const size_t sums = (size_t)spec->outputs * g.tile * sizeof(uint16_t);
  if (planes > engine->lookup_planes) engine->lookup_planes = planes;
  if (sums > engine->lookup_sums) engine->lookup_sums = sums;
  return 1;
}
