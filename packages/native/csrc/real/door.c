/* Networks of real sums through Node-API. */
#include "../addon.h"
#include "real.h"
#include <stdlib.h>
#include <string.h>

/* Arrays of a layer; workspaces that are kept for later runs. */
enum { ARRAYS = 4, IDLE = 4 };

static const napi_type_tag handle_tag = {0x51d7c0b89a2e4f63ull, 0xa94e7d21f0b36c85ull};

typedef struct {
  RealEngine *engine;
  RealWorkspace *own; /* of runs that are waited for */
  RealWorkspace *idle[IDLE];
  int idle_count;
  size_t reported; /* bytes that the garbage collector was told of */
} Handle;

static void free_handle(napi_env env, void *data, void *hint) {
  (void)hint;
  Handle *handle = data;
  forget_bytes(env, handle->reported);
  if (handle->own) free_real_workspace(handle->own);
  for (int i = 0; i < handle->idle_count; i++) free_real_workspace(handle->idle[i]);
  if (handle->engine) free_real(handle->engine);
  free(handle);
}

static InstructionSet set_at(int i) {
  const RealKernels *kernels = all_real_kernels[i];
  return kernels ? (InstructionSet){kernels->bits->name, kernels->bits->supported} : (InstructionSet){0};
}

/* Four arrays a layer: weights, mean, scale, beta. */
static int read_layers(napi_env env, const int32_t *forms, napi_value arrays, const ModelSpec *model, RealSpec *layers) {
  uint32_t index = 0;
  for (int k = 0; k < model->layers; k++) {
    const float *found[ARRAYS];
    const size_t outputs = (size_t)model->layer[k].outputs;
    for (int i = 0; i < ARRAYS; i++) {
      const size_t expected = i == 0 ? outputs * model->layer[k].fan_in : outputs;
      if (!(found[i] = array_at(env, arrays, index++, napi_float32_array, expected))) return 0;
    }
    if (forms[k] < 0 || forms[k] >= FORMS) return 0;
    layers[k] = (RealSpec){model->layer + k, (Form)forms[k], found[0], found[1], found[2], found[3]};
  }
  return 1;
}

/* createReal(shapes, forms, has K, arrays, kernels, most bytes) */
static napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 6, shapes = 0, forms = 0;
  napi_value argument[6];
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  const int32_t *shape = elements(env, argument[0], napi_int32_array, &shapes);
  if (!shape) return 0;
  const int32_t *form = elements(env, argument[1], napi_int32_array, &forms);
  if (!form) return 0;
  bool has_k = false;
  napi_get_value_bool(env, argument[2], &has_k);
  const int set = place_of(env, argument[4], set_at);
  if (set < 0) return 0;
  double most = 0;
  napi_get_value_double(env, argument[5], &most);

  ModelSpec model = {0};
  RealSpec *layers = 0;
  Handle *handle = calloc(1, sizeof *handle);
  const char *why = "internal: the network's numbers and arrays do not fit together";
  if (handle && read_shapes(shape, shapes, &model) && forms == (size_t)model.layers && (layers = calloc(forms, sizeof *layers)) &&
      read_layers(env, form, argument[3], &model, layers)) {
    handle->engine = build_real(&model, layers, has_k, all_real_kernels[set], (size_t)most, &why);
    if (handle->engine && !(handle->own = make_real_workspace(handle->engine))) why = "it needs too much memory";
  }
  free(layers);
  free_shapes(&model);
  if (!handle || !handle->own) {
    if (handle) free_handle(env, handle, 0);
    return refuse(env, why);
  }
  handle->reported = handle->engine->bytes + handle->own->bytes;
  return wrap(env, handle, &handle_tag, free_handle, handle->reported);
}

/* What run and run_later take: (handle, planes, count, scores). */
typedef struct {
  Handle *handle;
  const float *planes;
  float *scores;
  int32_t count;
} Run;

static int read_run(napi_env env, napi_callback_info info, napi_value argument[4], Run *run) {
  size_t arguments = 4, planes = 0, scores = 0;
  napi_get_cb_info(env, info, &arguments, argument, 0, 0);
  run->handle = wrapped(env, argument[0], &handle_tag);
  if (!run->handle) return 0;
  run->planes = elements(env, argument[1], napi_float32_array, &planes);
  if (!run->planes) return 0;
  run->scores = elements(env, argument[3], napi_float32_array, &scores);
  if (!run->scores) return 0;
  napi_get_value_int32(env, argument[2], &run->count);
  const RealEngine *engine = run->handle->engine;
  if (run->count < 0 || planes != (size_t)run->count * engine->image || scores != (size_t)run->count * engine->classes) {
    fail(env, "internal: planes or scores of another length were expected");
    return 0;
  }
  return 1;
}

static napi_value run_now(napi_env env, napi_callback_info info) {
  napi_value argument[4];
  Run run = {0};
  if (read_run(env, info, argument, &run)) run_real(run.handle->engine, run.handle->own, run.planes, run.count, run.scores);
  return 0;
}

/* One run in the background, in a workspace of its own. */
typedef struct {
  Run run;
  RealWorkspace *workspace;
} Task;

static void execute(void *data) {
  const Task *task = data;
  const Run *run = &task->run;
  run_real(run->handle->engine, task->workspace, run->planes, run->count, run->scores);
}

static void complete(void *data) {
  const Task *task = data;
  Handle *handle = task->run.handle;
  if (handle->idle_count < IDLE) handle->idle[handle->idle_count++] = task->workspace;
  else free_real_workspace(task->workspace);
}

static napi_value run_later(napi_env env, napi_callback_info info) {
  napi_value argument[4];
  Task *task = calloc(1, sizeof *task);
  if (!task) return fail(env, "there is no memory left");
  if (!read_run(env, info, argument, &task->run)) {
    free(task);
    return 0;
  }
  Handle *handle = task->run.handle;
  task->workspace = handle->idle_count > 0 ? handle->idle[--handle->idle_count] : make_real_workspace(handle->engine);
  if (!task->workspace) {
    free(task);
    return fail(env, "there is no memory left for one more run");
  }
  const napi_value kept[3] = {argument[0], argument[1], argument[3]};
  return run_in_background(env, execute, complete, task, kept, 3);
}

void add_real(napi_env env, napi_value exports) {
  const napi_property_descriptor all[] = {
      {"createReal", 0, create, 0, 0, 0, napi_enumerable, 0},
      {"runReal", 0, run_now, 0, 0, 0, napi_enumerable, 0},
      {"runRealLater", 0, run_later, 0, 0, 0, napi_enumerable, 0},
  };
  napi_define_properties(env, exports, sizeof all / sizeof *all, all);
}
