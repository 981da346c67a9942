/*
 * What the parts of the Node-API door share (values.c): addon.c is that of packed models, real/door.c of networks of real sums,
 * train/door.c and train-real/door.c of training.
 */
#ifndef CBNN_ADDON_H
#define CBNN_ADDON_H
#define NAPI_VERSION 8
#include "engine.h"
#include <node_api.h>
#include <stdbool.h>

/* Throws; returns null. */
napi_value fail(napi_env env, const char *message);
/* The same unless something was thrown already. */
napi_value refuse(napi_env env, const char *why);
/* The elements of a typed array of this type, and how many; null, and an exception, for anything else. */
void *elements(napi_env env, napi_value value, napi_typedarray_type type, size_t *count);
/* Those of one in a list, of `count` elements; null, and perhaps an exception, for anything else. */
const void *array_at(napi_env env, napi_value arrays, uint32_t index, napi_typedarray_type type, size_t count);
/* The elements of a float32 array that may be left out: of this many, or null; false, and an exception, for anything else. */
bool optional_floats(napi_env env, napi_value value, size_t count, const float **found);
/* What an object with this tag wraps; null, and an exception, for any other. */
void *wrapped(napi_env env, napi_value value, const napi_type_tag *tag);
/* An object with this tag that wraps `data`, and has its `bytes`; the garbage collector learns of them, and `finalize` makes it forget. */
napi_value wrap(napi_env env, void *data, const napi_type_tag *tag, napi_finalize finalize, size_t bytes);
void forget_bytes(napi_env env, size_t bytes);

/* One of a list of kernels; without a name behind the last. */
typedef struct {
  const char *name;
  int (*supported)(void);
} InstructionSet;
/* The names of those that this processor has. */
napi_value names_of(napi_env env, InstructionSet (*at)(int index));
/* The place of the one with this name; -1, and an exception, where the processor has none. */
int place_of(napi_env env, napi_value name, InstructionSet (*at)(int index));

/* Shapes as src/describe.ts writes them, weights left out; false where they do not fit together. To be freed either way. */
int read_shapes(const int32_t *numbers, size_t count, ModelSpec *model);
void free_shapes(ModelSpec *model);
/*
 * A promise of work(data) on a thread of libuv's pool; then done(data) on this one, and `data`, from malloc, is freed. The values are kept
 * alive until then. Where there is no memory, data is done with and freed at once, and an exception thrown.
 */
napi_value run_in_background(napi_env env, void (*work)(void *data), void (*done)(void *data), void *data, const napi_value *kept, int count);
/* Add the functions of train/door.c, real/door.c and train-real/door.c. */
void add_training(napi_env env, napi_value exports);
void add_real(napi_env env, napi_value exports);
void add_real_training(napi_env env, napi_value exports);

#endif
