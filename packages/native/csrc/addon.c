/*
 * The Node-API door. A model comes as numbers and arrays (src/index.ts writes them, in the order that `read_model` reads them), and goes
 * back as a handle. A run in the background takes a workspace of its own, so any number of them can be under way.
 */
#include "addon.h"
#include <stdlib.h>
#include <string.h>

static const napi_type_tag handle_tag = {0x6a1c41b2d0574e0full, 0x9b0f5f0d3c5a7731ull};

typedef struct {
  Engine *engine;
  Workspace *own; /* of runs that are waited for */
  Workspace **free;
  int free_count, workspaces;
  size_t reported; /* bytes that the garbage collector was told of */
} Handle;

/* Workspaces that are kept for later runs. */
enum { IDLE = 4 };

static void free_handle(napi_env env, void *data, void *hint) {
  (void)hint;
  Handle *handle = data;
  forget_bytes(env, handle->reported);
  if (handle->own) free_workspace(handle->own);
  for (int i = 0; i < handle->free_count; i++) free_workspace(handle->free[i]);
  free(handle->free);
  free_engine(handle->engine);
  free(handle);
}

static Handle *handle_of(napi_env env, napi_value value) { return wrapped(env, value, &handle_tag); }

static InstructionSet set_at(int i) {
  return all_kernels[i] ? (InstructionSet){all_kernels[i]->name, all_kernels[i]->supported} : (InstructionSet){0};
}

static napi_value kernel_names(napi_env env, napi_callback_info info) {
  (void)info;
  return names_of(env, set_at);
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

/* An engine and its workspace, or neither and a reason. */
static void lay_out(Handle *handle, const ModelSpec *model, const Kernels *kernels, Ways ways, size_t most, const char **why) {
  handle->engine = build_engine(model, kernels, ways, most, why);
  if (!handle->engine) return;
  handle->own = make_workspace(handle->engine);
  if (handle->own) return;
  free_engine(handle->engine);
  handle->engine = 0;
  *why = "it needs too much memory";
}

/* create(numbers, arrays, kernels, most bytes, how the first layer is computed, and convolutions of bits) */
static napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 6, length = 0;
  napi_value argument[6];
  double most = 0;
  int32_t first = FASTER, convolutions = EITHER;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  const int32_t *numbers = elements(env, argument[0], napi_int32_array, &length);
  if (!numbers) return 0;
  const int set = place_of(env, argument[2], set_at);
  if (set < 0) return 0;
  napi_get_value_double(env, argument[3], &most);
  napi_get_value_int32(env, argument[4], &first);
  napi_get_value_int32(env, argument[5], &convolutions);

  ModelSpec model = {0};
  Handle *handle = calloc(1, sizeof *handle);
  const char *why = "internal: the model's numbers and arrays do not fit together";
  if (handle && read_model(env, numbers, length, argument[1], &model)) {
    const Ways ways = {(First)first, (Convolutions)convolutions};
    lay_out(handle, &model, all_kernels[set], ways, (size_t)most, &why);
    /* What was not asked for, in another way: permutations take more room than tables, and which convolutions take less depends on the layer. */
    const int asked = convolutions != EITHER;
    for (int i = 0; !handle->own && i < (asked ? first == FASTER : 2); i++) {
      const Ways other = {first == FASTER ? BY_TABLES : ways.first, asked ? ways.convolutions : i == 0 ? COUNTED : LOOKED_UP};
      lay_out(handle, &model, all_kernels[set], other, (size_t)most, &why);
    }
  }
  free_shapes(&model);
  if (!handle || !handle->own) {
    free(handle);
    return refuse(env, why);
  }
  handle->reported = handle->engine->bytes + handle->own->bytes;
  return wrap(env, handle, &handle_tag, free_handle, handle->reported);
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
