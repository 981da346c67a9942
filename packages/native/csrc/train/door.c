/* Training through Node-API. Weights and moments stay in JavaScript's arrays, which a step reads and writes in place. */
#include "../addon.h"
#include "step.h"
#include <stdlib.h>
#include <string.h>

enum { PARAMETERS = 3 };
/* Loss, right answers, and seconds; then each layer's share of clipped and zero gradients, and max / rms of them. */
enum { RESULTS = 2 + WHOLES + SHARED, LAYER_RESULTS = 3 };

static const napi_type_tag handle_tag = {0x2f4a8c0d9b7e4d11ull, 0x8d3f6a5b1c2e7f90ull};

typedef struct {
  Step *step;
  napi_ref parameters;
  bool busy;
  size_t reported;
} Handle;

static void free_handle(napi_env env, void *data, void *hint) {
  (void)hint;
  Handle *handle = data;
  /* Node ends in the middle of a step, whose threads still need it. */
  if (handle->busy) return;
  forget_bytes(env, handle->reported);
  if (handle->parameters) napi_delete_reference(env, handle->parameters);
  if (handle->step) free_step(handle->step);
  free(handle);
}

static Handle *handle_of(napi_env env, napi_value value) { return wrapped(env, value, &handle_tag); }

static InstructionSet set_at(int i) {
  return all_step_kernels[i] ? (InstructionSet){all_step_kernels[i]->name, all_step_kernels[i]->supported} : (InstructionSet){0};
}

static napi_value kernel_names(napi_env env, napi_callback_info info) {
  (void)info;
  return names_of(env, set_at);
}

/* Nine arrays a layer: value, first and second moment of weights, gamma and beta. */
static int read_parameters(napi_env env, napi_value arrays, const ModelSpec *model, Parameter *parameters) {
  uint32_t index = 0;
  for (int k = 0; k < model->layers; k++)
    for (int i = 0; i < PARAMETERS; i++) {
      float *found[3];
      const size_t outputs = (size_t)model->layer[k].outputs, expected = i == 0 ? outputs * model->layer[k].fan_in : outputs;
      for (int j = 0; j < 3; j++)
        if (!(found[j] = (float *)array_at(env, arrays, index++, napi_float32_array, expected))) return 0;
      parameters[k * PARAMETERS + i] = (Parameter){found[0], found[1], found[2]};
    }
  return 1;
}

/* createTrainer(shapes, [batch, threads, hinge, integer, convolutions], place, rate scales, parameters, kernels, most bytes) */
static napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 7, shapes = 0, numbers = 0, places = 0, scales = 0;
  napi_value argument[7];
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  const int32_t *shape = elements(env, argument[0], napi_int32_array, &shapes);
  if (!shape) return 0;
  const int32_t *number = elements(env, argument[1], napi_int32_array, &numbers);
  if (!number) return 0;
  const float *place = elements(env, argument[2], napi_float32_array, &places);
  if (!place) return 0;
  const float *scale = elements(env, argument[3], napi_float32_array, &scales);
  if (!scale) return 0;
  const int set = place_of(env, argument[5], set_at);
  if (set < 0) return 0;
  double most = 0;
  napi_get_value_double(env, argument[6], &most);

  ModelSpec model = {0};
  Parameter *parameters = 0;
  Handle *handle = calloc(1, sizeof *handle);
  const char *why = "internal: the trainer's numbers and arrays do not fit together";
  if (handle && read_shapes(shape, shapes, &model) && numbers == 5 && number[0] >= 1 && number[1] >= 1 && number[1] <= MOST_THREADS &&
      places == (size_t)model.layer->input_channels && scales == (size_t)model.layers &&
      (parameters = calloc((size_t)model.layers * PARAMETERS, sizeof *parameters)) &&
      read_parameters(env, argument[4], &model, parameters)) {
    StepSpec spec = {&model, number[0], number[1], number[2], number[3], place, scale, parameters, (Convolutions)number[4]};
    handle->step = build_step(&spec, all_step_kernels[set], (size_t)most, &why);
    /* Counting may take less room. */
    if (!handle->step && spec.convolutions == EITHER) {
      spec.convolutions = COUNTED;
      handle->step = build_step(&spec, all_step_kernels[set], (size_t)most, &why);
    }
  }
  free(parameters);
  free_shapes(&model);
  if (!handle || !handle->step) {
    if (handle) free_handle(env, handle, 0);
    return refuse(env, why);
  }
  napi_create_reference(env, argument[4], 1, &handle->parameters);
  handle->reported = handle->step->bytes;
  return wrap(env, handle, &handle_tag, free_handle, handle->reported);
}

/* A step under way, on a thread of libuv's pool and those of the trainer. */
typedef struct {
  Handle *handle;
  double *results;
  float *statistics;
} Run;

static void execute(void *data) {
  const Run *task = data;
  Step *step = task->handle->step;
  run_step(step);
  const bool learns = step->number > 0;
  float *statistics = task->statistics;
  for (int k = 0; k < step->layers; k++) {
    const StepLayer *layer = step->layer + k;
    const size_t bytes = sizeof *statistics * layer->outputs;
    memcpy(statistics, layer->mean, bytes);
    memcpy(statistics + layer->outputs, layer->variance, bytes);
    statistics += 2 * layer->outputs;
    if (learns) gradient_report(step, k, task->results + RESULTS + LAYER_RESULTS * k);
  }
  task->results[0] = learns ? step->loss : 0;
  task->results[1] = learns ? step->correct : 0;
  for (int i = 0; i < WHOLES; i++) task->results[2 + i] = step->seconds[i];
  for (int i = 0; i < SHARED; i++) {
    task->results[2 + WHOLES + i] = 0;
    for (int t = 0; t < step->threads; t++) task->results[2 + WHOLES + i] += step->space[t].seconds[i];
  }
}

static void complete(void *data) { ((Run *)data)->handle->busy = false; }

/*
 * step(handle, pixels, labels, [latent rate, float rate], number, results, statistics, targets or nothing): a promise; nothing is learned in
 * step 0
 */
static napi_value step_later(napi_env env, napi_callback_info info) {
  size_t count = 8, pixels = 0, labels = 0, rates = 0, results = 0, statistics = 0;
  napi_value argument[8];
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = handle_of(env, argument[0]);
  if (!handle) return 0;
  Step *step = handle->step;
  const uint8_t *pixel = elements(env, argument[1], napi_uint8_array, &pixels);
  const uint16_t *label = pixel ? elements(env, argument[2], napi_uint16_array, &labels) : 0;
  const float *rate = label ? elements(env, argument[3], napi_float32_array, &rates) : 0;
  double *result = rate ? elements(env, argument[5], napi_float64_array, &results) : 0;
  float *statistic = result ? elements(env, argument[6], napi_float32_array, &statistics) : 0;
  if (!statistic) return 0;
  size_t expected = 0;
  for (int k = 0; k < step->layers; k++) expected += 2 * (size_t)step->layer[k].outputs;
  if (pixels != (size_t)step->batch * step->height * step->width * step->channels || labels != (size_t)step->batch || rates != 2 ||
      results != (size_t)(RESULTS + LAYER_RESULTS * step->layers) || statistics != expected)
    return fail(env, "internal: arrays of another length were expected");
  for (int n = 0; n < step->batch; n++)
    if (label[n] >= step->classes) return fail(env, "internal: a label that is no class");
  const float *target;
  if (!optional_floats(env, argument[7], (size_t)step->batch * step->classes, &target)) return 0;
  if (handle->busy) return fail(env, "internal: a step is still under way");
  Run *task = calloc(1, sizeof *task);
  if (!task) return fail(env, "there is no memory left");
  handle->busy = true;
  task->handle = handle;
  napi_get_value_uint32(env, argument[4], &step->number);
  task->results = result;
  task->statistics = statistic;
  step->pixels = pixel;
  step->labels = label;
  step->targets = target;
  step->latent_rate = rate[0];
  step->float_rate = rate[1];
  const napi_value kept[6] = {argument[0], argument[1], argument[2], argument[5], argument[6], argument[7]};
  return run_in_background(env, execute, complete, task, kept, target ? 6 : 5);
}

/* units(handle, values, sets): each layer's unit of the int8 gradient, read or set */
static napi_value units(napi_env env, napi_callback_info info) {
  size_t count = 3, length = 0;
  napi_value argument[3];
  bool sets = false;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = handle_of(env, argument[0]);
  if (!handle) return 0;
  float *value = elements(env, argument[1], napi_float32_array, &length);
  if (!value) return 0;
  napi_get_value_bool(env, argument[2], &sets);
  if (handle->busy || length != (size_t)handle->step->layers) return fail(env, "internal: units of another number, or a step under way");
  for (int k = 0; k < handle->step->layers; k++)
    if (sets) handle->step->layer[k].unit = value[k];
    else value[k] = handle->step->layer[k].unit;
  return 0;
}

/* scores(handle, out): of the last batch, [batch][classes] */
static napi_value scores(napi_env env, napi_callback_info info) {
  size_t count = 2, length = 0;
  napi_value argument[2];
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = handle_of(env, argument[0]);
  if (!handle) return 0;
  float *out = elements(env, argument[1], napi_float32_array, &length);
  if (!out) return 0;
  const Step *step = handle->step;
  if (handle->busy || length != (size_t)step->batch * step->classes) return fail(env, "internal: scores of another number");
  memcpy(out, step->scores, sizeof *out * length);
  return 0;
}

/* inspect(handle, layer, what, out): integers of the last step, for tests: see inspect.c */
static napi_value inspect(napi_env env, napi_callback_info info) {
  size_t count = 4, length = 0;
  napi_value argument[4];
  int32_t k = -1, what = -1;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = handle_of(env, argument[0]);
  if (!handle) return 0;
  napi_get_value_int32(env, argument[1], &k);
  napi_get_value_int32(env, argument[2], &what);
  int32_t *out = elements(env, argument[3], napi_int32_array, &length);
  if (!out) return 0;
  if (handle->busy || k < 0 || k >= handle->step->layers || !inspect_step(handle->step, k, what, out, length))
    return fail(env, "internal: nothing of this length to inspect");
  return 0;
}

/* dotLimit(kernels, steps): products done in registers alone, to be timed */
static napi_value limit(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value argument[2], result;
  int32_t steps = 0;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  const int set = place_of(env, argument[0], set_at);
  if (set < 0) return 0;
  napi_get_value_int32(env, argument[1], &steps);
  napi_create_double(env, all_step_kernels[set]->limit(steps), &result);
  return result;
}

void add_training(napi_env env, napi_value exports) {
  const napi_property_descriptor all[] = {
      {"trainingKernels", 0, kernel_names, 0, 0, 0, napi_enumerable, 0}, {"createTrainer", 0, create, 0, 0, 0, napi_enumerable, 0},
      {"step", 0, step_later, 0, 0, 0, napi_enumerable, 0},              {"units", 0, units, 0, 0, 0, napi_enumerable, 0},
      {"scores", 0, scores, 0, 0, 0, napi_enumerable, 0},                {"inspect", 0, inspect, 0, 0, 0, napi_enumerable, 0},
      {"dotLimit", 0, limit, 0, 0, 0, napi_enumerable, 0},
  };
  napi_define_properties(env, exports, sizeof all / sizeof *all, all);
}
