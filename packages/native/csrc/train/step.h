/*
 * One training step of a binary network in integers. docs/training-step.md is its specification: every sum of products is an exact
 * integer, and the few sums of floats have a fixed order, so neither the instruction set nor the threads change a single bit.
 *
 *   forward    sums p of bits, counted; batch norm and sign as one comparison of p with a threshold      forward.c
 *   backward   the gradient of each layer's output, rounded to int8, times bits as {0, 2}                backward.c
 *   update     Adam on latent weights                                                                    update.c
 *
 * Channels are the lanes, in blocks of BLOCK; maps are [image][pixel][blocks * BLOCK], lanes behind the last channel are 0.
 */
#ifndef CBNN_STEP_H
#define CBNN_STEP_H
#include "../engine.h"
#include "../windows.h"
#include "shared.h"

/* Rows of a tile of sums of products; its lanes are a block. */
enum { ROWS = 8 };
/* Windows whose sums are pooled together. */
enum { WINDOWS = 16 };
/* Largest |p| of which WINDOWS squares fit 32 bits, and which, with its thresholds, is stored in 16. */
enum { MOST_NARROW = (1 << 14) - 1, MOST_STORED = INT16_MAX - 1 };
/* Largest |r| of a gradient rounded to 8 bits. */
enum { MOST_GRADIENT = 127 };
/* Gradients beyond so many times their root mean square are clipped, or a few would leave no bits to the many. */
enum { MOST_PEAK = 32 };
enum { MOST_PLANES = 3, MOST_THREADS = 256 };
/* Choices among four pixels, and quads of which tables are made at a time. */
enum { QUAD_CHOICES = 16, TABLE_QUADS = 32 };

/* `steps` steps of four products: a[row] signed, 4 bytes a step; b unsigned, BLOCK * 4 bytes a step. */
typedef struct {
  const int8_t *a;
  const uint8_t *b;
  int steps;
} Segment;

/* Gradients are rounded at random: bits of the noise, and what it grows by from channel to channel. */
enum { NOISE_BITS = 16 };
static const uint32_t CHANNEL_NOISE = 0x9e3779b9;

/* Which entries some quads' inputs pick, `pitch` bytes from quad to quad: tables-avx2.h. */
typedef struct {
  const uint8_t *choice;
  int quads;
} Choices;

/* One row of one block in the backward pass: r = dy * slope + p * curve + offset, in units of the int8 gradient. */
typedef struct {
  const float *slope, *curve, *offset;
  uint32_t noise, channel; /* of the first pixel, and the block's first */
} GradientOf;

/* The same functions for every instruction set: dot.h and passes.h. */
typedef struct {
  const char *name;
  int (*supported)(void);
  const Kernels *bits; /* what counts bits beside it */
  /* sums[row * stride + lane] = products; rows are `pixel` bytes apart in a. Pairs of products may have to be added up in 16 bits:
     `flush` steps at most fit. */
  void (*tile)(int32_t *sums, size_t stride, const Segment *segments, int count, size_t pixel, int flush);
  /* Added to the sums, where a is unsigned, below 128, and b signed. */
  void (*tile_values)(int32_t *sums, size_t stride, const Segment *segments, int count, size_t pixel, int flush);
  /* As `tile` where a lies as [step][row][4]; added to the sums unless `fresh`. */
  void (*tile_quads)(int32_t *sums, size_t stride, const Segment *segments, int count, int flush, int fresh);
  /* 2 per bit, as [bit][4] bytes of four words, or-ed with edge in every lane; `count` times, words `pitch` apart in a step */
  void (*expand)(const uint32_t *words, const size_t offset[4], size_t pitch, const uint32_t *edge, int count, uint8_t *out);
  /* A bit per weight: w >= 0. */
  uint32_t (*signs)(const float *weights);
  /* counts[place][BLOCK] becomes base - 2 * counts, with the base of each place's kind. */
  void (*uncount)(int32_t *counts, const int32_t *base, size_t pitch, const uint16_t *kind, int count);
  /* The same of counts[position][BLOCK] in 16 bits, at the places' positions. */
  void (*uncount16)(const uint16_t *counts, const uint32_t *position, const int32_t *base, size_t pitch, const uint16_t *kind, int count,
                    int32_t *sums);
  /* sums += factor * part, ROWS x BLOCK of them */
  void (*combine)(int32_t *sums, const int32_t *part, int factor);
  /* Sums of `pitch` bytes each. */
  void (*byte_sums)(const int8_t *bytes, size_t pitch, int count, int32_t *sums);
  /* out = unit * (sum over `copies` of products at `at` - less) */
  void (*gather)(const int32_t *const *products, int copies, size_t at, int32_t less, float unit, int count, float *out);
  /* Pools `count` windows of one block and adds up p and p * p: forward.c. */
  void (*pool16)(const int32_t *sums, int count, const int *steps, int size, void *p, size_t pitch, uint8_t *winner, int64_t *sum,
                 int64_t *square);
  void (*pool16_large)(const int32_t *sums, int count, const int *steps, int size, void *p, size_t pitch, uint8_t *winner, int64_t *sum,
                       int64_t *square);
  void (*pool32)(const int32_t *sums, int count, const int *steps, int size, void *p, size_t pitch, uint8_t *winner, int64_t *sum,
                 int64_t *square);
  /* The int8 gradient of `count` pixels of one block, to `size` rows of the map before pooling. Returns the largest |r|, unclipped. */
  float (*gradient16)(const void *p, const uint16_t *dy, const uint8_t *winner, size_t pitch, int count, int size, GradientOf of,
                      int8_t *out, size_t row, size_t out_pitch, int32_t *sum, int64_t *counts);
  float (*gradient32)(const void *p, const uint16_t *dy, const uint8_t *winner, size_t pitch, int count, int size, GradientOf of,
                      int8_t *out, size_t row, size_t out_pitch, int32_t *sum, int64_t *counts);
  /* Four pixels of one block, `pitch` apart, as [lane][4] bytes in four groups of ROWS lanes, `group` bytes apart; `count` times. */
  void (*quads)(const int8_t *in, size_t pitch, int count, uint8_t *out, size_t group);
  /* Straight-through estimator on a tile of sums: docs/training-step.md 5. */
  void (*estimate16)(const int32_t *sums, const int32_t *correction, const int64_t *pixel, const void *p, uint16_t *dy,
                     const int32_t *low, const int32_t *high, const float *mean, float *first, float *second);
  void (*estimate32)(const int32_t *sums, const int32_t *correction, const int64_t *pixel, const void *p, uint16_t *dy,
                     const int32_t *low, const int32_t *high, const float *mean, float *first, float *second);
  /* Adam on `count` weights with these gradients. */
  void (*adam)(float *w, float *m, float *v, const float *gradient, int count, float rate, int clips);
  /*
   * Only where tables are faster for gradients of weights: tables of quads of pixels, `pitch` bytes apart; what 32 channels' bits
   * pick of them; sums[channel][BLOCK] of what was picked; sums of pixels as they are; and gradients from all that.
   */
  void (*fill_tables)(const int8_t *gradient, size_t pitch, int quads, int16_t *tables);
  void (*choose)(const uint32_t *words, const size_t offset[4], size_t pitch, int count, uint8_t *out, size_t out_pitch);
  void (*look_up)(const int16_t *tables, const Choices *choices, int count, size_t pitch, int channels, int32_t *sums);
  void (*add_pixels)(const int8_t *pixel, size_t pitch, int count, int32_t *sums);
  /* out[BLOCK outputs][BLOCK channels] = unit * (2 * the sum over `copies` of products at `at` - less[output]) */
  void (*gather_tables)(const int32_t *const *products, int copies, size_t at, const int32_t *less, float unit, float *out);
  /* Products of `steps` steps in registers alone: what the processor could do. */
  double (*limit)(int steps);
} StepKernels;

extern const StepKernels *const all_step_kernels[];

/* One parameter with Adam's moments, as JavaScript holds them. */
typedef struct {
  float *value, *first, *second;
} Parameter;

/* A run of products: which tap meets which pixel of the padded gradient. */
typedef struct {
  int32_t offset; /* in pixels, from the tile's */
  int32_t tap;
} Meeting;

/* ROWS pixels of the input, neighbours in the padded gradient; -1 where there is none. */
typedef struct {
  int32_t from;
  int32_t to[ROWS];
} Tile;

/* Input pixels that meet the same taps: one phase of the stride. */
typedef struct {
  int meetings, tiles;
  Meeting *meeting;
  Tile *tile;
} Phase;

typedef struct {
  LayerSpec spec;
  int is_first, is_last, is_latent;
  float rate_scale;
  Parameter weights, gamma, beta;
  int taps;            /* of the kernel; pixels of a dense layer's input */
  int channels, lanes; /* of a tap: input channels, and what products are taken with for them */
  int outputs, in_blocks, out_blocks, pitch, lane_pitch;
  int pixels;          /* of the output, after pooling */
  int is_wide;         /* p has 32 bits */

  /* forward */
  BitLayer bits;
  int words;           /* of bits, per pixel of the input */
  size_t row_words, image_words;
  uint64_t *input;     /* [images][image_words], with the padding; of the first layer, too: for its gradient */
  int places;          /* of an image, window after window; of a dense layer, images */
  uint32_t *from;      /* [places]: first word */
  uint16_t *kind;      /* [places]: which base */
  int is_looked_up;    /* convolutions: mismatches by tables; then */
  LookupLayer lookup;
  uint32_t *position;  /* [places]: of those that are looked up */
  int row_kinds, column_kinds;
  Reach *row_reach, *column_reach;
  int32_t *ones;       /* [taps][pitch]: bits set in a tap's weights */
  int32_t *base;       /* [kinds][pitch]: p = base - 2 * mismatches */
  void *p;             /* [images][pixels][pitch]: sums after pooling */
  uint8_t *winner;     /* [as p]: which place of its window */
  int64_t *sum, *square; /* [threads][pitch]: of p and p * p */
  float *mean, *variance, *inverse;
  int32_t *low, *high; /* the estimator passes the gradient on where low <= p <= high */
  void *thresholds;    /* of p's type: the bit is p >= threshold ... */
  uint32_t *inverted;  /* ... or its opposite */

  /* backward */
  uint8_t *signs;      /* [in_blocks][taps][out_quads][BLOCK][4]: weights in {0, 2} */
  int out_quads;
  uint16_t *dy;        /* [as p]: bfloat16, in units of dy_unit */
  float dy_unit;
  int partials;        /* images, or taps of the dense layer behind */
  float *first, *second; /* [partials][pitch]: sums of dy, and of dy * (p - mean) */
  float *dgamma, *dbeta;
  float *slope, *curve, *offset; /* [pitch]: of r */
  float unit;          /* of the int8 gradient: max|dz| / 127; 0 = not known yet */
  float *largest;      /* [threads], in that unit */
  int64_t (*counts)[3]; /* [threads]: values clipped, zero; sum of squares */
  int looks_up;        /* by tables */
  int32_t **products;  /* [threads][outputs][taps][lane_pitch]; by tables [threads][out_blocks][taps][lane_pitch][BLOCK] */
  int32_t **outside;   /* [threads][taps][pitch]: by tables, what of the gradient a tap misses */
  int *has_products;   /* [threads] */
  int32_t *correction; /* [threads][pitch]: sums of the int8 gradient */
  int before_rows, before_columns, rows, columns; /* of the padded int8 gradient */
  int phases;
  Phase *phase;
  int groups, group;   /* of images taken together, as many for every thread; and the most images of one */
  int quads;           /* of four pixels, in a row */
  int phase_rows;      /* rows of the padded input in one phase of the stride */
  uint32_t *edge;      /* [kernel][quads]: 1 in the bytes of columns outside */
  /* of dense layers, whose pixels are the images of the batch */
  int8_t *dense_gradient; /* [images][pitch] */
  uint8_t *dense_quads;   /* [pitch / ROWS][quads][ROWS][4] */
  int32_t *dense_sums;    /* [images]: of the gradient, over channels */
} StepLayer;

/* Seconds of a step: of the whole, or of all threads together. */
enum { PREPARE, FORWARD, DENSE_BACKWARD, CONV_BACKWARD, UPDATE, WHOLES };
enum { ROUND_GRADIENTS, WEIGHT_PRODUCTS, INPUT_GRADIENTS, SHARED };

/* What one thread works in. */
typedef struct {
  double seconds[SHARED];
  int8_t **gradient;      /* [layers][group][rows][columns][pitch]: the padding stays 0 */
  uint8_t *gradient_quads; /* [pitch / ROWS][group][height][quads][ROWS][4] */
  uint8_t *input_quads;   /* [kernel][stride][group][phase_rows][quads][BLOCK][4], of one block */
  uint8_t *choices;       /* [kernel][stride][group][phase_rows][quads][lane_pitch] */
  int16_t *tables;        /* [TABLE_QUADS][QUAD_CHOICES][BLOCK] */
  int32_t *pixel_sums;    /* of the padded int8 gradient, over channels */
  int32_t *sums;          /* [places][BLOCK] */
  LookupSpace lookup;
  uint16_t *counts;       /* [blocks][positions][BLOCK] */
  int32_t *corrections;   /* [group][tiles][ROWS] */
  Segment *segments;
} StepSpace;

typedef struct {
  const StepKernels *kernels;
  int layers, batch, classes;
  int height, width, channels, is_sliced, slices;
  SliceSpec *slice;
  int is_hinge, is_integer; /* loss; the first layer's weights */
  float *place;             /* [channels of the first layer] */
  StepLayer *layer;
  Pool *pool;
  int threads;
  Convolutions convolutions;
  StepSpace *space;
  LookupSizes lookup;       /* of the space of each */
  Allocation *allocations;
  size_t bytes;

  /*
   * The first layer's input is taken apart into planes of small unsigned values, whose zero is at `centre`: x is the sum over planes
   * of factor * (value - centre).
   */
  int planes, plane_factor[MOST_PLANES];
  int flush, lanes_flush;   /* of its tiles, forward and backward */
  int plane_rows;           /* with the padding */
  size_t row_bytes, plane_bytes;
  uint8_t *values;          /* [threads][planes][plane_rows][row_bytes]; of a dense layer [planes][images][row_bytes] */
  uint8_t *centre;          /* [planes][channels] */
  uint64_t *bits_of;        /* [channels of the image][256][words]: bits of the slices of one value */
  int bytes_of_bits;        /* bytes of a pixel's bits */
  uint8_t *values_of;       /* [planes][bytes_of_bits][256][8]: values of eight slices */
  int run_steps, runs;      /* steps of a kernel row, and kernel rows */
  int8_t *first_weights;    /* [out_blocks][runs][run_steps][BLOCK][4] */
  int32_t *first_base;      /* [pitch]: minus what the centres add up to */
  float *first_scale;       /* [outputs]: of integer weights */

  /* the step under way */
  int current; /* layer */
  const uint8_t *pixels;
  const uint16_t *labels;
  const float *targets; /* [batch][classes], or null */
  float latent_rate, float_rate;
  uint32_t number;          /* of the step, from 1 */
  float *scores;            /* [batch][classes] */
  double loss;
  int correct;
  double seconds[WHOLES];
} Step;

/* What a step is made for: shapes as in ModelSpec, whose weights are left out. */
typedef struct {
  const ModelSpec *model;
  int batch, threads, is_hinge, is_integer;
  const float *place, *rate_scale; /* [first layer's channels], [layers] */
  const Parameter *parameters;     /* [layers][3]: weights, gamma, beta */
  Convolutions convolutions;
} StepSpec;

/* Null and a reason in `why` where it would need more than `most` bytes, or there is no memory. */
Step *build_step(const StepSpec *spec, const StepKernels *kernels, size_t most, const char **why);
void free_step(Step *step);

/* One step: forward, loss, backward, update; or, where its number is 0, forward alone. */
void run_step(Step *step);

void run_forward(Step *step);
void run_backward(Step *step);
void update_weights(Step *step);
/* Adds products of the int8 gradients of images first .. first + count - 1, padded maps, and the layer's input. */
void weight_products(const Step *step, StepLayer *layer, int first, int count, const int8_t *gradient, int thread);
/* Sums of all threads, of weights c .. c + count - 1 of an output's tap: exact gradients in units of `unit` (an 8-bit image's: lanes). */
void gather_products(const Step *step, const StepLayer *layer, int o, int tap, int c, int count, int32_t *out);
/* Lanes of an 8-bit image at four pixels: high and low halves of each channel, and 1 inside the image. */
void put_values(const Step *step, const uint8_t *const pixel[4], int block, uint8_t *out);
/* Null outside the image, and behind the batch. */
const uint8_t *pixel_at(const Step *step, int n, int y, int x);
void prepare_weights(Step *step);

/* Of the int8 gradient, before clipping, in its unit. */
float largest_gradient(const Step *step, const StepLayer *layer);
/* Of layer k's int8 gradient: the shares clipped and zero, and max / rms. */
void gradient_report(const Step *step, int k, double out[3]);
/* For tests: false where there is nothing of this length. */
int inspect_step(const Step *step, int k, int what, int32_t *out, size_t length);

/* To the nearest, halves to even; |x| < 2^22. */
static inline int32_t rounded(float x) {
  const float shifted = x + 12582912.f;
  int32_t bits;
  __builtin_memcpy(&bits, &shifted, 4);
  return bits - 0x4b400000;
}

/* Counts of a block that is looked up. */
static inline size_t lookup_size(const StepLayer *layer) { return (size_t)layer->lookup.tiles * layer->lookup.tile * BLOCK; }

static inline void *p_at(const StepLayer *layer, int image, int pixel) {
  const size_t at = ((size_t)image * layer->pixels + pixel) * layer->pitch;
  return (char *)layer->p + at * (layer->is_wide ? 4 : 2);
}

static inline int32_t sum_at(const StepLayer *layer, int image, int pixel, int c) {
  const void *p = p_at(layer, image, pixel);
  return layer->is_wide ? ((const int32_t *)p)[c] : ((const int16_t *)p)[c];
}

/* An 8-bit image's gradient of one weight from its lanes of one tap: 2v - 255 = 32 * high + 2 * low - 255 * inside. */
static inline int64_t value_product(const int32_t *lane, int c, int channels) {
  return 32 * (int64_t)lane[2 * c] + 2 * (int64_t)lane[2 * c + 1] - 255 * (int64_t)lane[2 * channels];
}

#endif
