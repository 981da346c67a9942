/* One step, and its loss. */
#include "step.h"

/* Value of the loss, and its gradient to the last layer's dy. */
static void take_loss(Step *step) {
  StepLayer *last = step->layer + step->layers - 1;
  const int classes = step->classes, batch = step->batch;
  double loss = 0;
  step->correct = 0;
  double first[classes], second[classes], gradient[classes];
  for (int c = 0; c < classes; c++) first[c] = second[c] = 0;
  for (int n = 0; n < batch; n++) {
    const int label = step->labels[n];
    const float *target = step->targets ? step->targets + n * classes : 0;
    step->correct += add_loss(step->scores + n * classes, label, target, classes, batch, step->is_hinge, &loss, gradient) == label;
    for (int c = 0; c < classes; c++) {
      const float d = (float)gradient[c];
      last->dy[(size_t)n * last->pitch + c] = bfloat16(d);
      const float sum = (float)sum_at(last, n, 0, c);
      first[c] += d;
      second[c] += (double)d * (sum - last->mean[c]);
    }
  }
  for (int c = 0; c < classes; c++) {
    last->dbeta[c] = (float)first[c];
    last->dgamma[c] = (float)(second[c] * last->inverse[c]);
  }
  last->dy_unit = 1;
  step->loss = loss / batch;
}

void run_step(Step *step) {
  for (int i = 0; i < WHOLES; i++) step->seconds[i] = 0;
  for (int t = 0; t < step->threads; t++)
    for (int i = 0; i < SHARED; i++) step->space[t].seconds[i] = 0;
  double time = clock_seconds();
  prepare_weights(step);
  time = clocked(step->seconds + PREPARE, time);
  run_forward(step);
  time = clocked(step->seconds + FORWARD, time);
  if (step->number == 0) return;
  take_loss(step);
  run_backward(step);
  time = clock_seconds();
  update_weights(step);
  clocked(step->seconds + UPDATE, time);
}
