/*
 * The Node-API door. A model comes as numbers and arrays (src/index.ts writes them, in the order that `read_model` reads them), and goes
 * back as a handle. A run in the background takes a workspace of its own, so any number of them can be under way.
 */
#include "addon.h"
#include <stdlib.h>
#include <string.h>

enum { MODEL_NUMBERS = 10, SLICE_NUMBERS = 3, LAYER_NUMBERS = 17 };

static const napi_type_tag handle_tag = {0x6a1c41b2d0574e0full, 0x9b0f5f0d3c5a7731ull};

typedef struct {
  Engine *engine;
  Workspace *own; /* of runs that are waited for */
  Workspace **free;
  int free_count, workspaces;
  int64_t reported; /* bytes that the garbage collector was told of */
} Handle;

/* Workspaces that are kept for later runs. */
enum { IDLE = 4 };

napi_value fail(napi_env env, const char *message) {
  napi_throw_error(env, 0, message);
  return 0;
}

void *elements(napi_env env, napi_value value, napi_typedarray_type type, size_t *count) {
  bool is_typed = false;
  napi_typedarray_type found;
  void *data;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env, value, &found, count, &data, 0, 0) != napi_ok || found != type) {
    fail(env, "internal: a typed array of another type was expected");
    return 0;
  }
  /* An empty array may have no memory. */
  return data ? data : "";
}

bool optional_floats(napi_env env, napi_value value, size_t count, const float **found) {
  napi_valuetype type;
  size_t length;
  *found = 0;
  napi_typeof(env, value, &type);
  if (type == napi_undefined) return true;
  *found = elements(env, value, napi_float32_array, &length);
  if (*found && length != count) {
    fail(env, "internal: targets of another length were expected");
    *found = 0;
  }
  return *found != 0;
}

static void free_handle(napi_env env, void *data, void *hint) {
  (void)hint;
  Handle *handle = data;
  int64_t total;
  if (handle->reported) napi_adjust_external_memory(env, -handle->reported, &total);
  if (handle->own) free_workspace(handle->own);
  for (int i = 0; i < handle->free_count; i++) free_workspace(handle->free[i]);
  free(handle->free);
  free_engine(handle->engine);
  free(handle);
}

void *wrapped(napi_env env, napi_value value, const napi_type_tag *tag) {
  bool is_ours = false;
  void *handle = 0;
  if (napi_check_object_type_tag(env, value, tag, &is_ours) == napi_ok && is_ours && napi_unwrap(env, value, &handle) == napi_ok)
    return handle;
  fail(env, "internal: this is no handle of that kind");
  return 0;
}

static Handle *handle_of(napi_env env, napi_value value) { return wrapped(env, value, &handle_tag); }

static napi_value kernel_names(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value list, name;
  napi_create_array(env, &list);
  uint32_t count = 0;
  for (int i = 0; all_kernels[i]; i++)
    if (all_kernels[i]->supported()) {
      napi_create_string_utf8(env, all_kernels[i]->name, NAPI_AUTO_LENGTH, &name);
      napi_set_element(env, list, count++, name);
    }
  return list;
}

typedef struct {
  const int32_t *numbers;
  size_t left;
} Reader;

static int next(Reader *reader) { return reader->left-- > 0 ? *reader->numbers++ : 0; }

int read_shapes(const int32_t *numbers, size_t count, ModelSpec *model) {
  Reader all = {numbers, count}, *reader = &all;
  if (reader->left < MODEL_NUMBERS) return 0;
  model->height = next(reader);
  model->width = next(reader);
  model->channels = next(reader);
  model->is_sliced = next(reader);
  model->is_coded = next(reader);
  model->slices = next(reader);
  model->low = next(reader);
  model->high = next(reader);
  model->classes = next(reader);
  model->layers = next(reader);
  if (model->slices < 0 || model->layers < 1 ||
      reader->left != (size_t)model->slices * SLICE_NUMBERS + (size_t)model->layers * LAYER_NUMBERS)
    return 0;
  SliceSpec *slice = malloc(sizeof *slice * (model->slices + 1));
  LayerSpec *layer = calloc(model->layers, sizeof *layer);
  model->slice = slice;
  model->layer = layer;
  if (!slice || !layer) return 0;
  for (int i = 0; i < model->slices; i++) {
    slice[i].channel = next(reader);
    slice[i].bit = next(reader);
    slice[i].shift = next(reader);
  }
  for (int k = 0; k < model->layers; k++, layer++) {
    layer->is_dense = next(reader);
    layer->input_height = next(reader);
    layer->input_width = next(reader);
    layer->input_channels = next(reader);
    layer->height = next(reader);
    layer->width = next(reader);
    layer->outputs = next(reader);
    layer->pool = next(reader);
    layer->pooled_height = next(reader);
    layer->pooled_width = next(reader);
    layer->kernel = next(reader);
    layer->stride = next(reader);
    layer->pad_start = next(reader);
    layer->pad_end = next(reader);
    layer->fan_in = next(reader);
    layer->has_integers = next(reader);
    layer->bound = next(reader);
    if (layer->kernel < 1 || layer->kernel > MOST_KERNEL || layer->outputs < 1 || layer->fan_in < 1) return 0;
  }
  return layer[-1].outputs == model->classes;
}

void free_shapes(ModelSpec *model) {
  free((void *)model->slice);
  free((void *)model->layer);
}

/* The next of `arrays`, of `count` elements; null for another size. */
static const void *array_at(napi_env env, napi_value arrays, uint32_t index, napi_typedarray_type type, size_t count) {
  napi_value value;
  size_t found = 0;
  if (napi_get_element(env, arrays, index, &value) != napi_ok) return 0;
  const void *data = elements(env, value, type, &found);
  return data && found == count ? data : 0;
}

/* Fills `model`, shapes and weights. False where numbers and arrays do not fit together. */
static int read_model(napi_env env, const int32_t *numbers, size_t count, napi_value arrays, ModelSpec *model) {
  if (!read_shapes(numbers, count, model)) return 0;
  uint32_t array = 0;
  if (model->is_coded) {
    model->code = array_at(env, arrays, array++, napi_uint8_array, 256);
    if (!model->code) return 0;
  }
  for (int k = 0; k < model->layers; k++) {
    LayerSpec *layer = (LayerSpec *)model->layer + k;
    const size_t outputs = (size_t)layer->outputs;
    layer->weights = layer->has_integers
                         ? array_at(env, arrays, array++, napi_int8_array, outputs * layer->fan_in)
                         : array_at(env, arrays, array++, napi_uint8_array, outputs * ((layer->fan_in + 7) / 8));
    if (!layer->weights) return 0;
    if (k + 1 < model->layers) {
      layer->thresholds = array_at(env, arrays, array++, napi_int32_array, outputs);
      if (!layer->thresholds) return 0;
    } else {
      layer->scale = array_at(env, arrays, array++, napi_int32_array, outputs);
      layer->bias = array_at(env, arrays, array++, napi_int32_array, outputs);
      if (!layer->scale || !layer->bias) return 0;
    }
  }
  return 1;
}

/* create(numbers, arrays, kernels, most bytes) */
static napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 4, length = 0;
  napi_value argument[4], result = 0;
  char name[32] = "";
  double most = 0;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  const int32_t *numbers = elements(env, argument[0], napi_int32_array, &length);
  if (!numbers) return 0;
  napi_get_value_string_utf8(env, argument[2], name, sizeof name, 0);
  napi_get_value_double(env, argument[3], &most);
  const Kernels *kernels = 0;
  for (int i = 0; all_kernels[i] && !kernels; i++)
    if (strcmp(all_kernels[i]->name, name) == 0 && all_kernels[i]->supported()) kernels = all_kernels[i];
  if (!kernels) return fail(env, "this processor has not the instructions that were asked for");

  ModelSpec model = {0};
  Handle *handle = calloc(1, sizeof *handle);
  const char *why = "internal: the model's numbers and arrays do not fit together";
  if (handle && read_model(env, numbers, length, argument[1], &model))
    handle->engine = build_engine(&model, kernels, (size_t)most, &why);
  free_shapes(&model);
  if (!handle || !handle->engine) {
    free(handle);
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    return pending ? 0 : fail(env, why);
  }
  handle->own = make_workspace(handle->engine);
  if (!handle->own) {
    free_handle(env, handle, 0);
    return fail(env, "it needs too much memory");
  }
  napi_create_object(env, &result);
  napi_type_tag_object(env, result, &handle_tag);
  napi_wrap(env, result, handle, free_handle, 0, 0);
  int64_t total;
  handle->reported = (int64_t)(handle->engine->bytes + handle->own->bytes);
  napi_adjust_external_memory(env, handle->reported, &total);
  return result;
}

/* What run and run_later take: (handle, pixels, count, prepared, scores). */
typedef struct {
  Handle *handle;
  const uint8_t *pixels;
  int32_t *scores;
  int32_t count;
  bool prepared;
} Run;

static int read_run(napi_env env, napi_callback_info info, napi_value argument[5], Run *run) {
  size_t arguments = 5, pixels = 0, scores = 0;
  napi_get_cb_info(env, info, &arguments, argument, 0, 0);
  run->handle = handle_of(env, argument[0]);
  if (!run->handle) return 0;
  run->pixels = elements(env, argument[1], napi_uint8_array, &pixels);
  if (!run->pixels) return 0;
  run->scores = elements(env, argument[4], napi_int32_array, &scores);
  if (!run->scores) return 0;
  napi_get_value_int32(env, argument[2], &run->count);
  napi_get_value_bool(env, argument[3], &run->prepared);
  const Engine *engine = run->handle->engine;
  if (run->count < 0 || pixels != (size_t)run->count * engine->height * engine->width * engine->channels ||
      scores != (size_t)run->count * engine->classes) {
    fail(env, "internal: pixels or scores of another length were expected");
    return 0;
  }
  return 1;
}

static napi_value run_now(napi_env env, napi_callback_info info) {
  napi_value argument[5];
  Run run = {0};
  if (read_run(env, info, argument, &run))
    run_images(run.handle->engine, run.handle->own, run.pixels, run.count, run.prepared, run.scores);
  return 0;
}

/* One run in the background. */
typedef struct {
  Run run;
  Workspace *workspace;
} Task;

static void execute(void *data) {
  const Task *task = data;
  const Run *run = &task->run;
  run_images(run->handle->engine, task->workspace, run->pixels, run->count, run->prepared, run->scores);
}

static void complete(void *data) {
  const Task *task = data;
  Handle *handle = task->run.handle;
  if (handle->free_count < IDLE) handle->free[handle->free_count++] = task->workspace;
  else {
    free_workspace(task->workspace);
    handle->workspaces--;
  }
}

/* A workspace that no other run has; room to give it back is made before. */
static Workspace *borrow_workspace(Handle *handle) {
  if (handle->free_count > 0) return handle->free[--handle->free_count];
  Workspace **room = realloc(handle->free, sizeof *room * (handle->workspaces + 1));
  if (!room) return 0;
  handle->free = room;
  Workspace *made = make_workspace(handle->engine);
  if (made) handle->workspaces++;
  return made;
}

static napi_value run_later(napi_env env, napi_callback_info info) {
  napi_value argument[5];
  Task *task = calloc(1, sizeof *task);
  if (!task) return fail(env, "there is no memory left");
  if (!read_run(env, info, argument, &task->run)) {
    free(task);
    return 0;
  }
  task->workspace = borrow_workspace(task->run.handle);
  if (!task->workspace) {
    free(task);
    return fail(env, "there is no memory left for one more run");
  }
  const napi_value kept[3] = {argument[0], argument[1], argument[4]};
  return run_in_background(env, execute, complete, task, kept, 3);
}

/* bits(handle, hidden layer, out): after run */
static napi_value bits(napi_env env, napi_callback_info info) {
  size_t count = 3, length = 0;
  napi_value argument[3];
  int32_t k = -1;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = handle_of(env, argument[0]);
  if (!handle) return 0;
  napi_get_value_int32(env, argument[1], &k);
  uint8_t *out = elements(env, argument[2], napi_uint8_array, &length);
  if (!out) return 0;
  if (k < 0 || k + 1 >= handle->engine->layers) return fail(env, "internal: there is no such hidden layer");
  const Map *map = &handle->engine->layer[k].out;
  if (length != (size_t)map->height * map->width * map->channels) return fail(env, "internal: bits of another number");
  read_bits(handle->engine, handle->own, k, out);
  return 0;
}

/* measure(handle, rounds, out): nanoseconds of each layer, and behind them the limit in products a second */
static napi_value measure(napi_env env, napi_callback_info info) {
  size_t count = 3, length = 0;
  napi_value argument[3];
  int32_t rounds = 1;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = handle_of(env, argument[0]);
  if (!handle) return 0;
  napi_get_value_int32(env, argument[1], &rounds);
  double *out = elements(env, argument[2], napi_float64_array, &length);
  if (!out) return 0;
  if (rounds < 1 || length != (size_t)handle->engine->layers + 1) return fail(env, "internal: rounds, or times of another number");
  if (!measure_layers(handle->engine, handle->own, rounds, out)) return fail(env, "there is no memory left");
  return 0;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor all[] = {
      {"kernels", 0, kernel_names, 0, 0, 0, napi_enumerable, 0}, {"create", 0, create, 0, 0, 0, napi_enumerable, 0},
      {"run", 0, run_now, 0, 0, 0, napi_enumerable, 0},          {"runLater", 0, run_later, 0, 0, 0, napi_enumerable, 0},
      {"bits", 0, bits, 0, 0, 0, napi_enumerable, 0},            {"measure", 0, measure, 0, 0, 0, napi_enumerable, 0},
  };
  napi_define_properties(env, exports, sizeof all / sizeof *all, all);
  add_training(env, exports);
  add_real(env, exports);
  add_real_training(env, exports);
  return exports;
}
