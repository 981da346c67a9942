/* What both kinds of networks of real sums share. */
#include "real.h"
#include <stdlib.h>

extern const RealKernels portable_real;
#if defined(__x86_64__)
extern const RealKernels avx512_real, avx2_real;
#elif defined(__aarch64__)
extern const RealKernels neon_real;
#endif

const RealKernels *const all_real_kernels[] = {
#if defined(__x86_64__)
    &avx512_real,
    &avx2_real,
#elif defined(__aarch64__)
    &neon_real,
#endif
    &portable_real,
    0,
};

/* Bits are scaled by K of what they were, so all hidden layers are of one kind; pruned layers lie one behind the other. */
static const char *refusal(const ModelSpec *model, const RealSpec *layers) {
  int sparse = 0;
  for (int k = 0; k < model->layers; k++) sparse += layers[k].form == SPARSE;
  if (sparse > 0 && sparse < model->layers) return "internal: sparse layers beside others were not expected";
  if (layers->form == BINARY) return "internal: a first layer of floats was expected";
  for (int k = 0; k < model->layers; k++)
    /* Offsets are 32 bits. */
    if ((double)model->layer[k].input_channels * (model->layer[k].input_height + MOST_KERNEL) *
            (model->layer[k].input_width + MOST_KERNEL) * BATCH > 4e9)
      return "it needs too much memory";
  return 0;
}

RealEngine *build_real(const ModelSpec *model, const RealSpec *layers, int has_k, const RealKernels *kernels, size_t most,
                       const char **why) {
  *why = refusal(model, layers);
  if (*why) return 0;
  RealEngine *engine = calloc(1, sizeof *engine);
  *why = "there is no memory left for it";
  if (!engine) return 0;
  engine->kernels = kernels;
  engine->most = most;
  engine->layers = model->layers;
  engine->classes = model->classes;
  engine->has_k = has_k;
  engine->image = (size_t)model->layer->input_height * model->layer->input_width * model->layer->input_channels;
  if (layers->form == SPARSE ? build_pruned(engine, model, layers) : build_xnor(engine, model, layers)) return engine;
  *why = "it needs too much memory";
  free_real(engine);
  return 0;
}

void free_real(RealEngine *engine) {
  free_all(engine->allocations);
  free(engine);
}

RealWorkspace *make_real_workspace(const RealEngine *engine) {
  RealWorkspace *workspace = calloc(1, sizeof *workspace);
  if (!workspace) return 0;
  if (engine->pruned ? make_pruned_workspace(engine, workspace) : make_xnor_workspace(engine, workspace)) return workspace;
  free_real_workspace(workspace);
  return 0;
}

void free_real_workspace(RealWorkspace *workspace) {
  free_all(workspace->allocations);
  free(workspace);
}

void run_real(const RealEngine *engine, RealWorkspace *workspace, const float *planes, int count, float *scores) {
  for (int start = 0; start < count; start += BATCH) {
    const int n = count - start < BATCH ? count - start : BATCH;
    (engine->pruned ? run_pruned : run_xnor)(engine, workspace, planes + start * engine->image, n,
                                             scores + (size_t)start * engine->classes);
  }
}
