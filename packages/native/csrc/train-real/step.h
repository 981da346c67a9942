/*
 * One training step of a network whose operands are real: products of bfloat16, sums in single precision. docs/training-step.md 8 is
 * its specification: every sum has a stated order, so neither the instruction set nor the threads change a single bit.
 *
 *   forward    weights and images as bfloat16; sums, pooled; batch norm; activations     forward.c
 *   backward   gradients of sums, of inputs, of the weights that are multiplied with     backward.c
 *   update     Adam                                                                      run.c
 *
 * What those weights are, and what their gradients mean to trained ones, is the caller's: a technique's quantizer.
 *
 * A dense layer is a convolution of 1 x 1 on one map, whose pixels are the batch's images and whose channels are its whole input.
 * Outputs are the lanes, in blocks of BLOCK: sums are [image][block][pixel][BLOCK], lanes behind the last output 0. What is multiplied
 * is [image][row][column][channel], without gaps: a row of the kernel is a run of neighbours.
 */
#ifndef CBNN_REAL_STEP_H
#define CBNN_REAL_STEP_H
#include "../engine.h"
#include "../train/shared.h"
#include <string.h>

/* Rows of a tile of sums; its lanes are a block. */
enum { ROWS = 8 };
enum { MOST_THREADS = 256 };
/* SCALED_SIGN: sign, whose magnitudes scale the sums behind it: XNOR-Net's K. APPROXIMATE_SIGN: with the slope of a piecewise quadratic.
   DECAYING_SIGN: with one that grows steep. SIGN and the last two may be drawn while they learn: DRAWN_SIGN is such a SIGN. */
enum { NO_ACTIVATION, RELU, SIGN, SCALED_SIGN, APPROXIMATE_SIGN, DECAYING_SIGN, DRAWN_SIGN };

/* `steps` steps of two products a sum: a[row], two values a step; b, pairs of values, BLOCK a step. */
typedef struct {
  const uint16_t *a;
  const uint32_t *b;
  int steps;
} Run;

/* y = (p - mean) * gain + offset of a block; where the activation is the sign, in 1e20ths and shifted by one. */
typedef struct {
  const float *mean, *gain, *offset;
  int activation;
  float sharpness; /* of DECAYING_SIGN */
} Line;

/* Of a row and block, uniform in [0, 1); null where nothing is drawn. */
typedef struct {
  const float *at;
  size_t channel, pixel;
} Noise;

/* dz = (dy * slope + (p - mean) * curve) + offset, of a block. */
typedef struct {
  const float *slope, *mean, *curve, *offset;
} GradientOf;

/* Scales of sums, and what their gradients come from, both with places of the sums before pooling; null where there are none. */
typedef struct {
  const float *k;
  float *dk;
  size_t row;
} Scaled;

/* The same functions for every instruction set: dot.h and passes.h. `lanes`: those of a block that there are. */
typedef struct {
  const char *name;
  int (*supported)(void);
  /* sums[ROWS][BLOCK]; rows are `row` values apart in a. */
  void (*tile)(float *sums, const Run *runs, int count, size_t row);
  /* a lies as pairs, too, BLOCK a step and one a row; added to sums[row * stride + lane] unless `fresh`. */
  void (*tile_pairs)(float *sums, size_t stride, const Run *runs, int count, int fresh);
  /* The first largest of each size x size window of z[height * size][width * size], and its place. */
  void (*pool)(const float *z, int height, int width, int size, float *p, uint8_t *winner);
  /* The sum, and the sum of squares around sum * share. */
  void (*moments)(const float *p, int pixels, float share, float *sum, float *square);
  /* The sum of d times d's power of two, with d = p - mean. */
  void (*shifted_square)(const float *p, int pixels, const float *mean, float *square);
  /* Activations of a row, `pixel` values apart. */
  void (*activate)(const float *p, int count, Line line, Noise noise, int lanes, uint16_t *x, size_t pixel);
  /* Mean |y| of each pixel: blocks are `apart` values apart, those of the line behind one another. */
  void (*magnitudes)(const float *p, int pixels, int blocks, size_t apart, Line line, float share, float *out);
  /* z[pixel][BLOCK] times k[pixel]. */
  void (*scale)(float *z, const float *k, int pixels);
  /* Makes dx dy, 0 where the activation passes nothing on; and the magnitude's, where there is one; sums of dy and of dy * (p - mean). */
  void (*estimate)(float *dy, const float *p, int pixels, Line line, const float *dmagnitude, float *first, float *second);
  /* dz of a row, at the places that won their windows; 0 at the others. What scales hand on to magnitudes, too: scales.c. */
  void (*gradient)(const float *dy, const float *p, const uint8_t *winner, int count, int size, GradientOf of, Scaled scaled, int lanes,
                   uint16_t *dz, size_t row, size_t pixel);
  /* Pairs of BLOCK values each, the second `apart` from the first, `step` from pair to pair. */
  void (*pairs)(const uint16_t *in, size_t apart, size_t step, int count, uint32_t *out);
  void (*round)(const float *in, int count, uint16_t *out);
} RealStepKernels;

extern const RealStepKernels *const all_real_step_kernels[];

/* ROWS neighbours in a map, and which pixel each is; -1 where it is none. */
typedef struct {
  int32_t from;
  int32_t to[ROWS];
} RealTile;

/* Pixels of the input that meet the same taps: one phase of the stride. */
typedef struct {
  int meetings, tiles;
  struct {
    int32_t offset; /* in pixels of the gradient's map, from the tile's */
    int32_t tap;
  } *meeting;
  RealTile *tile;
} RealPhase;

/* As JavaScript holds them: the weights that are multiplied with [output][ky][kx][channel], and gradients. */
typedef struct {
  const float *weights, *gamma, *beta;
  float *dweights, *dgamma, *dbeta;
  const float *noise; /* of signs that are drawn: [image][output][pixel]; else null */
} LayerArrays;

typedef struct {
  LayerArrays own;
  int is_dense, is_first, activation;
  int images, channels, outputs, blocks, kernel, stride, pad, pool;
  int input_height, input_width, rows, columns; /* of the input; with its padding */
  int height, width, pooled_height, pooled_width, pixels; /* of the sums, as far as they are pooled; after that */

  /* forward */
  int run, run_pairs;   /* values of a kernel's row */
  uint16_t *x;          /* [images][rows][columns][channels] */
  size_t x_start, x_image, x_row, x_pixel; /* where what the layer in front made goes */
  uint32_t *weights;    /* [blocks][kernel][run_pairs][BLOCK] */
  int tiles;
  RealTile *tile;       /* of positions `stride` pixels apart; to: pixels of the sums */
  float *p, *dy;        /* [images][blocks][pixels][BLOCK] */
  uint8_t *winner;      /* which place of its window */
  float *first, *second; /* [images][blocks * BLOCK]: what is added up over pixels */
  float *mean, *variance, *inverse, *factor, *gain, *offset; /* factor: gamma, or its power of two */
  float *magnitude, *dmagnitude; /* [images][pixels], of SCALED_SIGN; else null */
  float *k, *dk;        /* [images][height][width], [images][blocks][height][width], behind SCALED_SIGN; else null */

  /* backward */
  float *slope, *curve, *constant;
  int before, dz_rows, dz_columns; /* padding in front of the gradient of the sums; its map */
  uint16_t *dz;         /* [images][dz_rows][dz_columns][outputs] */
  int out_pairs, sources, source_channels, source_blocks; /* of a dense layer: pixels of the map in front */
  uint32_t *back;       /* [sources][source_blocks][taps][out_pairs][BLOCK]: weights by inputs */
  int phases;
  RealPhase *phase;
  int lane_blocks, chunks; /* of a kernel's row; in which products of weights are shared out */
  int group, pairs, phase_rows; /* images taken together; pairs of pixels in a row; rows of x in a phase of the stride */
  int is_straight;      /* products are made where they are wanted; else here: */
  float *products;      /* [blocks * BLOCK][kernel][lane_blocks * BLOCK] */
} RealLayer;

/* A trained tensor. */
typedef struct {
  float *value, *first, *second;
  const float *gradient;
  size_t count;
  float rate_scale;
  int is_latent;
} RealTensor;

enum { REAL_PREPARE, REAL_FORWARD, REAL_INPUTS, REAL_WEIGHTS, REAL_TIMES };

typedef struct {
  float *z;
  uint32_t *gradient_pairs; /* [group][height][pairs][BLOCK] */
  uint32_t *input_pairs;    /* [group][stride][phase_rows][pairs][BLOCK] */
  Run *runs;
} RealSpace;

typedef struct {
  const RealStepKernels *kernels;
  Adam adam;
  int layers, batch, classes, threads, is_hinge, has_shifts;
  int height, width, channels, is_sliced, slices;
  SliceSpec *slice;
  RealLayer *layer;
  int tensors;
  RealTensor *tensor;
  Pool *pool;
  RealSpace *space;

  /* the step under way */
  int current, learns;
  void (*task)(void *context, int index, int thread);
  const uint8_t *pixels;
  const uint16_t *labels;
  const float *targets; /* [batch][classes], or null */
  float sharpness;
  float latent_rate, float_rate;
  float *scores; /* [batch][classes] */
  double loss;
  int correct;
  double seconds[REAL_TIMES];

  Allocation *allocations;
  size_t bytes;
} RealStep;

typedef struct {
  const ModelSpec *model;
  int batch, threads, is_hinge, has_shifts;
  const int32_t *activation; /* [layers] */
  const LayerArrays *arrays; /* [layers] */
  int tensors;
  const RealTensor *tensor;
} RealSpec;

/* Null and a reason in `why` where it would need more than `most` bytes, or there is no memory. */
RealStep *build_real_step(const RealSpec *spec, const RealStepKernels *kernels, size_t most, const char **why);
void free_real_step(RealStep *step);

/* Forward, loss, gradients; or, where it does not learn, forward alone. */
void run_real_step(RealStep *step);
/* Adam on every tensor. */
void update_real_step(RealStep *step);

/* K of image `n` from the magnitudes in front, and their gradients from those of what it scaled: scales.c */
void find_scales(const RealLayer *layer, int n);
void find_magnitude_gradients(const RealLayer *layer, int n);

void prepare_real_weights(RealStep *step);
void run_real_forward(RealStep *step);
void run_real_backward(RealStep *step);
/* Numbers below 2^-126 are taken for 0, in operands and in results; returns the mode before, to go back to. */
uint64_t flush_tiny(void);
void restore_mode(uint64_t mode);
/* run_tasks in that mode. */
void share_out(RealStep *step, Task task, int count);

/* Channels of block `j` of the inputs whose gradients are made together, and the first one's place in the tap. */
static inline int lanes_of(int channels, int block) { return channels - block * BLOCK < BLOCK ? channels - block * BLOCK : BLOCK; }
/* Sums, or gradients, of one block of one image. */
static inline size_t block_at(const RealLayer *layer, int image, int block) {
  return ((size_t)image * layer->blocks + block) * layer->pixels * BLOCK;
}
static inline Line line_of(const RealStep *step, const RealLayer *layer, int block) {
  const int at = block * BLOCK;
  return (Line){layer->mean + at, layer->gain + at, layer->offset + at, layer->activation, step->sharpness};
}
/* The nearest power of two, by the logarithm: bits of a float to bits of one; sqrt(2) lies between 0x3fb504f3 and the next. 0 stays. */
enum { UP_FROM_ROOT_OF_2 = 0x3f800000 - 0x3f3504f4, EXPONENT = 0x7f800000 };
static inline float power_of_two(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits = (((bits & INT32_MAX) + UP_FROM_ROOT_OF_2) & EXPONENT) | (bits & 0x80000000);
  memcpy(&x, &bits, 4);
  return x;
}

#endif
