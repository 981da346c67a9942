/* NEON of every 64-bit ARM: products of bytes are added up in 16 bits for a while. */
#if defined(__aarch64__)
#define NAME(x) neon_step_##x
#include "dot-neon.h"
enum { VECTORS = 2 };
#define FLUSHES
typedef struct {
  int16x8_t low, high;
} Parts;
#define TOUCH_PARTS(parts) __asm__ volatile("" : "+w"((parts).low), "+w"((parts).high))
#define NO_PARTS ((Parts){vdupq_n_s16(0), vdupq_n_s16(0)})
static inline Parts dot_part(Parts parts, Bytes b, Spread a) {
  const int8x16_t lanes = vreinterpretq_s8_u8(b);
  parts.low = vmlal_s8(parts.low, vget_low_s8(lanes), vget_low_s8(a));
  parts.high = vmlal_high_s8(parts.high, lanes, a);
  return parts;
}
#define dot_part_swapped dot_part
static inline Sums flushed(Sums sums, Parts parts) {
  return sums + (Sums)vpaddq_s32(vpaddlq_s16(parts.low), vpaddlq_s16(parts.high));
}
#include "dot.h"
static int neon_step_supported(void) { return 1; }
STEP_KERNELS(neon_step_kernels, "neon", neon_kernels)
#endif
