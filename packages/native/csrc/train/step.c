/* One step, and its loss. */
#include "step.h"
#include <math.h>

/* e^x for x <= 0 in operations that every processor rounds alike; the library's differ by processor. */
static double exponential(double x) {
  if (x < -700) return 0;
  const double whole = floor(x * 1.4426950408889634 + 0.5);
  const double rest = x - whole * 0.6931471803691238 - whole * 1.9082149292705877e-10;
  double sum = 1;
  for (int i = 13; i > 0; i--) sum = 1 + sum * rest / i;
  return ldexp(sum, (int)whole);
}

/* Natural logarithm of x >= 1, by Newton's method on `exponential`. */
static double logarithm(double x) {
  int power;
  const double fraction = frexp(x, &power);
  double y = (power - 1) * 0.6931471805599453 + (2 * fraction - 1);
  for (int i = 0; i < 5; i++) {
    const double e = 1 / exponential(-y);
    y += 2 * (x - e) / (x + e);
  }
  return y;
}

/* Value of the loss, and its gradient to the last layer's dy: packages/cbnn/src/graph/operations/losses.ts. */
static void take_loss(Step *step) {
  StepLayer *last = step->layer + step->layers - 1;
  const int classes = step->classes, batch = step->batch;
  double loss = 0;
  step->correct = 0;
  for (int c = 0; c < classes; c++) last->dbeta[c] = last->dgamma[c] = 0;
  double first[classes], second[classes];
  for (int c = 0; c < classes; c++) first[c] = second[c] = 0;
  for (int n = 0; n < batch; n++) {
    const float *scores = step->scores + n * classes;
    const int label = step->labels[n];
    float largest = scores[0];
    int best = 0;
    for (int c = 1; c < classes; c++)
      if (scores[c] > largest) {
        largest = scores[c];
        best = c;
      }
    step->correct += best == label;
    double total = 0;
    if (!step->is_hinge) {
      for (int c = 0; c < classes; c++) total += exponential((double)scores[c] - largest);
      loss += logarithm(total) + largest - scores[label];
    }
    for (int c = 0; c < classes; c++) {
      double gradient;
      if (step->is_hinge) {
        const double sign = c == label ? 1 : -1, margin = 1 - sign * scores[c];
        gradient = margin > 0 ? -2 * sign * margin / ((double)batch * classes) : 0;
        loss += margin > 0 ? margin * margin / classes : 0;
      } else {
        gradient = (exponential((double)scores[c] - largest) / total - (c == label)) / batch;
      }
      const float d = (float)gradient;
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
