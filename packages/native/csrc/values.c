/* What JavaScript hands over, checked; and what it gets back: what all doors share. */
#include "addon.h"
#include <stdlib.h>
#include <string.h>

enum { MODEL_NUMBERS = 10, SLICE_NUMBERS = 3, LAYER_NUMBERS = 17 };

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

const void *array_at(napi_env env, napi_value arrays, uint32_t index, napi_typedarray_type type, size_t count) {
  napi_value value;
  size_t found = 0;
  if (napi_get_element(env, arrays, index, &value) != napi_ok) return 0;
  const void *data = elements(env, value, type, &found);
  return data && found == count ? data : 0;
}

void *wrapped(napi_env env, napi_value value, const napi_type_tag *tag) {
  bool is_ours = false;
  void *handle = 0;
  if (napi_check_object_type_tag(env, value, tag, &is_ours) == napi_ok && is_ours && napi_unwrap(env, value, &handle) == napi_ok)
    return handle;
  fail(env, "internal: this is no handle of that kind");
  return 0;
}

napi_value wrap(napi_env env, void *data, const napi_type_tag *tag, napi_finalize finalize, size_t bytes) {
  napi_value object, number;
  int64_t total;
  napi_create_object(env, &object);
  napi_type_tag_object(env, object, tag);
  napi_wrap(env, object, data, finalize, 0, 0);
  napi_create_double(env, (double)bytes, &number);
  napi_set_named_property(env, object, "bytes", number);
  napi_adjust_external_memory(env, (int64_t)bytes, &total);
  return object;
}

void forget_bytes(napi_env env, size_t bytes) {
  int64_t total;
  if (bytes) napi_adjust_external_memory(env, -(int64_t)bytes, &total);
}

napi_value refuse(napi_env env, const char *why) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  return pending ? 0 : fail(env, why);
}

napi_value names_of(napi_env env, InstructionSet (*at)(int index)) {
  napi_value list, name;
  napi_create_array(env, &list);
  uint32_t count = 0;
  for (int i = 0; at(i).name; i++)
    if (at(i).supported()) {
      napi_create_string_utf8(env, at(i).name, NAPI_AUTO_LENGTH, &name);
      napi_set_element(env, list, count++, name);
    }
  return list;
}

int place_of(napi_env env, napi_value value, InstructionSet (*at)(int index)) {
  char name[32] = "";
  napi_get_value_string_utf8(env, value, name, sizeof name, 0);
  for (int i = 0; at(i).name; i++)
    if (strcmp(at(i).name, name) == 0 && at(i).supported()) return i;
  fail(env, "this processor has not the instructions that were asked for");
  return -1;
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
