/*
 * Networks whose sums are real numbers: XNOR-Net, whose hidden layers multiply bits with bits and scale the sums (xnor.c), and
 * pruned networks, which multiply what is left of their weights (sparse.c). Which float is rounded when is said in
 * src/real-reference.ts; every instruction set gives the same bits.
 */
#ifndef CBNN_REAL_H
#define CBNN_REAL_H
#include "../engine.h"

/* How a layer multiplies: src/real-network.ts numbers them so. */
typedef enum { REAL, BINARY, SPARSE, FORMS } Form;

typedef struct {
  const LayerSpec *shape;
  Form form;
  /* [outputs][fan_in]: those of a binary layer are +-alpha, one alpha for each output; [outputs] the others. Of the caller. */
  const float *weights, *mean, *scale, *beta;
} RealSpec;

/* Weights and inputs are float32. */
typedef struct {
  int rows;       /* of the kernel */
  int run;        /* values of a kernel row */
  int row_stride; /* values from input row to input row */
  float *weights; /* [blocks][rows * run][BLOCK] */
} FloatLayer;

/* The weights of a layer that are not 0, an output behind the other. */
typedef struct {
  int outputs;
  uint32_t *start;  /* [outputs + 1] */
  uint32_t *offset; /* of the value that one is multiplied with */
  float *weight;
} SparseRows;

/* Partial sums of a sparse dense layer: one alone would wait for every addition. */
enum { PARTIALS = 4 };
/* Images that a sparse dense layer takes together, side by side. */
enum { IMAGES = 16 };

/* For every instruction set: floats-*.c. All arrays [n][BLOCK] hold one block of outputs at n places. */
typedef struct {
  const Kernels *bits;
  /* sums [places][BLOCK] of one block; `places` is a multiple of TILE */
  void (*products)(const FloatLayer *, int block, const uint32_t *from, int places, const float *in, float *sums);
  /* sums = (base - 2 * mismatches) * alpha * k; bases [kinds], `stride` apart */
  void (*scale)(const int32_t *mismatches, const uint32_t *kind, const int32_t *bases, size_t stride, const float *alpha,
                const float *k, int places, float *sums);
  /* y = (largest sum of `window` places - mean) * scale + beta */
  void (*normalize)(const float *sums, int windows, int window, const float *mean, const float *scale, const float *beta, float *y);
  /* totals += |y| */
  void (*magnitudes)(const float *y, int windows, float *totals);
  /* One row at `positions` neighbouring places: out[i] = the sum of weight * in[offset + i]. Writes whole vectors. */
  void (*slide)(const SparseRows *, int row, const float *in, int positions, float *out);
  /* One row for IMAGES images, in [value][IMAGES], in PARTIALS sums. */
  void (*gather)(const SparseRows *, int row, const float *in, float *out);
} RealKernels;

/* Those of `all_kernels`, in their order. */
extern const RealKernels *const all_real_kernels[];

typedef struct XnorLayer XnorLayer;
typedef struct PrunedLayer PrunedLayer;

typedef struct {
  const RealKernels *kernels;
  int layers, classes;
  int has_k;         /* sums of binary layers are scaled by K */
  size_t image;      /* floats of an image, [channels][height][width] */
  XnorLayer *xnor;   /* one of the two */
  PrunedLayer *pruned;
  size_t sums, maps; /* floats of the workspace's scratch */
  Allocation *allocations;
  size_t bytes, most;
} RealEngine;

typedef struct {
  void **input;      /* of each layer: one image, of dense layers a batch */
  float **magnitude; /* of each binary layer's input, mean of |y| over channels */
  void *counts;
  float *sums, *y, *totals, *rows, *k;
  Allocation *allocations;
  size_t bytes;
} RealWorkspace;

/* Null and a reason in `why` where it needs more than `most` bytes or the forms do not go together. */
RealEngine *build_real(const ModelSpec *model, const RealSpec *layers, int has_k, const RealKernels *kernels, size_t most,
                       const char **why);
void free_real(RealEngine *engine);
RealWorkspace *make_real_workspace(const RealEngine *engine);
void free_real_workspace(RealWorkspace *workspace);

/* Scores [count][classes] of [count][channels][height][width], as the first layer sees images. */
void run_real(const RealEngine *engine, RealWorkspace *workspace, const float *planes, int count, float *scores);

/* The two kinds: false where there is no memory. */
int build_xnor(RealEngine *engine, const ModelSpec *model, const RealSpec *layers);
int make_xnor_workspace(const RealEngine *engine, RealWorkspace *workspace);
void run_xnor(const RealEngine *engine, RealWorkspace *workspace, const float *planes, int count, float *scores);
int build_pruned(RealEngine *engine, const ModelSpec *model, const RealSpec *layers);
int make_pruned_workspace(const RealEngine *engine, RealWorkspace *workspace);
void run_pruned(const RealEngine *engine, RealWorkspace *workspace, const float *planes, int count, float *scores);

#endif
