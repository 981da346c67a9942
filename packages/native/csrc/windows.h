/* Which taps of a window lie inside the image. */
#ifndef CBNN_WINDOWS_H
#define CBNN_WINDOWS_H
#include <stdint.h>

/* Windows differ in the rows that they miss above or below: at most as many kinds as the kernel has rows. */
enum { MOST_REACHES = 14 };

/* [first, last) of the kernel's rows, or columns. */
typedef struct {
  int first, last;
} Reach;

static inline Reach reach_of(int output, int stride, int pad, int kernel, int size) {
  const int start = output * stride - pad;
  const Reach reach = {start < 0 ? -start : 0, start + kernel > size ? size - start : kernel};
  return reach;
}

/* The different reaches of `count` outputs, in `reach`, and which one each has, in `kind`. Returns how many. */
static inline int distinct_reaches(int count, int stride, int pad, int kernel, int size, Reach *reach, uint32_t *kind) {
  int found = 0;
  for (int i = 0; i < count; i++) {
    const Reach own = reach_of(i, stride, pad, kernel, size);
    int j = 0;
    while (j < found && (reach[j].first != own.first || reach[j].last != own.last)) j++;
    if (j == found) reach[found++] = own;
    kind[i] = (uint32_t)j;
  }
  return found;
}
#endif
