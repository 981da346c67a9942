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

/* Lanes move in rows of eight bytes at least. */
enum { SHORTEST_ROW = 8 };
_Static_assert(LOOKUPS >= MOST_KERNEL * MOST_KERNEL, "a pass holds a group");

typedef struct {
  int apart, pitch, tiles, tile, entry_bytes;
  double work;
} Geometry;

/*
 * Positions are those of the padded input, row behind row; or, where columns are apart, those of the output, in rows that fit half a
 * tile of some vectors. False where they do not, or offsets of entries would need more than 16 bits.
 */
static int geometry_of(const LayerSpec *spec, int is_apart, int vectors, int vector_bytes, Geometry *g) {
  const int pad = spec->pad_start + spec->pad_end, kernel = spec->kernel;
  const int width = spec->input_width + pad - kernel + 1, height = spec->input_height + pad - kernel + 1;
  const int widest = width > spec->input_width ? width : spec->input_width;
  g->apart = is_apart ? kernel : 1;
  g->tile = 2 * vectors * vector_bytes;
  g->pitch = SHORTEST_ROW;
  while (g->pitch < widest) g->pitch *= 2;
  if (is_apart && g->pitch > g->tile / 2) return 0;
  if (!is_apart) g->pitch = spec->input_width + pad;
  const int reach = g->tile / 2 + (kernel - 1) * (is_apart ? g->pitch : g->pitch + 1);
  g->entry_bytes = (reach + vector_bytes - 1) / vector_bytes * vector_bytes;
  g->tiles = ((height - 1) * g->pitch + width + g->tile - 1) / g->tile;
  /* In lookups by a vector. A table's takes as long as 51; two vectors share an index, but need more registers than there are. */
  const double table = 51.0 * g->entry_bytes / vector_bytes, lookup = (vectors == 1 ? 1 : 2.1) * (is_apart || kernel == 1 ? 1 : 1.2);
  g->work = g->tiles * (table + lookup * spec->outputs * kernel * kernel);
  return PATTERNS * g->entry_bytes + LOOKUP_NOTHING <= UINT16_MAX;
}

static int best_geometry(const LayerSpec *spec, int vector_bytes, Geometry *best) {
  int found = 0;
  for (int is_apart = 0; is_apart <= (spec->kernel > 1); is_apart++)
    for (int vectors = 1; vectors <= 2; vectors++) {
      Geometry g;
      if (!geometry_of(spec, is_apart, vectors, vector_bytes, &g) || (found && g.work >= best->work)) continue;
      *best = g;
      found = 1;
    }
  return found;
}

size_t lookup_positions(const LayerSpec *spec, int vector_bytes) {
  Geometry g;
  return best_geometry(spec, vector_bytes, &g) ? (size_t)g.tiles * g.tile : 0;
}

double lookup_work(const LayerSpec *spec, int vector_bytes) {
  Geometry g;
  if (vector_bytes == 0 || spec->is_dense || spec->fan_in >= UINT16_MAX || !best_geometry(spec, vector_bytes, &g)) return 0;
  return g.work * ((spec->input_channels + GROUP - 1) / GROUP);
}

/* Positions of a tile in the order of the sums: even and odd bytes of each vector, low nibbles, then high ones. */
static int place_of_sum(int i, int tile, int vector_bytes) {
  const int lanes = vector_bytes / 2;
  const int quarter = i / lanes % 4, v = i / (4 * lanes), lane = i % lanes;
  return (quarter >= 2 ? tile / 2 : 0) + v * vector_bytes + 2 * lane + quarter % 2;
}

#define TAKE(field, count) (done = done && ((field) = take(owner, bytes, most, (count) * sizeof *(field))))

int lay_lookup(Allocation **owner, size_t *bytes, size_t most, LookupLayer *lookup, LookupSizes *sizes, const LayerSpec *spec,
               int vector_bytes) {
  Geometry g;
  if (!best_geometry(spec, vector_bytes, &g)) return 0;
  const int kernel = spec->kernel, taps = kernel * kernel, channels = spec->input_channels;
  const int pad = spec->pad_start + spec->pad_end;
  lookup->outputs = spec->outputs;
  lookup->blocks = blocks_of(spec->outputs);
  lookup->kernel = kernel;
  lookup->groups = (channels + GROUP - 1) / GROUP;
  lookup->rows = spec->input_height + pad;
  lookup->columns = spec->input_width + pad;
  lookup->words = (channels + 63) / 64;
  lookup->apart = g.apart;
  lookup->centre = g.apart > 1 ? spec->pad_start : 0;
  lookup->pitch = g.pitch;
  lookup->tile = g.tile;
  lookup->tiles = g.tiles;
  lookup->entry_bytes = g.entry_bytes;
  /* The last tile's tables reach behind the map. */
  const size_t rows_end = (size_t)lookup->rows * g.pitch, positions = (size_t)g.tiles * g.tile;
  const size_t tiles_end = positions - g.tile / 2 + g.entry_bytes;
  lookup->group_stride = (rows_end > tiles_end ? rows_end : tiles_end) + vector_bytes;
  lookup->byte_stride = (size_t)lookup->rows * lookup->columns + vector_bytes + 8;

  int done = 1, most_groups = pass_bytes() / (PATTERNS * g.entry_bytes);
  if (most_groups > LOOKUPS / taps) most_groups = LOOKUPS / taps;
  if (most_groups < 1) most_groups = 1;
  lookup->passes = (lookup->groups + most_groups - 1) / most_groups;
  TAKE(lookup->pass, lookup->passes);
  size_t lookups = 0;
  for (int p = 0; done && p < lookup->passes; p++) {
    LookupPass *pass = lookup->pass + p;
    pass->first = (int)((int64_t)p * lookup->groups / lookup->passes);
    pass->groups = (int)((p + 1ll) * lookup->groups / lookup->passes) - pass->first;
    /* Entries are added by threes; those that are filled up with are nothing. */
    pass->lookups = (pass->groups * (taps / g.apart) + 2) / 3 * 3;
    lookups += pass->lookups * g.apart;
  }
  TAKE(lookup->inside, lookup->group_stride);
  TAKE(lookup->start_of, spec->outputs);
  TAKE(lookup->indices, lookups * spec->outputs);
  if (!done) return 0;
  for (int y = 0; y < spec->input_height; y++) {
    const int first = g.apart > 1 ? 0 : spec->pad_start;
    memset(lookup->inside + (size_t)(y + spec->pad_start) * g.pitch + first, 1, (size_t)spec->input_width);
  }
  const LookupSizes own = {lookup->words * 8 * lookup->byte_stride, lookup->groups * lookup->group_stride,
                           (size_t)lookup->blocks * BLOCK * g.tile * sizeof(uint16_t)};
  if (own.bytes > sizes->bytes) sizes->bytes = own.bytes;
  if (own.planes > sizes->planes) sizes->planes = own.planes;
  if (own.sums > sizes->sums) sizes->sums = own.sums;
  return 1;
}

int take_lookup_space(Allocation **owner, size_t *bytes, size_t most, const LookupSizes *sizes, LookupSpace *space) {
  int done = 1;
  if (sizes->planes == 0) return 1;
  TAKE(space->bytes, sizes->bytes);
  TAKE(space->line, sizes->bytes);
  TAKE(space->planes, sizes->planes);
  TAKE(space->tables, (size_t)UINT16_MAX + 1);
  return done && (space->sums = take(owner, bytes, most, sizes->sums));
}

void set_lookups(LookupLayer *lookup, int output, int tap, const uint64_t *bits) {
  const int kernel = lookup->kernel, ky = tap / kernel, kx = tap % kernel, apart = lookup->apart, is_apart = apart > 1;
  const int taps = is_apart ? kernel : kernel * kernel, own_tap = is_apart ? ky : tap;
  const int offset = ky * lookup->pitch + (is_apart ? 0 : kx);
  /* Columns behind the centre are taken from the last one back. */
  const int column = !is_apart ? 0 : kx <= lookup->centre ? kx : kernel + lookup->centre - kx;
  uint16_t *of_pass = lookup->indices;
  for (int p = 0; p < lookup->passes; p++) {
    const LookupPass *pass = lookup->pass + p;
    for (int group = 0; group < pass->groups; group++) {
      const int c = (pass->first + group) * GROUP, shift = c % 64;
      uint64_t pattern = bits[c / 64] >> shift;
      if (shift > 64 - GROUP && c / 64 + 1 < lookup->words) pattern |= bits[c / 64 + 1] << (64 - shift);
      of_pass[((size_t)output * apart + column) * pass->lookups + group * taps + own_tap] =
          (uint16_t)(LOOKUP_NOTHING + (group * PATTERNS + (int)(pattern % PATTERNS)) * lookup->entry_bytes + offset);
    }
    of_pass += (size_t)pass->lookups * apart * lookup->outputs;
  }
}

int build_lookup(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Map *in, int vector_bytes) {
  LookupLayer *lookup = &layer->lookup;
  Allocation **owner = &engine->allocations;
  size_t *bytes = &engine->bytes;
  layer->places = take(owner, bytes, most, sizeof(Place) * spec->height * spec->width);
  if (!layer->places) return 0;
  layer->place_count = place_windows(layer, spec, in->row_stride, in->words, 0, 0, 0, layer->places);
  if (!lay_lookup(owner, bytes, most, lookup, &engine->lookup, spec, vector_bytes)) return 0;
  const int kernel = spec->kernel, taps = kernel * kernel, channels = spec->input_channels;
  const size_t positions = (size_t)lookup->tiles * lookup->tile;
  int done = 1;
  TAKE(lookup->starts, 2 * positions);
  TAKE(lookup->limits, spec->outputs);
  TAKE(lookup->to, positions);
  if (!done) return 0;
  uint64_t words[lookup->words];
  for (int o = 0; o < spec->outputs; o++)
    for (int tap = 0; tap < taps; tap++) {
      for (int w = 0; w < lookup->words; w++) words[w] = word_of(spec, o, tap, w);
      set_lookups(lookup, o, tap, words);
    }

  for (size_t i = 0; i < positions; i++) {
    const int position = (int)(i / lookup->tile * lookup->tile) + place_of_sum((int)(i % lookup->tile), lookup->tile, vector_bytes);
    const int y = position / lookup->pitch - spec->pad_start, x = position % lookup->pitch - spec->pad_start;
    const int top = y < 0 ? 0 : y, bottom = y + kernel > spec->input_height ? spec->input_height : y + kernel;
    const int left = x < 0 ? 0 : x, right = x + kernel > spec->input_width ? spec->input_width : x + kernel;
    const int inside = (bottom > top ? bottom - top : 0) * (right > left ? right - left : 0);
    /* Half of the products outside, so that fan-in - 2 * mismatches is the sum of those inside; rounded as the room of `limits` is. */
    const int outside = (taps - inside) * channels;
    lookup->starts[i] = (uint16_t)((outside + 1) / 2);
    lookup->starts[positions + i] = (uint16_t)(outside / 2);
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
    lookup->to[(size_t)y * lookup->pitch + x] = (int32_t)layer->places[i].to;
  }
  return 1;
}
