/* What both NEON files share: four lanes a register. Bytes are signed there, and unsigned ones below 128. */
#include <arm_neon.h>
#include <stdint.h>
enum { LANES = 4, PART_ROWS = 4 };
typedef int32_t Sums __attribute__((vector_size(16)));
typedef uint8x16_t Bytes;
typedef int8x16_t Spread;
#define KEEP(x) "w"(x)
static inline Spread spread(const int8_t *a) {
  int32_t four;
  __builtin_memcpy(&four, a, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
