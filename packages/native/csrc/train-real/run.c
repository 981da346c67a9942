/* One step, and its loss; numbers below 2^-126 are 0 in it. And Adam, in which they are not. */
#include "step.h"

/* The loss, and its gradient to the last layer's dy. */
static void take_loss(RealStep *step) {
  RealLayer *last = step->layer + step->layers - 1;
  double loss = 0, gradient[step->classes];
  step->correct = 0;
  for (int n = 0; n < step->batch; n++) {
    const int label = step->labels[n];
    const float *target = step->targets ? step->targets + (size_t)n * step->classes : 0;
    step->correct += add_loss(step->scores + (size_t)n * step->classes, label, target, step->classes, step->batch, step->is_hinge, &loss,
                              gradient) == label;
    for (int c = 0; c < step->classes; c++)
      last->dy[block_at(last, 0, c / BLOCK) + (size_t)n * BLOCK + c % BLOCK] = (float)gradient[c];
  }
  step->loss = loss / step->batch;
}

void run_real_step(RealStep *step) {
  for (int i = 0; i < REAL_TIMES; i++) step->seconds[i] = 0;
  const uint64_t mode = flush_tiny();
  double time = clock_seconds();
  prepare_real_weights(step);
  time = clocked(step->seconds + REAL_PREPARE, time);
  run_real_forward(step);
  clocked(step->seconds + REAL_FORWARD, time);
  if (step->learns) {
    take_loss(step);
    run_real_backward(step);
  }
  restore_mode(mode);
}

/* Values that one task takes. */
enum { SOME = 1 << 14 };

static int tasks_of(const RealTensor *tensor) { return (int)((tensor->count + SOME - 1) / SOME); }

static void adam_task(void *context, int index, int thread) {
  const RealStep *step = context;
  const RealTensor *tensor = step->tensor;
  (void)thread;
  while (index >= tasks_of(tensor)) index -= tasks_of(tensor++);
  const size_t from = (size_t)index * SOME, left = tensor->count - from;
  step->adam(tensor->value + from, tensor->first + from, tensor->second + from, tensor->gradient + from, left < SOME ? (int)left : SOME,
             tensor->is_latent ? step->latent_rate * tensor->rate_scale : step->float_rate, tensor->is_latent);
}

void update_real_step(RealStep *step) {
  int tasks = 0;
  for (int i = 0; i < step->tensors; i++) tasks += tasks_of(step->tensor + i);
  run_tasks(step->pool, adam_task, step, tasks);
}
