/* Lays a first layer out for permutations: which vectors cover its places, tables of five slices, and what taps outside leave out. */
#include "engine.h"
#include "windows.h"
#include <string.h>

#define TAKE(field, count) \
  (done = done && ((field) = take(&engine->allocations, &engine->bytes, most, (size_t)(count) * sizeof *(field))))

static int up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

int build_permuted(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Source *sources, int count) {
  PermutedLayer *permuted = &layer->permuted;
  const int kernel = spec->kernel, taps = kernel * kernel, parts = engine->parts, pitch = engine->border_columns;
  /* Neighbours in a vector are neighbours in the image. */
  if (spec->stride != 1) return 0;
  uint32_t row_kind[spec->height], column_kind[spec->width];
  Reach row_reach[MOST_REACHES], column_reach[MOST_REACHES];
  const int row_kinds = distinct_reaches(spec->height, 1, spec->pad_start, kernel, spec->input_height, row_reach, row_kind);
  const int column_kinds = distinct_reaches(spec->width, 1, spec->pad_start, kernel, spec->input_width, column_reach, column_kind);
  /* Starts are a vector, too. */
  if (row_kinds * column_kinds > LANES16) return 0;

  const int of_row = up(spec->width, LANES16) / LANES16, apart = spec->height * of_row;
  const int together = up((spec->height - 1) * pitch + spec->width, LANES16) / LANES16, is_apart = apart <= together;
  permuted->blocks = blocks_of(spec->outputs);
  permuted->parts = parts;
  permuted->vectors = up(is_apart ? apart : together, TOGETHER);
  permuted->steps = taps * parts;
  const int lanes = permuted->blocks * BLOCK;
  int done = 1;
  TAKE(permuted->at, permuted->steps);
  TAKE(permuted->from, permuted->vectors);
  TAKE(permuted->tables, (size_t)lanes * permuted->steps * LANES16);
  TAKE(permuted->kinds, permuted->vectors * LANES16);
  TAKE(permuted->starts, lanes * LANES16);
  TAKE(permuted->thresholds, lanes);
  TAKE(permuted->to, permuted->vectors * LANES16);
  TAKE(layer->places, (size_t)spec->height * spec->width);
  if (!done) return 0;

  uint32_t last = 0;
  for (int v = 0; v < permuted->vectors; v++) {
    const int own = is_apart ? v / of_row * pitch + v % of_row * LANES16 : v * LANES16;
    /* Those that fill the last four up compute the first again, for nobody. */
    permuted->from[v] = v < (is_apart ? apart : together) ? (uint32_t)own : 0;
    if (permuted->from[v] > last) last = permuted->from[v];
  }
  permuted->plane = last + LANES16 + (size_t)(kernel - 1) * (pitch + 1);
  if (permuted->plane < (size_t)engine->border_rows * pitch) permuted->plane = (size_t)engine->border_rows * pitch;
  if (permuted->plane * parts > UINT32_MAX) return 0;
  engine->first_values = permuted->plane * parts;
  if ((size_t)permuted->vectors * BLOCK > engine->sums) engine->sums = (size_t)permuted->vectors * BLOCK;
  for (int step = 0; step < permuted->steps; step++) {
    const int tap = step / parts;
    permuted->at[step] = (uint32_t)(step % parts * permuted->plane + tap / kernel * pitch + tap % kernel);
  }

  layer->place_count = place_windows(layer, spec, pitch, 1, row_kind, column_kind, column_kinds, layer->places);
  for (int i = 0; i < permuted->vectors * LANES16; i++) permuted->to[i] = -1;
  for (int i = 0; i < layer->place_count; i++) {
    const Place *place = layer->places + i;
    const int x = (int)place->from % pitch, y = (int)place->from / pitch;
    const int lane = is_apart ? y * of_row * LANES16 + x : (int)place->from;
    permuted->to[lane] = (int32_t)place->to;
    permuted->kinds[lane] = (uint16_t)place->kind;
  }

  for (int o = 0; o < lanes; o++) permuted->thresholds[o] = (int16_t)(o < spec->outputs ? spec->thresholds[o] : INT16_MAX);
  for (int o = 0; o < spec->outputs; o++) {
    int16_t *table = permuted->tables + (size_t)o * permuted->steps * LANES16;
    for (int step = 0; step < permuted->steps; step++)
      for (int entry = 0; entry < LANES16; entry++)
        *table++ = (int16_t)entry_of(spec, sources, count, FIVE, o, step / parts, step % parts, entry);
    table -= (size_t)permuted->steps * LANES16;
    for (int r = 0; r < row_kinds; r++)
      for (int c = 0; c < column_kinds; c++) {
        int missing = 0;
        for (int tap = 0; tap < taps; tap++) {
          const int ky = tap / kernel, kx = tap % kernel;
          const int is_inside = ky >= row_reach[r].first && ky < row_reach[r].last && kx >= column_reach[c].first && kx < column_reach[c].last;
          for (int part = 0; !is_inside && part < parts; part++) missing += table[(tap * parts + part) * LANES16];
        }
        permuted->starts[o * LANES16 + r * column_kinds + c] = (int16_t)-missing;
      }
  }
  return 1;
}
