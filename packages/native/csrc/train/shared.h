/* What both training steps share: threads, clocks, losses; the one in integers is step.h, the one in bfloat16 ../train-real/step.h. */
#ifndef CBNN_TRAIN_SHARED_H
#define CBNN_TRAIN_SHARED_H
#include "../clock.h"
#include <stdint.h>

typedef struct Pool Pool;

/* Threads that share tasks out among them, the caller being one. Which one takes a task may not matter. */
typedef void (*Task)(void *context, int index, int thread);
Pool *make_pool(int threads);
void free_pool(Pool *pool);
void run_tasks(Pool *pool, Task task, void *context, int count);

/* Adds the time since `since` to `seconds`; returns the time now. */
static inline double clocked(double *seconds, double since) {
  const double now = clock_seconds();
  *seconds += now - since;
  return now;
}

static inline uint16_t bfloat16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/*
 * Adds the loss of one image of the batch, softmax and cross-entropy or squared hinge (packages/cbnn/src/graph/operations/losses.ts), of
 * which the mean over images is still to be taken, and sets the gradient of that mean to the scores. Returns the class of the
 * largest score, the first one of several. `target`: probabilities of classes in place of the label, of cross-entropy; null otherwise.
 */
int add_loss(const float *scores, int label, const float *target, int classes, int batch, int is_hinge, double *loss, double *gradient);

/* Adam on `count` weights with these gradients: passes.h. */
typedef void (*Adam)(float *w, float *m, float *v, const float *gradient, int count, float rate, int clips);
/* The processor's fastest; all give the same. */
Adam fastest_adam(void);

#endif
