/*
 * A packed model as the kernels read it. Words are uint64: bit c of a pixel's words is channel c, 1 = +1, and the bits behind
 * the last channel are 0, in activations and in weights alike, so that they never count.
 *
 * Kernels compute BLOCK output channels at TILE places (pixels, or images of a batch) at a time. A place says where in the
 * input its window begins and where its output goes, so a kernel knows nothing of strides, borders or batches.
 */
#ifndef CBNN_LAYERS_H
#define CBNN_LAYERS_H
#include <stddef.h>
#include <stdint.h>

enum { BLOCK = 32, TILE = 4 };
_Static_assert(TILE == 4, "a tile is a 2x2 window");

typedef struct {
  /* first word (bits), index (tables) or value (products) of the window */
  uint32_t from;
  /* of the output, in units of 32 channels */
  uint32_t to;
  /* which of the layer's limits hold here: windows that reach over the border have others */
  uint32_t kind;
} Place;

/* Weights are bits, inputs are bits. */
typedef struct {
  int outputs, blocks;
  int rows;                /* of the kernel */
  int run;                 /* words of a kernel row */
  int row_stride;          /* words from input row to input row */
  uint64_t *weights;       /* [blocks][rows * run][BLOCK] */
  int pools;               /* the TILE places that follow each other are a 2x2 window, whose bits are or-ed */
  int64_t *limits;         /* [kinds][blocks * BLOCK]: the bit is mismatches <= limit */
} BitLayer;

/* The first layer, by tables: what each value of four slices (a part) adds to BLOCK outputs. Entry 16 is nothing. */
enum { ENTRIES = 17 };
typedef struct {
  int outputs, blocks;
  int rows, run, row_stride; /* of indices: one per part */
  void *tables;              /* [blocks][rows * run][ENTRIES][BLOCK] of int16 or int32 */
  void *thresholds;          /* [blocks * BLOCK] of the same */
} TableLayer;

/*
 * The first layer by permutations: its tables are vectors, and what each value of five slices (a part) adds to an output is permuted
 * to the positions of a vector. Taps outside the image take entry 0, whose sum `starts` makes good. Vectors are those of rows, or of rows
 * one behind the other with the border between.
 */
enum { FIVE = 5, LANES16 = 1 << FIVE, TOGETHER = 4 };
typedef struct {
  int blocks, parts, vectors; /* vectors: a multiple of TOGETHER */
  int steps;                  /* taps and parts */
  size_t plane;               /* of one part: [part][plane] */
  uint32_t *at;               /* [steps]: where a step's indices begin */
  uint32_t *from;             /* [vectors]: and each vector's */
  int16_t *tables;            /* [blocks * BLOCK][steps][LANES16] */
  uint16_t *kinds;            /* [vectors][LANES16]: which taps are outside */
  int16_t *starts;            /* [blocks * BLOCK][LANES16]: by kind */
  int16_t *thresholds;        /* [blocks * BLOCK] */
  int32_t *to;                /* [vectors][LANES16]: as in Place; -1 where nothing is wanted */
} PermutedLayer;

/* The first layer where tables would be too large, dense ones above all: plain products. */
typedef struct {
  int outputs;
  int rows, run, row_stride; /* of values */
  int16_t *weights;          /* [outputs][rows * run] */
} ProductLayer;

/* Weights and inputs are bits, and mismatches are looked up: lookup.h. */
enum {
  GROUP = 5,
  PATTERNS = 1 << GROUP,
  /* of an output before its bytes may overflow: no kernel has more than 7x7 taps (limits.ts), so a group fits */
  LOOKUPS = UINT8_MAX / GROUP,
  /* offset of the first table: before it lies an entry of nothing */
  LOOKUP_NOTHING = 64,
};

/* `lookups`: of each output, and column where they are apart. */
typedef struct {
  int first, groups, lookups;
} LookupPass;

typedef struct {
  int outputs, blocks;
  int kernel;
  int apart, centre;        /* columns of the kernel that are summed up apart, and the one whose sums are in their places; or 1 and 0 */
  int rows, columns, words; /* of the padded input */
  int groups, pitch;
  int tile, tiles;          /* positions of a tile */
  int entry_bytes;          /* a table's entry: positions of half a tile, and of its kernels' other rows */
  size_t group_stride;
  size_t byte_stride;       /* from one plane of eight channels to the next */
  uint8_t *inside;          /* [group_stride]: 1 inside the image */
  int passes;
  LookupPass *pass;
  uint16_t *indices;        /* of each pass: [outputs][apart][lookups] */
  uint8_t *start_of;        /* [outputs]: which of two starts */
  /* engines alone: from sums to bits */
  uint16_t *starts;         /* [2][tiles * tile], in the order of the sums */
  uint16_t *limits;         /* [outputs]: the bit is sum < limit */
  int32_t *to;              /* [tiles * tile]: as in Place; -1 where nothing is wanted */
} LookupLayer;

typedef struct {
  uint8_t *bytes, *line; /* planes of eight channels, and one of five */
  uint8_t *planes, *tables;
  void *sums;
} LookupSpace;

/* Bytes of them, of the largest of some layers. */
typedef struct {
  size_t bytes, planes, sums;
} LookupSizes;

/* The same functions for every instruction set: kernels-*.c. */
typedef struct {
  const char *name;
  int (*supported)(void);
  /* out[place.to + block]: the bits of one block */
  void (*bits)(const BitLayer *, const Place *, int places, const uint64_t *in, uint32_t *out);
  /* bytes of the vectors of `lookups`; 0 where counting is always faster */
  int lookup_bytes;
  void (*lookups)(const LookupLayer *, const uint64_t *in, LookupSpace *, uint32_t *out);
  /* For training: out[block][position][BLOCK], mismatches at every position. */
  void (*lookup_counts)(const LookupLayer *, const uint64_t *in, LookupSpace *, uint16_t *out);
  /* out[place.to * BLOCK + output]: mismatches */
  void (*mismatches)(const BitLayer *, const Place *, int places, const uint64_t *in, int32_t *out);
  /* `in`: byte offsets of table entries. Sums of tables16 are taken modulo 2^16: only the whole sum has to fit. */
  void (*tables16)(const TableLayer *, const Place *, int places, const uint16_t *in, uint32_t *out);
  void (*tables32)(const TableLayer *, const Place *, int places, const uint16_t *in, uint32_t *out);
  /* Null where vectors of 16-bit lanes cannot be permuted. `masks`: room for [vectors][BLOCK]. */
  void (*permuted)(const PermutedLayer *, const uint16_t *in, uint32_t *masks, uint32_t *out);
  /* out[place * outputs + output]: sums */
  void (*products)(const ProductLayer *, const Place *, int places, const int16_t *in, int32_t *out);
  /* Counts `steps` times in registers alone, as fast as the processor can; returns how many products that is. */
  double (*limit)(int steps);
  /* For training: out[place][BLOCK], mismatches of one block at `places` places (a multiple of TILE). */
  void (*counts)(const BitLayer *, int block, const uint32_t *from, int places, const uint64_t *in, int32_t *out);
  /* out[pixel * pitch + block]: sum >= threshold, or its opposite where `inverted`; sums are [pixels][blocks][BLOCK]. */
  void (*activate16)(const void *sums, int pixels, int blocks, const void *thresholds, const uint32_t *inverted,
                     uint32_t *out, size_t pitch);
  void (*activate32)(const void *sums, int pixels, int blocks, const void *thresholds, const uint32_t *inverted,
                     uint32_t *out, size_t pitch);
} Kernels;

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx512_kernels, avx2_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels;
#endif

/* Fastest first; ends with the portable ones, which every CPU has. */
extern const Kernels *const all_kernels[];

#endif
