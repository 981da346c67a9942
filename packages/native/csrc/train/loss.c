/* Losses in double precision, from operations that every processor rounds alike. */
#include "shared.h"
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

int add_loss(const float *scores, int label, const float *target, int classes, int batch, int is_hinge, double *loss, double *gradient) {
  float largest = scores[0];
  int best = 0;
  for (int c = 1; c < classes; c++)
    if (scores[c] > largest) {
      largest = scores[c];
      best = c;
    }
  double total = 0;
  if (!is_hinge) {
    for (int c = 0; c < classes; c++) total += exponential((double)scores[c] - largest);
    const double whole = logarithm(total) + largest;
    if (!target) *loss += whole - scores[label];
    else
      for (int c = 0; c < classes; c++) *loss += target[c] * (whole - scores[c]);
  }
  for (int c = 0; c < classes; c++) {
    if (is_hinge) {
      const double sign = c == label ? 1 : -1, margin = 1 - sign * scores[c];
      gradient[c] = margin > 0 ? -2 * sign * margin / ((double)batch * classes) : 0;
      *loss += margin > 0 ? margin * margin / classes : 0;
    } else {
      gradient[c] = (exponential((double)scores[c] - largest) / total - (target ? target[c] : c == label)) / batch;
    }
  }
  return best;
}
