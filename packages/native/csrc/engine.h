/* The engine: a model laid out once (build.c), run on images in workspaces of its own for every thread (run.c). */
#ifndef CBNN_ENGINE_H
#define CBNN_ENGINE_H
#include "layers.h"

/* Sizes of large models need 64 bits, and a block of 32 outputs is half a word. */
_Static_assert(sizeof(size_t) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "64 bits, little endian");

/* Images that pass through the dense layers together: their weights are read once for all of them. */
enum { BATCH = 32 };
/* And through the others: the same, but their maps should stay in the second-level cache. */
enum { MAPS = 4 };
/* Slices that are looked up together, and at most: layers.h. */
enum { PART = 4, MOST_PART = FIVE };
enum { MOST_KERNEL = 7 };

/* One convolution or dense layer, as docs/model-format.md numbers them; the shapes follow from its section 4. */
typedef struct {
  int is_dense;
  int input_height, input_width, input_channels;
  int height, width, outputs;
  int pool, pooled_height, pooled_width;
  int kernel, stride, pad_start, pad_end;
  int fan_in;
  int has_integers;
  int bound; /* largest |sum| (section 9) */
  /* Not owned: of the caller, while a model is built. */
  const uint8_t *weights;
  const int32_t *thresholds; /* hidden layers */
  const int32_t *scale, *bias; /* the last one */
} LayerSpec;

typedef struct {
  int channel, bit, shift;
} SliceSpec;

typedef struct {
  int height, width, channels;
  int is_sliced; /* else 2x - 255 */
  int is_coded; /* else plain binary */
  const uint8_t *code; /* what the 256 values then become; not owned */
  int slices;
  const SliceSpec *slice;
  int low, high; /* percentiles of the stretch; low is -1 where there is none */
  int classes;
  int layers;
  const LayerSpec *layer;
} ModelSpec;

static inline int blocks_of(int outputs) { return (outputs + BLOCK - 1) / BLOCK; }

static inline int floor_half(int value) { return value >= 0 ? value / 2 : -((1 - value) / 2); }

/* Bits of output `o`, packed, and one of them. */
static inline const uint8_t *row_of(const LayerSpec *spec, int o) {
  return spec->weights + (size_t)o * ((spec->fan_in + 7) / 8);
}
static inline int bit_of(const uint8_t *row, size_t i) { return row[i >> 3] >> (i & 7) & 1; }
/* Bits of an output's weights at a tap: word `word` of its channels. */
static inline uint64_t word_of(const LayerSpec *spec, int output, int tap, int word) {
  const int left = spec->input_channels - 64 * word, count = left < 64 ? left : 64;
  const size_t at = (size_t)tap * spec->input_channels + 64 * (size_t)word;
  const uint8_t *row = row_of(spec, output);
  uint64_t bits = row[at >> 3] >> (at & 7);
  const int first = 8 - (int)(at & 7);
  row += at >> 3;
  for (int found = first; found < count; found += 8) bits |= (uint64_t)*++row << found;
  return count < 64 ? bits & (((uint64_t)1 << count) - 1) : bits;
}

typedef enum { TABLES16, TABLES32, PERMUTED, PRODUCTS, BITS, LOOKUP } LayerKind;

/*
 * How what can be computed in two ways is: the faster one, by a short measurement, unless it is said. A first layer by tables or permutations,
 * convolutions of bits by looking sums up or by counting.
 */
typedef enum { FASTER, BY_TABLES, BY_PERMUTATIONS } First;
typedef enum { EITHER, LOOKED_UP, COUNTED } Convolutions;
typedef struct {
  First first;
  Convolutions convolutions;
} Ways;

/* Bits of a map, with the border that the layer reading it needs. */
typedef struct {
  int height, width, channels;
  int words; /* of a pixel */
  int before; /* rows and columns of border before the first */
  int row_stride; /* words from row to row */
  size_t image_words;
} Map;

typedef struct {
  LayerKind kind;
  BitLayer bits;
  TableLayer tables;
  PermutedLayer permuted;
  ProductLayer products;
  LookupLayer lookup;
  int is_dense, outputs, fan_in;
  int height, width;
  int pool; /* of a map of bits behind the layer; 1 where there is none */
  int place_count;
  Place *places;
  /* where the bits go: the next layer's input; unused behind the last layer */
  Map out;
  int32_t *thresholds; /* of products */
  int32_t *scale, *bias; /* of the last layer */
} Layer;

/* What a part's slices are looked up by: for each channel that they come from, 256 offsets, which are added. */
typedef struct {
  int channels;
  int channel[MOST_PART];
  uint16_t offset[MOST_PART][256];
} Part;

/* What a first layer's sums are made of. An 8-bit channel is eight slices: 2x - 255 is the sum of +-2^bit. */
typedef struct {
  int channel, bit, shift, input;
} Source;

typedef struct Allocation Allocation;

typedef struct {
  const Kernels *kernels;
  int height, width, channels, is_sliced, low, high, classes;
  uint8_t *code; /* null where there is none */
  int slices;
  SliceSpec *slice;
  int parts;
  Part *part;
  size_t first_values; /* of an image: indices, or values */
  int border_rows, border_columns, border_before; /* of the first layer's indices or values */
  int layers;
  Layer *layer;
  size_t unpooled_words, sums;
  LookupSizes lookup;
  Allocation *allocations;
  size_t bytes, most; /* with one workspace */
} Engine;

typedef struct {
  uint8_t *image;
  uint16_t *indices; /* of MAPS images, as the values */
  int16_t *values;
  uint64_t **input; /* of each layer but the first: of MAPS images, of dense layers for BATCH */
  uint32_t *unpooled;
  int32_t *sums;
  LookupSpace lookup;
  Allocation *allocations;
  size_t bytes;
} Workspace;

/* Null and a reason in `why` where the model and a workspace would need more than `most` bytes, or there is no memory. */
Engine *build_engine(const ModelSpec *model, const Kernels *kernels, Ways ways, size_t most, const char **why);
void free_engine(Engine *engine);

Workspace *make_workspace(const Engine *engine);
void free_workspace(Workspace *workspace);

/* Scores [count][classes] of images [count][height][width][channels], raw or prepared already. */
void run_images(const Engine *engine, Workspace *workspace, const uint8_t *pixels, int count, int prepared,
                int32_t *scores);

/* The first image of the last run, or what it left, through layer `k` alone. */
void run_layer(const Engine *engine, Workspace *workspace, int k);

/* Bits [height][width][channels], a byte each, that hidden layer `k` gave for the first image of the last run. */
void read_bits(const Engine *engine, const Workspace *workspace, int k, uint8_t *bits);

/*
 * Nanoseconds of each layer by itself, on what the last run left in its input, and behind them the products a second of the
 * processor's own counting, in registers: medians of some rounds. False where there is no memory.
 */
int measure_layers(const Engine *engine, Workspace *workspace, int rounds, double *out);

/* Zeroed memory on cache lines, freed with its owner; null beyond `most` in all. */
struct Allocation {
  Allocation *next;
};
void *take(Allocation **owner, size_t *bytes, size_t most, size_t size);
void free_all(Allocation *first);
/* Frees what was taken after `mark`, which was the owner's then. */
void free_until(Allocation **owner, Allocation *mark);

/* A first layer by permutations; 0 where it cannot be, or memory lacks. */
int build_permuted(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Source *sources, int count);
/* What one tap's part of `size` slices adds to an output where they are the bits of `entry`. */
int entry_of(const LayerSpec *spec, const Source *sources, int count, int size, int output, int tap, int part, int entry);
/* Windows of a convolution: build.c. */
int place_windows(Layer *layer, const LayerSpec *spec, int row_stride, int pixel, const uint32_t *row_kind, const uint32_t *column_kind,
                  int column_kinds, Place *places);

/* A convolution of bits, for an engine: counted. */
int build_bits(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Map *in);
/* How many lookups by vectors of so many bytes take as long as a convolution of bits that is looked up; 0 where it cannot be. */
double lookup_work(const LayerSpec *spec, int vector_bytes);
/* Positions at which it is then computed. */
size_t lookup_positions(const LayerSpec *spec, int vector_bytes);
/* Whether looking its sums up is possible and faster than counting: choose.c. */
int lookups_are_faster(const LayerSpec *spec, const Kernels *kernels);
/* Of such a convolution what needs no weights, and what an output's weights at a tap, words of bits, add to it. */
int lay_lookup(Allocation **owner, size_t *bytes, size_t most, LookupLayer *lookup, LookupSizes *sizes, const LayerSpec *spec,
               int vector_bytes);
void set_lookups(LookupLayer *lookup, int output, int tap, const uint64_t *bits);
/* All of it, for an engine. */
int build_lookup(Engine *engine, size_t most, Layer *layer, const LayerSpec *spec, const Map *in, int vector_bytes);
int take_lookup_space(Allocation **owner, size_t *bytes, size_t most, const LookupSizes *sizes, LookupSpace *space);

#endif
