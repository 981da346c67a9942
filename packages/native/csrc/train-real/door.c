/* Real training through Node-API. Weights, gradients and moments stay in JavaScript's arrays, which a step reads and writes in place. */
#include "../addon.h"
#include "step.h"
#include <stdlib.h>
#include <string.h>

enum { LAYER_ARRAYS = 6, TENSOR_ARRAYS = 4, TENSOR_NUMBERS = 2 };
/* Batch, threads, squared hinge, shift-based batch norm; then the layers' activations. */
enum { NUMBERS = 4 };
/* Loss, right answers, seconds. */
enum { RESULTS = 2 + REAL_TIMES };

static const napi_type_tag handle_tag = {0x6b1d0c9e7a5f4e22ull, 0x9c4e7a6b2d1f8a03ull};

typedef struct {
  RealStep *step;
  napi_ref arrays[3];
  bool busy;
  size_t reported;
} Handle;

static void free_handle(napi_env env, void *data, void *hint) {
  (void)hint;
  Handle *handle = data;
  /* Node ends in the middle of a step, whose threads still need it. */
  if (handle->busy) return;
  forget_bytes(env, handle->reported);
  for (int i = 0; i < 3; i++)
    if (handle->arrays[i]) napi_delete_reference(env, handle->arrays[i]);
  if (handle->step) free_real_step(handle->step);
  free(handle);
}

static InstructionSet set_at(int i) {
  const RealStepKernels *kernels = all_real_step_kernels[i];
  return kernels ? (InstructionSet){kernels->name, kernels->supported} : (InstructionSet){0};
}

static napi_value kernel_names(napi_env env, napi_callback_info info) {
  (void)info;
  return names_of(env, set_at);
}

/* Only the last layer hands on its batch norm as it is. */
static int are_activations(const int32_t *activation, int layers) {
  for (int k = 0; k < layers - 1; k++)
    if (activation[k] <= NO_ACTIVATION || activation[k] > DECAYING_SIGN) return 0;
  return activation[layers - 1] == NO_ACTIVATION;
}

static float *floats_at(napi_env env, napi_value arrays, uint32_t index, size_t count) {
  return (float *)array_at(env, arrays, index, napi_float32_array, count);
}

/* Six a layer: the weights multiplied with, gamma, beta, and their gradients. */
static int read_layers(napi_env env, napi_value arrays, const ModelSpec *model, LayerArrays *layer) {
  uint32_t index = 0;
  for (int k = 0; k < model->layers; k++) {
    const size_t outputs = (size_t)model->layer[k].outputs, weights = outputs * model->layer[k].fan_in;
    float *found[LAYER_ARRAYS];
    for (int i = 0; i < LAYER_ARRAYS; i++)
      if (!(found[i] = floats_at(env, arrays, index++, i % 3 ? outputs : weights))) return 0;
    layer[k] = (LayerArrays){found[0], found[1], found[2], found[3], found[4], found[5], 0};
  }
  return 1;
}

/* One a layer: of signs that are drawn what they are drawn by, else empty. */
static int read_noises(napi_env env, napi_value arrays, const ModelSpec *model, const int32_t *number, LayerArrays *layer) {
  for (int k = 0; k < model->layers; k++) {
    const LayerSpec *spec = model->layer + k;
    const size_t pixels = (size_t)spec->pooled_height * spec->pooled_width;
    const int may_be_drawn = number[NUMBERS + k] != SCALED_SIGN && number[NUMBERS + k] >= SIGN;
    size_t count = 0;
    napi_value value;
    if (napi_get_element(env, arrays, (uint32_t)k, &value) != napi_ok) return 0;
    const float *noise = elements(env, value, napi_float32_array, &count);
    if (!noise) return 0;
    if (count == 0) continue;
    if (!may_be_drawn || count != number[0] * pixels * spec->outputs) return 0;
    layer[k].noise = noise;
  }
  return 1;
}

/* Four a tensor: value, moments, gradient; and two numbers: the rate's factor, and 1 where it is latent. */
static int read_tensors(napi_env env, napi_value arrays, const float *number, int tensors, RealTensor *tensor) {
  uint32_t index = 0;
  for (int i = 0; i < tensors; i++) {
    float *found[TENSOR_ARRAYS];
    size_t count = 0;
    napi_value value;
    /* The values say how many there are: none would be no tensor. */
    if (napi_get_element(env, arrays, index, &value) != napi_ok || !elements(env, value, napi_float32_array, &count) || count == 0) return 0;
    for (int j = 0; j < TENSOR_ARRAYS; j++)
      if (!(found[j] = floats_at(env, arrays, index++, count))) return 0;
    tensor[i] = (RealTensor){found[0], found[1], found[2], found[3], count, number[2 * i], number[2 * i + 1] != 0};
  }
  return 1;
}

/* createRealTrainer(shapes, numbers, layers' arrays, tensors' arrays, noises, tensors' numbers, kernels, most bytes) */
static napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 8, shapes = 0, numbers = 0, scales = 0;
  napi_value argument[8];
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  const int32_t *shape = elements(env, argument[0], napi_int32_array, &shapes);
  const int32_t *number = shape ? elements(env, argument[1], napi_int32_array, &numbers) : 0;
  const float *scale = number ? elements(env, argument[5], napi_float32_array, &scales) : 0;
  if (!scale) return 0;
  const int set = place_of(env, argument[6], set_at);
  if (set < 0) return 0;
  double most = 0;
  napi_get_value_double(env, argument[7], &most);

  ModelSpec model = {0};
  LayerArrays *layers = 0;
  const int tensors = (int)(scales / TENSOR_NUMBERS);
  RealTensor *tensor = calloc((size_t)tensors + 1, sizeof *tensor);
  Handle *handle = calloc(1, sizeof *handle);
  const char *why = "internal: the trainer's numbers and arrays do not fit together";
  if (handle && tensor && read_shapes(shape, shapes, &model) && model.layer[model.layers - 1].is_dense &&
      numbers == (size_t)(NUMBERS + model.layers) && number[0] >= 1 && number[1] >= 1 && number[1] <= MOST_THREADS &&
      are_activations(number + NUMBERS, model.layers) &&
      (layers = calloc((size_t)model.layers, sizeof *layers)) && read_layers(env, argument[2], &model, layers) &&
      read_noises(env, argument[4], &model, number, layers) &&
      read_tensors(env, argument[3], scale, tensors, tensor)) {
    const RealSpec spec = {&model, number[0], number[1], number[2], number[3], number + NUMBERS, layers, tensors, tensor};
    handle->step = build_real_step(&spec, all_real_step_kernels[set], (size_t)most, &why);
    if (handle->step) handle->step->adam = fastest_adam();
  }
  free(layers);
  free(tensor);
  free_shapes(&model);
  if (!handle || !handle->step) {
    if (handle) free_handle(env, handle, 0);
    return refuse(env, why);
  }
  for (int i = 0; i < 3; i++) napi_create_reference(env, argument[2 + i], 1, &handle->arrays[i]);
  handle->reported = handle->step->bytes;
  return wrap(env, handle, &handle_tag, free_handle, handle->reported);
}

/* A step under way, on a thread of libuv's pool and those of the trainer. */
typedef struct {
  Handle *handle;
  double *results;
  float *statistics;
} Background;

static void execute_step(void *data) {
  const Background *task = data;
  RealStep *step = task->handle->step;
  run_real_step(step);
  float *statistics = task->statistics;
  for (int k = 0; k < step->layers; k++) {
    const RealLayer *layer = step->layer + k;
    memcpy(statistics, layer->mean, sizeof *statistics * layer->outputs);
    memcpy(statistics + layer->outputs, layer->variance, sizeof *statistics * layer->outputs);
    statistics += 2 * layer->outputs;
  }
  task->results[0] = step->learns ? step->loss : 0;
  task->results[1] = step->learns ? step->correct : 0;
  for (int i = 0; i < REAL_TIMES; i++) task->results[2 + i] = step->seconds[i];
}

static void execute_update(void *data) { update_real_step(((Background *)data)->handle->step); }

static void complete(void *data) { ((Background *)data)->handle->busy = false; }

static napi_value begin(napi_env env, void (*work)(void *data), Background run, const napi_value *kept, int count) {
  Background *task = malloc(sizeof *task);
  if (!task) return fail(env, "there is no memory left");
  *task = run;
  run.handle->busy = true;
  return run_in_background(env, work, complete, task, kept, count);
}

/* realStep(handle, pixels, labels, learns, results, statistics, targets or nothing, sharpness): a promise */
static napi_value step_later(napi_env env, napi_callback_info info) {
  size_t count = 8, pixels = 0, labels = 0, results = 0, statistics = 0;
  napi_value argument[8];
  bool learns = false;
  double sharpness = 0;
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = wrapped(env, argument[0], &handle_tag);
  if (!handle) return 0;
  RealStep *step = handle->step;
  const uint8_t *pixel = elements(env, argument[1], napi_uint8_array, &pixels);
  const uint16_t *label = pixel ? elements(env, argument[2], napi_uint16_array, &labels) : 0;
  double *result = label ? elements(env, argument[4], napi_float64_array, &results) : 0;
  float *statistic = result ? elements(env, argument[5], napi_float32_array, &statistics) : 0;
  if (!statistic) return 0;
  napi_get_value_bool(env, argument[3], &learns);
  napi_get_value_double(env, argument[7], &sharpness);
  size_t expected = 0;
  for (int k = 0; k < step->layers; k++) expected += 2 * (size_t)step->layer[k].outputs;
  if (pixels != (size_t)step->batch * step->height * step->width * step->channels || labels != (size_t)step->batch ||
      results != RESULTS || statistics != expected)
    return fail(env, "internal: arrays of another length were expected");
  for (int n = 0; n < step->batch; n++)
    if (label[n] >= step->classes) return fail(env, "internal: a label that is no class");
  const float *target;
  if (!optional_floats(env, argument[6], (size_t)step->batch * step->classes, &target)) return 0;
  if (handle->busy) return fail(env, "internal: a step is still under way");
  step->pixels = pixel;
  step->labels = label;
  step->targets = target;
  step->sharpness = (float)sharpness;
  step->learns = learns;
  const napi_value kept[6] = {argument[0], argument[1], argument[2], argument[4], argument[5], argument[6]};
  return begin(env, execute_step, (Background){handle, result, statistic}, kept, target ? 6 : 5);
}

/* realUpdate(handle, [latent rate, float rate]): a promise */
static napi_value update_later(napi_env env, napi_callback_info info) {
  size_t count = 2, rates = 0;
  napi_value argument[2];
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = wrapped(env, argument[0], &handle_tag);
  const float *rate = handle ? elements(env, argument[1], napi_float32_array, &rates) : 0;
  if (!rate) return 0;
  if (rates != 2 || handle->busy) return fail(env, "internal: two rates were expected, or a step is still under way");
  handle->step->latent_rate = rate[0];
  handle->step->float_rate = rate[1];
  return begin(env, execute_update, (Background){handle, 0, 0}, argument, 1);
}

/* realScores(handle, out): of the last batch, [batch][classes] */
static napi_value scores(napi_env env, napi_callback_info info) {
  size_t count = 2, length = 0;
  napi_value argument[2];
  napi_get_cb_info(env, info, &count, argument, 0, 0);
  Handle *handle = wrapped(env, argument[0], &handle_tag);
  float *out = handle ? elements(env, argument[1], napi_float32_array, &length) : 0;
  if (!out) return 0;
  const RealStep *step = handle->step;
  if (handle->busy || length != (size_t)step->batch * step->classes) return fail(env, "internal: scores of another number");
  memcpy(out, step->scores, sizeof *out * length);
  return 0;
}

void add_real_training(napi_env env, napi_value exports) {
  const napi_property_descriptor all[] = {
      {"realTrainingKernels", 0, kernel_names, 0, 0, 0, napi_enumerable, 0},
      {"createRealTrainer", 0, create, 0, 0, 0, napi_enumerable, 0},
      {"realStep", 0, step_later, 0, 0, 0, napi_enumerable, 0},
      {"realUpdate", 0, update_later, 0, 0, 0, napi_enumerable, 0},
      {"realScores", 0, scores, 0, 0, 0, napi_enumerable, 0},
  };
  napi_define_properties(env, exports, sizeof all / sizeof *all, all);
}
